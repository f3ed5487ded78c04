"""Which prediction belongs to which case."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from insula.cohort import Cohort, find_predictions
from insula.cohort.predictions import NIFTI, of_cases
from insula.errors import BadData

__all__ = ["Pair", "pair_up", "weights_used"]

_MASK = re.compile(r"_mask$")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The files of one comparison."""

    case: str
    subject: str = ""
    centre: str
    chronicity: str
    truth: Path
    mask: Path
    prob: Path | None
    image: Path | None
    record: Path | None = None
    """What `insula segment` wrote of it."""
    label: int | None = None
    """The value that is lesion in the truth."""


def pair_up(cohort: Cohort, predictions: Path, *, only: Collection[str] | None = None) -> tuple[Pair, ...]:
    """Find each case's prediction, by all the entities that the names share, or by nnU-Net's case name.

    A folder as `insula segment` writes it, a BIDS derivative or nnU-Net's output folder will do.

    Args:
        cohort: with the truth.
        predictions: a folder.
        only: cases to compare, e.g. a fold's test part; all that have a mask if not given.

    Raises:
        NoInput: no such folder.
        BadData: a case has no prediction (a mean over those that happen to be there would flatter), or several; one
            of `only` has no mask, or several; or the predictions are the truth's own files.
    """
    (masks, doubts), (probs, _) = (of_cases(cohort.entries, files) for files in find_predictions(predictions))
    entries = [entry for entry in cohort.entries if entry.masks and (only is None or entry.case in only)]
    if not entries:
        raise BadData(
            "the cohort", cohort.folder, "holds no case with a mask to compare with", "check the folder and the split"
        )
    untold = sorted(set(only or ()) - {entry.case for entry in entries})
    if untold:
        rule = f"has no mask of {len(untold)} of {len(only or ())} cases to compare, e.g. {', '.join(untold[:3])}"
        raise BadData("the cohort", cohort.folder, rule, "see `insula cohort check`")
    missing = [entry.case for entry in entries if entry.case not in masks]
    if missing:
        rule = f"lack {len(missing)} of {len(entries)} cases, e.g. {', '.join(missing[:3])}"
        raise BadData("the predictions", predictions, rule, "predict them too, or name the cases with --split")
    for entry in entries:
        if entry.case in doubts:
            remedy = "name the run or acquisition in the prediction's name"
            raise BadData("the predictions", predictions, doubts[entry.case], remedy)
        if len(masks[entry.case]) > 1:
            names = " and ".join(path.name for path in masks[entry.case][:2])
            raise BadData("the predictions", predictions, f"hold several masks of {entry.case} ({names})", "keep one")
        if masks[entry.case][0].resolve() == entry.mask.resolve():
            rule = f"are the truth itself ({entry.mask.name})"
            raise BadData("the predictions", predictions, rule, "name the folder with the predicted masks")
    return tuple(
        Pair(
            case=entry.case,
            subject=entry.subject,
            centre=entry.centre,
            chronicity=entry.chronicity,
            truth=entry.mask,
            mask=masks[entry.case][0],
            prob=next(iter(probs.get(entry.case, [])), None),
            image=next(iter(entry.images), None),
            record=_record(masks[entry.case][0]),
            label=entry.label,
        )
        for entry in entries
    )


def weights_used(pairs: Sequence[Pair]) -> set[tuple[str, str]]:
    """Names and SHA-256 of the weights that made the predictions, as far as records lie beside them."""
    found = set()
    for pair in pairs:
        if pair.record is not None:
            try:
                told = json.loads(pair.record.read_text(encoding="utf-8"))["provenance"]["weights"]
                found.add((str(told["name"]), str(told["sha256"])))
            except (OSError, ValueError, KeyError, TypeError):  # another tool's
                continue
    return found


def _record(mask: Path) -> Path | None:
    """As `insula segment` or `insula-bids` names it."""
    stem = _MASK.sub("", NIFTI.sub("", mask.name))
    names = (f"{stem}.json", f"{stem.replace('_label-L', '')}_record.json")
    return next((path for name in names if (path := mask.with_name(name)).is_file()), None)
