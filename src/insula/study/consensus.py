"""Consensus of a study: one mask a case from the masks of several raters, and how well each rater agrees with it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Literal, NamedTuple, TypedDict, cast

import numpy as np

from insula.errors import BadData, InsulaError, UsageError, as_insula_error
from insula.io import OutputFolder, printable, read_facts, read_mask, write_json, write_mask, write_text
from insula.io.bytes import read_file
from insula.io.cells import table_text
from insula.metrics import dice_score
from insula.stats import Staple, majority_vote, staple
from insula.study.raters import RaterMasks
from insula.types import VERSION
from insula.volume import Mask

__all__ = ["ConsensusMethod", "ConsensusOutcome", "ConsensusRecord", "PairRecord", "RaterRecord", "consensus_study"]

ConsensusMethod = Literal["staple", "majority"]

FORMAT = "insula-consensus/1"
_RECORD = "_consensus.json"
_NEW_MASK, _NEW_RECORD = ".insula-mask.tmp", ".insula-record.tmp"  # `OutputFolder` removes what a stop leaves
_IMAGE = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)
_TWO = "of two raters leaves every voxel undecided on which they differ"
_REMEDY_OF_TWO = "use `method=staple`, or add a third rater"
_CASE: dict[str, dict[str, object]] = {
    "case": {"Description": "Name of the case"},
    "method": {
        "Description": "How the consensus was formed",
        "Levels": {"staple": "STAPLE (Warfield 2004)", "majority": "voxels that more than half of the raters marked"},
    },
}
_RATER_COLUMNS: dict[str, dict[str, object]] = {
    **_CASE,
    "consensus_volume_ml": {"Description": "Volume of the consensus", "Units": "mL"},
    "rater": {"Description": "Name of the rater"},
    "volume_ml": {"Description": "Volume of the rater's mask", "Units": "mL"},
    "dice": {"Description": "Dice of the rater's mask and the consensus, 0 to 1; 1 if both are empty"},
    "sensitivity": {"Description": "Sensitivity of the rater as STAPLE estimates it; empty if there is no lesion"},
    "specificity": {"Description": "Specificity of the rater as STAPLE estimates it, over the whole volume"},
}
_PAIR_COLUMNS: dict[str, dict[str, object]] = {
    "case": _CASE["case"],
    "rater_a": {"Description": "Name of a rater"},
    "rater_b": {"Description": "Name of another rater"},
    "dice": {"Description": "Dice of the two raters' masks, 0 to 1; 1 if both are empty"},
}


class RaterRecord(TypedDict):
    """How a rater's mask compares with the consensus."""

    rater: str
    volume_ml: float
    """Volume of the rater's mask [ml]."""
    dice: float
    """Dice with the consensus, 0 to 1; 1 if both are empty."""
    sensitivity: float | None
    """STAPLE's estimate of the sensitivity, 0 to 1; None for a majority, or if the consensus is empty."""
    specificity: float | None
    """STAPLE's estimate of the specificity over the whole volume, 0 to 1; None for a majority."""
    flags: list[dict[str, str]]
    """The fields of each `Flag` of the rater's mask."""
    sha256: str
    """SHA-256 of the rater's file."""


class PairRecord(TypedDict):
    """How the masks of two raters compare."""

    rater_a: str
    rater_b: str
    dice: float
    """Dice of the two masks, 0 to 1; 1 if both are empty."""


class ConsensusRecord(TypedDict):
    """The record of a consensus."""

    format: str
    case: str
    method: ConsensusMethod
    volume_ml: float
    """Volume of the consensus [ml]."""
    raters: list[RaterRecord]
    pairs: list[PairRecord]
    insula: str
    """Version of insula."""
    mask: str
    """Name of the file of the consensus."""
    sha256: str
    """SHA-256 of the file of the consensus."""


class ConsensusOutcome(NamedTuple):
    """The outcome of one case."""

    case: str
    record: ConsensusRecord | None
    """None if there is no consensus."""
    error: InsulaError | None = None
    missing: tuple[str, ...] = ()
    """The raters without a mask of this case."""


def consensus_study(
    masks: RaterMasks, out: Path, *, method: ConsensusMethod = "staple", label: int | None = None
) -> Iterator[ConsensusOutcome]:
    """Write the consensus of every case that two raters or more marked: a mask and a record; then the tables.

    The mask is `CASE_mask.nii.gz`, on the grid and with the orientation of the first rater's file. Other raters' files
    may have another axis order of the same voxels. `consensus.tsv` has a row for each rater of each case in the folder,
    `pairs.tsv` one for each pair of raters.

    A case whose masks are damaged, doubled or on different grids loses its earlier consensus; after any other failure
    the earlier one stays.

    Args:
        masks: of the raters.
        out: the folder to write; created if missing, locked while the iterator runs. A mask that was not written by
            this function, or was changed since, is never replaced.
        method: STAPLE, or the vote of the majority.
        label: the lesion's label in masks with several.

    Yields:
        The outcome of each case, also of one that fails.

    Raises:
        UsageError: the majority of two raters is asked for, or the folder is in a rater's or is named like an image.
        Unavailable: SimpleITK is not installed, and STAPLE is asked for.
        InsulaError: the folder cannot be written.
    """
    if method == "majority" and len(masks.raters) == 2:
        raise UsageError("the majority", "", _TWO, _REMEDY_OF_TWO)
    if _IMAGE.search(out.name):
        raise UsageError("`out`", out, "is named like an image", "name a folder; it gets a mask for each case")
    place = out.resolve()
    if any(folder.resolve() in (place, *place.parents) for folder in masks.folders):
        raise UsageError("`out`", out, "is in the folder of a rater's masks", "choose another folder")
    if method == "staple":
        staple([np.zeros((1, 1, 1), bool)])  # without SimpleITK every case would fail
    with OutputFolder(out):
        try:
            for case, files in masks.cases.items():
                if len(files) > 1:
                    missing = tuple(rater for rater in masks.raters if rater not in files)
                    yield _case(case, files, out, method, label)._replace(missing=missing)
        finally:
            _write_tables(out)


