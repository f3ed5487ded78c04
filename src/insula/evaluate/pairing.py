"""Matches predictions to the cases of a cohort."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from insula.cohort import Cohort, Entry, find_predictions
from insula.cohort.predictions import NIFTI, of_cases
from insula.errors import BadData

__all__ = ["Pair", "pair_up", "weights_used"]

_MASK = re.compile(r"_mask$")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A case of a cohort and the files that were predicted for it."""

    entry: Entry
    """The case; it has a mask."""
    mask: Path
    """The predicted mask."""
    prob: Path | None = None
    """The probability map, if there is one."""
    record: Path | None = None
    """Record that `insula segment` wrote beside the mask."""


def pair_up(cohort: Cohort, predictions: Path, *, only: Collection[str] | None = None) -> tuple[Pair, ...]:
    """Find the prediction of each case, by all the entities that the names share, or by nnU-Net's case name.

    Args:
        cohort: the cohort with the truth.
        predictions: the output folder of `insula segment` or nnU-Net, or a BIDS derivative.
        only: cases to compare, e.g. the test part of a fold; all cases with a mask if not given.

    Raises:
        NoInput: no such folder.
        BadData: a case has several predictions or none (a mean over the predicted cases alone would be biased); a case
            in `only` has several masks or none; or the predictions are the truth files themselves.
    """
    (masks, doubts), (probs, _) = (of_cases(cohort.entries, files) for files in find_predictions(predictions))
    entries = [entry for entry in cohort.entries if entry.masks and (only is None or entry.case in only)]
    if not entries:
        raise BadData(
            "the cohort", cohort.folder, "holds no case with a mask to compare with", "check the folder and the split"
        )
    without_mask = sorted(set(only or ()) - {entry.case for entry in entries})
    if without_mask:
        count, examples = len(without_mask), ", ".join(without_mask[:3])
        rule = f"has no mask of {count} of {len(only or ())} cases to compare, e.g. {examples}"
        raise BadData("the cohort", cohort.folder, rule, "see `insula cohort check`")
    missing = [entry.case for entry in entries if entry.case not in masks]
    if missing:
        rule = f"lack {len(missing)} of {len(entries)} cases, e.g. {', '.join(missing[:3])}"
        raise BadData("the predictions", predictions, rule, "predict them too, or name the cases with `split`")
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
            entry=entry,
            mask=masks[entry.case][0],
            prob=next(iter(probs.get(entry.case, [])), None),
            record=_record(masks[entry.case][0]),
        )
        for entry in entries
    )


def weights_used(pairs: Sequence[Pair]) -> set[tuple[str, str]]:
    """Return the names and SHA-256 of the weights behind the predictions, as far as these have records."""
    used = set()
    for pair in pairs:
        if pair.record is not None:
            try:
                weights = json.loads(pair.record.read_text(encoding="utf-8"))["provenance"]["weights"]
                used.add((str(weights["name"]), str(weights["sha256"])))
            except (OSError, ValueError, KeyError, TypeError):  # written by another tool
                continue
    return used


def _record(mask: Path) -> Path | None:
    """Return the record that `insula segment` or `insula-bids` wrote beside a mask, if there is one."""
    stem = _MASK.sub("", NIFTI.sub("", mask.name))
    names = (f"{stem}.json", f"{stem.replace('_label-L', '')}_record.json")
    return next((path for name in names if (path := mask.with_name(name)).is_file()), None)
