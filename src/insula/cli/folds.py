"""`insula cohort predict`: every case segmented by the fold that was not trained on it."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

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
    """Segment each case of a cohort with the fold that has not seen it: the predictions of a cross-validation.

    Writes what `insula segment` writes; `insula evaluate` then scores all cases at once. Cases that no fold tests are left out; of
    a session's several T1w scans the one that the mask was drawn on is taken, as by `insula cohort check`.

    Args:
        cohort: The folder of scans.
        weights: What `insula train --split` left: a folder with fold0, fold1, and so on.
        split: The split that it was trained with.
        out: Folder for the results.
        device: auto, cpu, cuda or cuda:N.
        debug: Show a traceback on errors.
    """
    from insula.cli.console import tell
    from insula.cli.split import read_split
    from insula.cli.study import print_study
    from insula.cohort import find_cohort
    from insula.config import SegmentConfig
    from insula.errors import BadData, NoInput
    from insula.study import StudyPlan

    found = find_cohort(cohort)
    made = read_split(split, {entry.case: entry.subject for entry in found.entries})
    absent = [f"fold{n}" for n in range(len(made.folds)) if not (weights / f"fold{n}").is_dir()]
    if absent:
        rule = f"has no {absent[0]}, and the split has {len(made.folds)} folds"
        raise NoInput("the weights", weights, rule, "give the --out of `insula train --split`")
    tested_by: dict[str, int] = {}
    for n, fold in enumerate(made.folds):
        for case in fold.test:
            if tested_by.setdefault(case, n) != n:
                rule, remedy = "is tested by several folds", "score them one by one: `insula evaluate --split --fold`"
                raise BadData("the case", case, rule, remedy)
    cases = sorted((entry for entry in found.entries if entry.case in tested_by), key=lambda entry: entry.case)
    plan = StudyPlan(
        files=[entry.image for entry in cases],
        names=[entry.case for entry in cases],
        config=SegmentConfig(device=device, assume_t1w=True),
        weights=[str(weights / f"fold{tested_by[entry.case]}") for entry in cases],
        notes=found.notes,
        debug=debug,
    )
    tell(found.sheets, ())
    return print_study(plan, out)
