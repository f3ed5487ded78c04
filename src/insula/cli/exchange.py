"""`insula cohort export` and `insula cohort import`: convert to and from other tools' layouts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from insula.cli.console import bar, tell, warn

if TYPE_CHECKING:
    from insula.cohort import Cohort, Entry

__all__ = ["export_cohort", "import_cohort"]


def export_cohort(
    cohort: Positional[Path],
    /,
    to: Literal["nnunet", "atlas", "bids", "atlas2022"],
    out: Path,
    predictions: Path | None = None,
    split: Path | None = None,
    label: int | None = None,
    jobs: int = 0,
    debug: bool = False,
) -> int:
    """Write a cohort in the layout of another tool.

    nnunet is nnU-Net raw, with splits_final.json if a split is given. atlas is ATLAS R2.0 as INDI distributes it. bids
    has raw scans with masks in derivatives. atlas2022 is a submission to the challenge, made from --predictions for the
    cohort's scans.

    Args:
        cohort: Folder of the cohort.
        to: Layout to write.
        out: Folder for the exported files.
        predictions: Folder of predicted masks; needed for atlas2022.
        split: Split file from `insula cohort split`; for nnunet only.
        label: Value of the lesion in the masks, if they contain several labels.
        jobs: Number of processes; 0 uses every core.
        debug: Show a traceback on errors.
    """
    from insula.cohort import find_cohort
    from insula.cohort.submission import write_submission
    from insula.errors import UsageError
    from insula.io import OutputFolder

    if (to == "atlas2022") != (predictions is not None):
        raise UsageError("--predictions", predictions or "", "goes with --to atlas2022, and only with it", "see --help")
    if split is not None and to != "nnunet":
        raise UsageError("--split", split, "goes with --to nnunet only", "leave it out")
    with OutputFolder(out, nested=True) as folder:
        dataset = find_cohort(cohort, label=label)
        if predictions is not None:
            print(f"{write_submission(dataset, predictions, folder)} masks")
            print(out)
            return 0
        return _write(dataset, folder, to, split, jobs)  # type: ignore[arg-type]


def import_cohort(
    source: Positional[Path], /, out: Path, label: int | None = None, jobs: int = 0, debug: bool = False
) -> int:
    """Convert a cohort or predictions that another tool wrote.

    nnU-Net raw becomes ATLAS R2.0 if the cases are named as in ATLAS, otherwise BIDS. A folder of predicted masks (an
    ATLAS'22 submission, nnU-Net's output) becomes one folder of CASE_mask.nii.gz files.

    Args:
        source: Folder to convert.
        out: Folder for the converted files.
        label: Value of the lesion in the masks, if they contain several labels.
        jobs: Number of processes; 0 uses every core.
        debug: Show a traceback on errors.
    """
    from insula.cohort import find_cohort
    from insula.cohort.exchange import find_homes
    from insula.cohort.submission import write_predictions
    from insula.errors import BadData, NoInput
    from insula.io import OutputFolder

    try:
        dataset = find_cohort(source, label=label)
    except NoInput:
        if not source.is_dir():
            raise
        with OutputFolder(out, nested=True) as folder:
            print(f"{write_predictions(source, folder, label=label)} masks")
        print(out)
        return 0
    layout: Literal["atlas", "bids"] = "atlas"
    try:
        find_homes(dataset, layout)
    except BadData:
        layout = "bids"
    with OutputFolder(out, nested=True) as folder:
        return _write(dataset, folder, layout, None, jobs)


def _write(
    dataset: Cohort, folder: Path, layout: Literal["nnunet", "atlas", "bids"], split: Path | None, jobs: int
) -> int:
    from functools import partial

    from insula.cli.cohort import check_with_bar
    from insula.cli.split import read_json
    from insula.cohort import each, processors
    from insula.cohort.exchange import find_homes, try_entry, write_nnunet_facts, write_sheet
    from insula.cohort.split import from_dict

    checked_split = None
    if split is not None:
        checked_split = from_dict(read_json(split), check_with_bar(dataset, jobs), name=split.name)
    homes = find_homes(dataset, layout)
    done: list[Entry] = []
    with bar(len(dataset.entries), "writing") as progress:
        work = partial(try_entry, homes=homes, folder=folder, labelled=any(entry.masks for entry in dataset.entries))
        for entry, refused in zip(dataset.entries, each(work, dataset.entries, jobs=jobs or processors()), strict=True):
            if refused is None:
                done.append(entry)
            else:
                warn(f"{entry.case}: {refused}")
            if progress is not None:
                progress.advance(progress.task_ids[0])
    write_sheet(done, folder, bids=layout == "bids")
    if layout == "nnunet":
        write_nnunet_facts(done, folder, checked_split)
    tell(dataset.sheets, dataset.notes)
    failed = len(dataset.entries) - len(done)
    print(f"{layout}: {len(done)} cases" + (f"; {failed} left out" if failed else ""))
    print(folder)
    return 1 if failed else 0
