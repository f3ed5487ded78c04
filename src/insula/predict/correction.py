"""The result of a scan whose mask somebody corrected by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from insula.errors import BadData, InsulaError
from insula.io import read_mask, read_values
from insula.io.bytes import read_file
from insula.postprocess import measure_lesions, number_lesions
from insula.predict.record import ResultRecord, lesion_record
from insula.predict.result import Correction, Result
from insula.types import Flag
from insula.volume import Mask, Scan

__all__ = ["corrected_result", "network_mask"]

_FLAGS = frozenset(
    {
        "corrected",
        "corrected-outside-brain",
        "mask-near-level",
        "mask-probabilities",
        "mask-reordered",
        "mask-scaled",
        "network-mask-lost",
    }
)
"""Codes of flags that describe a corrected mask; those of an earlier one are dropped."""


def corrected_result(record: ResultRecord, folder: Path, scan: Scan, mask: Mask) -> Result:
    """Return the result of a case with a person's mask in place of the network's; everything is measured anew.

    Probabilities and brain are the network's. The interval of the volume and the probability that a lesion is real are
    left out: both describe masks of the network.

    Args:
        record: of the case, as it was before.
        folder: of the record and of the files that it names.
        scan: the scan that was segmented.
        mask: the corrected mask; any axis order of the scan's voxels.

    Raises:
        BadData: the mask is not on the scan's grid, the scan is not the record's, or the probability map or the brain
            mask changed since it was written.
    """
    mask = mask.onto(scan.grid, what="the corrected mask")
    if list(scan.grid.shape) != record["scan"]["shape"] or not np.allclose(scan.grid.affine, record["scan"]["affine"]):
        rule = "is not on the grid of the scan that was segmented"
        raise BadData("the scan", f"of shape {scan.grid.shape}", rule, "give that scan, or segment it again")
    prob, _ = read_values(_as_written(record, folder, "prob", "the probability map"))
    brain = None
    if "brain" in record["files"]:
        brain = read_mask(_as_written(record, folder, "brain", "the brain mask")).onto(scan.grid)
    network = network_mask(record, folder, prob, brain, scan)
    flags = [_flag(flag) for flag in record["flags"] if flag["code"] not in _FLAGS]
    flags.append(Flag("corrected", "Somebody corrected the mask by hand.", "note"))
    outside_ml = 0.0 if brain is None else np.count_nonzero(mask.voxels & ~brain.voxels) * scan.grid.voxel_ml
    if outside_ml:
        text = f"{outside_ml:.2f} ml of the corrected mask lie outside the brain mask."
        flags.append(Flag("corrected-outside-brain", text, "note"))
    if network is None:
        text = "The network's mask is lost: its file was changed, and it cannot be computed from the probability map."
        flags.append(Flag("network-mask-lost", text, "note"))
    return Result(
        scan=scan,
        mask=Mask(mask.voxels, scan.grid),
        brain=brain,
        prob=prob,
        lesions=measure_lesions(mask, prob),
        threshold=record["threshold"],
        flags=(*flags, *mask.flags),
        provenance=record["provenance"],
        correction=Correction(network),
    )


def network_mask(
    record: ResultRecord, folder: Path, prob: Float[np.ndarray, "i j k"], brain: Mask | None, scan: Scan
) -> Mask | None:
    """Return the mask that the network gave: from its file or, if that was edited, from the probability map.

    Args:
        record: of the case.
        folder: of the record's files.
        prob: the probability map, on the scan's grid.
        brain: the brain mask, on the scan's grid.
        scan: the scan.

    Returns:
        The mask; None if its file was changed and the lesions of the record are not those of the probability map.
    """
    kind = "network_mask" if record.get("correction") else "mask"
    try:
        return read_mask(_as_written(record, folder, kind, "the network's mask")).onto(scan.grid)
    except (InsulaError, KeyError):
        if record.get("correction"):
            return None
    voxels = prob >= record["threshold"]
    if brain is not None:
        voxels &= brain.voxels
    candidates = Mask(voxels, scan.grid)
    labels = number_lesions(candidates)
    known = {(lesion["volume_ml"], _place(lesion["centre_mm"])) for lesion in record["lesions"]}
    kept = np.zeros(int(labels.max(initial=0)) + 1, bool)
    for lesion in measure_lesions(candidates, prob):
        fields = lesion_record(lesion)
        kept[lesion.number] = (fields["volume_ml"], _place(fields["centre_mm"])) in known
    found = Mask(kept[labels], scan.grid)
    whole = int(kept.sum()) == record["lesion_count"] and round(found.volume_ml, 4) == record["volume_ml"]
    return found if whole else None


def _flag(fields: dict[str, str]) -> Flag:
    severity = fields["severity"]
    return Flag(fields["code"], fields["text"], "note" if severity == "note" else "warning")


def _place(centre_mm: object) -> tuple[float, ...]:
    return tuple(map(float, centre_mm)) if isinstance(centre_mm, list | tuple) else ()


def _as_written(record: ResultRecord, folder: Path, kind: str, what: str) -> Path:
    path = folder / record["files"][kind]
    if read_file(path).sha256 != record["sha256"][kind]:
        rule, remedy = (
            "was changed since it was written",
            "segment the scan again with `again`; corrected masks are kept",
        )
        raise BadData(what, path.name, rule, remedy)
    return path
