"""The files of a BIDS derivative: images with their sidecars, the record last, and those of the dataset."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from insula.io import (
    OTHERS_PATIENCE_S,
    OutputFolder,
    printable,
    write_json,
    write_labels,
    write_mask,
    write_prob,
    write_text,
)
from insula.io.bytes import read_file
from insula.postprocess import number_lesions
from insula.predict.bids import BidsPaths, BidsScan, bids_case_paths, bids_entities, sidecar_of, table_of
from insula.predict.record import DISCLAIMER, CorrectionRecord, ResultRecord, to_record
from insula.predict.result import Result
from insula.types import VERSION

__all__ = [
    "ExpectedScan",
    "described_dataset",
    "expected_scan",
    "segmented_bids_scan",
    "write_bids_dataset",
    "write_bids_result",
]

_BIDS = "1.10.0"
_DESCRIPTION = "dataset_description.json"
_RAW = "bids:raw:"
_BRAIN = "The network's brain, lesion included: the largest 26-connected piece of probability 0.5 or more, holes filled"
_IGNORE = (
    "*.html\n**/*_record.json\nresults.*\nlesions.*\nreview.*\n**/*_corrected-*\nlogs/\n"
    "**/*_desc-corrected_mask.nii*\n"  # as a person saved it, without a sidecar
)


def segmented_bids_scan(case: str, out: Path) -> BidsScan:
    """Returns the scan of a result, at the place in the dataset that the mask's sidecar gives.

    Without that sidecar, it is the T1w scan of the case's name.

    Args:
        case: name of the result.
        out: the derivative.
    """
    mask = bids_case_paths(case, out).mask
    try:
        inside = json.loads(sidecar_of(mask).read_text(encoding="utf-8"))["Sources"][0].removeprefix(_RAW)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        inside = (mask.parent.relative_to(out) / f"{case}_T1w.nii.gz").as_posix()
    return BidsScan(Path(inside), inside, bids_entities(case))


class ExpectedScan(NamedTuple):
    """Where a derivative says that a scan is."""

    path: Path
    inside: str
    """Path inside the dataset, with slashes."""
    dataset: str
    """The dataset, as the derivative writes it."""


def expected_scan(case: str, out: Path) -> ExpectedScan | None:
    """Returns where a derivative says that the scan of a result is; None if it links to no dataset on this machine.

    Args:
        case: name of the result.
        out: the derivative, which links to the dataset in `dataset_description.json`.
    """
    links = described_dataset(out).get("DatasetLinks")
    raw = links.get("raw") if isinstance(links, dict) else None
    inside = segmented_bids_scan(case, out).inside
    place = PurePosixPath(inside)
    if not isinstance(raw, str) or "://" in raw or ".." in place.parts or place.is_absolute() or not place.parts:
        return None
    return ExpectedScan(out / raw / inside, printable(inside), printable(raw))


def described_dataset(folder: Path) -> dict[str, object]:
    """Returns the content of a dataset's `dataset_description.json`; empty if there is none, or it is malformed."""
    try:
        facts = json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def write_bids_result(
    result: Result, scan: BidsScan, paths: BidsPaths, *, page: Callable[[ResultRecord], str] | None = None
) -> ResultRecord:
    """Write mask, brain mask, probabilities and lesion map, each with its sidecar, and the page; the record last.

    A brain mask or a network's mask of an earlier result is deleted if this result has none.

    Args:
        result: the segmentation result.
        scan: the scan in its dataset.
        paths: the output paths.
        page: makes the page from the record; none is written if not given.

    Returns:
        The record.

    Raises:
        FolderInUse: other runs write pages and tables of the derivative for too long.
        CannotCreate, NoPermission, IOFault: a file cannot be written.
    """
    paths.mask.parent.mkdir(parents=True, exist_ok=True)
    file, grid = result.scan.file, result.scan.grid
    source = f"{_RAW}{scan.inside}"
    common = {"SpatialReference": source, "Sources": [source], "Resolution": "That of the scan"}
    decided = common | {"Type": "Lesion", "Threshold": result.threshold}
    record = to_record(result)
    correction = record.get("correction")
    network = result.correction.network if result.correction is not None else None
    by_hand = {"Manual": True, "Description": _by_hand(correction)} if correction else {}
    paths.record.unlink(missing_ok=True)  # an earlier record would name files that are replaced now
    write_mask(paths.mask, result.mask, file=file)
    write_json(sidecar_of(paths.mask), common | {"Type": "Lesion"} | by_hand if by_hand else decided)
    files = {"mask": paths.mask.name, "prob": paths.prob.name, "page": paths.page.name}
    optional = {
        "brain": (paths.brain, result.brain, common | {"Type": "Brain", "Description": _BRAIN}),
        "network_mask": (paths.network_mask, network, decided),
    }
    for kind, (path, mask, facts) in optional.items():
        if mask is None:
            for stale in (path, sidecar_of(path)):
                stale.unlink(missing_ok=True)
        else:
            write_mask(path, mask, file=file)
            write_json(sidecar_of(path), facts)
            files[kind] = path.name
    write_prob(paths.prob, result.prob, grid, file=file, threshold=result.threshold)
    where = "the network's box" if result.brain is None else "the brain"
    write_json(sidecar_of(paths.prob), common | {"Description": f"Probability of lesion; 0 outside {where}"})
    write_labels(paths.lesions, number_lesions(result.mask), grid, file=file)
    description = " ".join(filter(None, (_by_hand(correction), "Lesions (26-connected), 1 is the largest")))
    write_json(sidecar_of(paths.lesions), common | by_hand | {"Description": description})
    rows = ["index\tname", *(f"{lesion.number}\tlesion {lesion.number}" for lesion in result.lesions)]
    write_text(table_of(paths.lesions), "\n".join(rows) + "\n")
    record["files"] = files
    record["sha256"] = {
        kind: read_file(paths.record.with_name(name)).sha256 for kind, name in files.items() if kind != "page"
    }
    if page is not None:
        text = page(record)
        with OutputFolder(paths.page.parent, option="output folder", patience_s=OTHERS_PATIENCE_S):
            write_text(paths.page, text)
    write_json(paths.record, record)
    return record


