"""`insula cohort export` and `insula cohort import`: other tools' layouts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

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
    """Write a cohort as another tool wants it.

    nnunet: nnU-Net raw, with splits_final.json if a split is given. atlas: as INDI ships R2.0. bids: raw scans with
    masks in derivatives. atlas2022: the challenge's submission, made from --predictions of the cohort's scans.

    Args:
        cohort: The folder.
        to: The layout.
        out: Where it goes.
        predictions: Folder of predicted masks, for atlas2022.
        split: From `insula cohort split`, for nnunet.
        label: The value that is lesion, for masks with several labels.
        jobs: Processes; 0 takes every core.
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
        found = find_cohort(cohort, label=label)
        if predictions is not None:
            print(f"{write_submission(found, predictions, folder)} masks")
            print(out)
            return 0
        return _write(found, folder, to, split, jobs)  # type: ignore[arg-type]


def import_cohort(
    source: Positional[Path], /, out: Path, label: int | None = None, jobs: int = 0, debug: bool = False
) -> int:
    """Take what another tool wrote.

    nnU-Net raw becomes ATLAS R2.0's layout where the cases are named like ATLAS's, else BIDS. A folder of predicted
    masks (an ATLAS'22 submission, nnU-Net's output) becomes one folder of CASE_mask.nii.gz.

    Args:
        source: The folder.
        out: Where it goes.
        label: The value that is lesion, for masks with several labels.
        jobs: Processes; 0 takes every core.
        debug: Show a traceback on errors.
    """
    from insula.cohort import find_cohort
    from insula.cohort.exchange import find_homes
    from insula.cohort.submission import write_predictions
    from insula.errors import BadData, NoInput
    from insula.io import OutputFolder

    try:
        found = find_cohort(source, label=label)
    except NoInput:
        if not source.is_dir():
            raise
        with OutputFolder(out, nested=True) as folder:
            print(f"{write_predictions(source, folder, label=label)} masks")
        print(out)
        return 0
    layout: Literal["atlas", "bids"] = "atlas"
    try:
        find_homes(found, layout)
    except BadData:
        layout = "bids"
    with OutputFolder(out, nested=True) as folder:
        return _write(found, folder, layout, None, jobs)


def _write(
    found: Cohort, folder: Path, layout: Literal["nnunet", "atlas", "bids"], split: Path | None, jobs: int
) -> int:
    import sys
    from functools import partial

    from insula.cli.cohort import check_with_bar
    from insula.cli.console import bar, tell
    from insula.cli.split import read_json
    from insula.cohort import each, processors
    from insula.cohort.exchange import find_homes, try_entry, write_nnunet_facts, write_sheet
    from insula.cohort.split import from_dict

    made = None
    if split is not None:
        made = from_dict(read_json(split), check_with_bar(found, jobs), name=split.name)
    homes = find_homes(found, layout)
    done: list[Entry] = []
    with bar(len(found.entries), "writing") as progress:
        work = partial(try_entry, homes=homes, folder=folder, labelled=any(entry.masks for entry in found.entries))
        for entry, refused in zip(found.entries, each(work, found.entries, jobs=jobs or processors()), strict=True):
            if refused is None:
                done.append(entry)
            else:
                print(f"insula: {entry.case}: {refused}", file=sys.stderr)
            if progress is not None:
                progress.advance(progress.task_ids[0])
    write_sheet(done, folder, bids=layout == "bids")
    if layout == "nnunet":
        write_nnunet_facts(done, folder, made)
    tell(found.sheets, found.notes)
    failed = len(found.entries) - len(done)
    print(f"{layout}: {len(done)} cases" + (f"; {failed} left out" if failed else ""))
    print(folder)
    return 1 if failed else 0
