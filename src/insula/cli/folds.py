"""`insula cohort predict`: segment every case with the fold that was not trained on it."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from insula.cli.console import tell
from insula.cli.flags import flagged

__all__ = ["predict"]


def predict(
    cohort: Positional[Path],
    /,
    weights: Path,
    split: Path,
    out: Path = Path("insula-predictions"),
    device: str = "auto",
    debug: bool = False,
) -> int:
    """Segment each case of a cohort with the fold that was not trained on it, as in cross-validation.

    Writes the same files as `insula segment`; `insula evaluate` can then score all cases at once. Cases that no fold
    tests are left out. If a session has several T1w scans, the one that the mask was drawn on is segmented.

    Args:
        cohort: Folder of the cohort.
        weights: Folder written by `insula train --split`, with fold0, fold1 and so on.
        split: Split file that the weights were trained with.
        out: Folder for the results.
        device: Device to use: auto, cpu, cuda or cuda:N.
        debug: Show a traceback on errors.
    """
    from insula.cli.split import read_split
    from insula.cli.study import print_study
    from insula.cohort import find_cohort
    from insula.config import SegmentConfig
    from insula.errors import BadData, NoInput
    from insula.study import StudyPlan

    dataset = find_cohort(cohort)
    cross_validation = read_split(split, {entry.case: entry.subject for entry in dataset.entries})
    absent = [f"fold{n}" for n in range(len(cross_validation.folds)) if not (weights / f"fold{n}").is_dir()]
    if absent:
        rule = f"has no {absent[0]}, and the split has {len(cross_validation.folds)} folds"
        raise NoInput("the weights", weights, rule, "give the --out of `insula train --split`")
    tested_by: dict[str, int] = {}
    for n, fold in enumerate(cross_validation.folds):
        for case in fold.test:
            if tested_by.setdefault(case, n) != n:
                rule, remedy = "is tested by several folds", "score them one by one: `insula evaluate --split --fold`"
                raise BadData("the case", case, rule, remedy)
    cases = sorted((entry for entry in dataset.entries if entry.case in tested_by), key=lambda entry: entry.case)
    plan = StudyPlan(
        files=[entry.image for entry in cases],
        names=[entry.case for entry in cases],
        config=SegmentConfig(device=device, assume_t1w=True),
        weights=[str(weights / f"fold{tested_by[entry.case]}") for entry in cases],
        notes=dataset.notes,
        debug=debug,
        wording=flagged,
    )
    tell(dataset.sheets, ())
    return print_study(plan, out)