def _case(
    case: str, files: Mapping[str, tuple[Path, ...]], out: Path, method: ConsensusMethod, label: int | None
) -> ConsensusOutcome:
    target, written = out / f"{case}_mask.nii.gz", out / f"{case}{_RECORD}"
    if target.exists() and _read_record(written).get("sha256") != read_file(target).sha256:
        rule = "is no consensus, or was edited since it was written"
        error = BadData("the present mask", printable(target.name), rule, "move it away, or choose another `out`")
        return ConsensusOutcome(case, None, error)
    try:
        paths = {rater: _only(rater, found) for rater, found in files.items()}
        masks = _read(paths, label)
        consensus, estimate = _consensus(list(masks.values()), method)
        facts = read_facts(next(iter(paths.values())))
        hashes = [read_file(path).sha256 for path in paths.values()]
    except Exception as error:
        if isinstance(error, BadData):  # the masks are at fault: an earlier consensus, of others, would be believed
            for stale in (target, written):
                stale.unlink(missing_ok=True)
        return ConsensusOutcome(case, None, as_insula_error(error))
    record: ConsensusRecord = {
        "format": FORMAT,
        "case": case,
        "method": method,
        "volume_ml": round(consensus.volume_ml, 4),
        "raters": [
            {
                "rater": rater,
                "volume_ml": round(mask.volume_ml, 4),
                "dice": round(dice_score(mask.voxels, consensus.voxels), 4),
                "sensitivity": _rounded(estimate.sensitivity[n]) if estimate and consensus.volume_ml else None,
                "specificity": _rounded(estimate.specificity[n]) if estimate else None,
                "flags": [asdict(flag) for flag in mask.flags],
                "sha256": hashes[n],
            }
            for n, (rater, mask) in enumerate(masks.items())
        ],
        "pairs": [
            {"rater_a": a, "rater_b": b, "dice": round(dice_score(masks[a].voxels, masks[b].voxels), 4)}
            for a, b in combinations(masks, 2)
        ],
        "insula": VERSION,
        "mask": target.name,
        "sha256": "",
    }
    new_mask, new_record = out / _NEW_MASK, out / _NEW_RECORD
    try:
        write_mask(new_mask, consensus, file=facts)
        record["sha256"] = read_file(new_mask).sha256
        write_json(new_record, record)
        # A mask without its own record would be taken for a person's, so there is none at any moment.
        target.unlink(missing_ok=True)
        new_record.replace(written)
        new_mask.replace(target)
    finally:
        for left in (new_mask, new_record):
            left.unlink(missing_ok=True)
    return ConsensusOutcome(case, record)


def _only(rater: str, paths: tuple[Path, ...]) -> Path:
    if len(paths) > 1:
        names = " and ".join(printable(path.name) for path in paths)
        raise BadData(f"{printable(rater)}: the masks", names, "are of the same case", "leave one of them")
    return paths[0]


def _read(paths: Mapping[str, Path], label: int | None) -> dict[str, Mask]:
    """Read the masks of the raters, in the axis order of the first."""
    masks: dict[str, Mask] = {}
    for rater, path in paths.items():
        try:
            mask = read_mask(path, label=label)
            first = next(iter(masks.values()), mask)
            masks[rater] = mask.onto(first.grid, whose=f"{printable(next(iter(paths)))}'s")
        except InsulaError as error:
            raise error.about(printable(rater)) from error
    return masks


def _consensus(masks: list[Mask], method: ConsensusMethod) -> tuple[Mask, Staple | None]:
    """Return the consensus of masks on one grid, and for STAPLE its estimate.

    Raises:
        UsageError: the majority of two masks is asked for.
    """
    voxels = [mask.voxels for mask in masks]
    if method == "staple":
        estimate = staple(voxels)
        return Mask(estimate.mask, masks[0].grid), estimate
    if len(masks) == 2:
        raise UsageError("the majority", "", _TWO, _REMEDY_OF_TWO)
    return Mask(majority_vote(voxels), masks[0].grid), None


def _rounded(rate: float | None) -> float | None:
    return None if rate is None else round(rate, 6)


def _read_record(path: Path) -> Mapping[str, object]:
    """Return the record of a consensus; empty if there is none, or if the file is something else."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) and record.get("format") == FORMAT else {}


def _write_tables(out: Path) -> None:
    """Write the tables of all consensus masks in a folder, each with a JSON file that describes its columns."""
    found = [cast(ConsensusRecord, _read_record(path)) for path in sorted(out.glob(f"*{_RECORD}"))]
    present = (record for record in found if record and (out / record["mask"]).is_file())
    records = sorted(present, key=lambda record: record["case"])
    raters = [
        {"case": r["case"], "method": r["method"], "consensus_volume_ml": r["volume_ml"], **rater}
        for r in records
        for rater in r["raters"]
    ]
    pairs = [{"case": record["case"], **pair} for record in records for pair in record["pairs"]]
    for name, columns, rows in (("consensus", _RATER_COLUMNS, raters), ("pairs", _PAIR_COLUMNS, pairs)):
        write_text(out / f"{name}.tsv", table_text(columns, rows))
        write_json(out / f"{name}.json", columns)