def write_bids_dataset(raw: Path, out: Path) -> None:
    """Write the files that make a folder a dataset; all runs write the same bytes, so parallel runs do not conflict."""
    facts = {
        "Name": "insula: stroke lesions",
        "BIDSVersion": _BIDS,
        "DatasetType": "derivative",
        "License": "see the raw dataset",
        "GeneratedBy": [{"Name": "insula", "Version": VERSION, "Description": DISCLAIMER}],
        "SourceDatasets": [{"URL": _RAW}],
        "DatasetLinks": {"raw": Path(os.path.relpath(raw.resolve(), out.resolve())).as_posix()},
    }
    write_json(out / _DESCRIPTION, facts)
    write_text(out / ".bidsignore", _IGNORE)
    write_text(
        out / "README",
        "Stroke lesions found by insula on T1-weighted scans. "
        "For each scan: a mask, a probability map, a map of single\n"
        "lesions, a record (JSON) and a page (HTML); a mask of the brain where the weights have that output.\n"
        f"{DISCLAIMER}\n",
    )


def _by_hand(correction: CorrectionRecord | None) -> str:
    """Returns what a sidecar says of a correction; empty for the network's mask."""
    if correction is None:
        return ""
    if correction["dice"] is None:
        return "Corrected by hand; the network's mask is lost."
    added, removed = f"{correction['added_ml']:g} ml added", f"{correction['removed_ml']:g} ml removed"
    network = f"the network's mask of {correction['network_volume_ml']:g} ml"
    return f"Corrected by hand: {added} and {removed}; Dice {correction['dice']:g} with {network}."
