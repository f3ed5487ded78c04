"""`insula cohort`: check, split and prepare cohorts; the other commands are in `simulate`, `exchange` and `folds`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from insula.cli.console import bar, table, tell, warn
from insula.cli.exchange import export_cohort, import_cohort
from insula.cli.flags import with_flags
from insula.cli.folds import predict
from insula.cli.simulate import gallery, simulate

if TYPE_CHECKING:
    from insula.cohort import CheckedCohort, Cohort
    from insula.cohort.check import CentreRecord

__all__ = ["COMMANDS", "check", "check_with_bar", "gallery", "prepare", "simulate", "split"]

_CASES = (
    "case",
    "subject",
    "session",
    "centre",
    "chronicity",
    "days",
    "axes",
    "spacing_mm",
    "shape",
    "low",
    "high",
    "lesion_ml",
    "components",
    "hemisphere",
    "faults",
)


def check(
    cohort: Positional[Path],
    /,
    out: Path = Path("insula-cohort"),
    label: int | None = None,
    jobs: int = 0,
    debug: bool = False,
) -> int:
    """Check every case of a cohort and report problems.

    Recognises ATLAS R2.0 (INDI and BIDS), ATLAS R2.1/R3.0 raw, BIDS with derivatives, and nnU-Net raw. Writes
    cohort.json, cohort.tsv and cohort.html. The exit code is 1 if a case has an error.

    Args:
        cohort: Folder of the cohort.
        out: Folder for the report.
        label: Value of the lesion in the masks, if they contain several labels.
        jobs: Number of processes; 0 uses every core.
        debug: Show a traceback on errors.
    """
    from insula.cohort import find_cohort, to_record
    from insula.io import OutputFolder, write_json, write_text
    from insula.store.folder import no_lesion

    with OutputFolder(out) as folder:
        dataset = find_cohort(cohort, label=label)
        checked = check_with_bar(dataset, jobs)
        from insula.report import render_cohort, suspects

        record = to_record(checked)
        write_text(folder / "cohort.tsv", _table(checked))
        write_text(folder / "cohort.html", render_cohort(checked, record, suspects(checked, dataset.entries)))
        write_json(folder / "cohort.json", record)
    counts = record["counts"]
    print(
        f"{dataset.layout}: {counts['cases']} cases, {counts['subjects']} subjects, {counts['centres']} centres; "
        f"{counts['usable']} usable"
    )
    _show_centres(record["centres"])
    for case in checked.cases:
        for fault in case.faults:
            print(f"  {case.case}: {fault.severity}: {fault.code}: {with_flags(fault.text)}")
    tell(checked.sheets, (*checked.notes, *no_lesion(case.lesion_voxels for case in checked.usable)))
    print(out / "cohort.html")
    return 1 if any(fault.severity == "error" for case in checked.cases for fault in case.faults) else 0


def split(
    cohort: Positional[Path],
    /,
    out: Path = Path("split.json"),
    by: Literal["centre", "random"] = "centre",
    fraction: float = 0.85,
    folds: int | None = None,
    inner: int | None = None,
    seed: int = 0,
    debug: bool = False,
) -> int:
    """Split a cohort into training and test cases, once or in folds.

    A subject is never on both sides of a split; by default, neither is a centre.

    Args:
        cohort: Folder of the cohort, or the cohort.json written by `insula cohort check`.
        out: JSON file for the split.
        by: centre keeps each centre on one side; random only keeps each subject on one side.
        fraction: Share of the cases to train on, in a single split.
        folds: Number of folds, for cross-validation instead of a single split.
        inner: Number of folds within each training part, for nested cross-validation.
        seed: Random seed; the same seed gives the same split.
        debug: Show a traceback on errors.
    """
    from insula.cohort.precision import describe
    from insula.cohort.split import from_dict, make_folds, make_holdout, nest, to_dict
    from insula.io import write_json

    checked = _load(cohort)
    new_split = (
        make_holdout(checked, by=by, fraction=fraction, seed=seed)
        if folds is None
        else make_folds(checked, by=by, count=folds, seed=seed)
    )
    if inner is not None:
        new_split = nest(checked, new_split, count=inner)
    tree = to_dict(new_split) | {"notes": [*checked.sheets, *checked.notes]}
    from_dict(tree, checked, name=out.name)  # never write a split that would be refused when it is read
    write_json(out, tree)
    for line in describe(checked, new_split, share=1 - fraction if folds is None else 1 / folds):
        print(line)
    left_out = len(checked.cases) - len(checked.usable)
    if left_out:
        print(f"{left_out} cases without a mask or with an error are in no part; see `insula cohort check`")
    tell(checked.sheets, checked.notes)
    print(out)
    return 0


def prepare(
    cohort: Positional[Path],
    /,
    out: Path = Path("insula-store"),
    precision: Literal["uint8", "float16"] = "uint8",
    label: int | None = None,
    jobs: int = 0,
    debug: bool = False,
) -> int:
    """Convert a cohort into a store to train on: RAS+, 1 mm, 192x224x176 voxels, memory-mapped, checked by hash.

    Continues where an earlier run stopped. A case that cannot be used is reported and left out, and the exit code is 1.

    Args:
        cohort: Folder of the cohort.
        out: Folder for the store.
        precision: Number format of the images: uint8 (8 MB per case) or float16 (16 MB).
        label: Value of the lesion in the masks, if they contain several labels.
        jobs: Number of processes; 0 uses every core.
        debug: Show a traceback on errors.
    """
    from functools import partial

    from insula.cohort import each, find_cohort, processors
    from insula.config import PrepareConfig
    from insula.io import OutputFolder
    from insula.io.naming import contrast_by_name
    from insula.io.participants import count_names
    from insula.store import StoredCase, write_index
    from insula.store.folder import forget_index, no_lesion, try_store

    with OutputFolder(out) as folder:
        dataset = find_cohort(cohort, label=label)
        entries = [entry for entry in dataset.entries if not entry.hidden]
        config = PrepareConfig()
        work = partial(try_store, folder=folder, config=config, precision=precision)
        stored: list[StoredCase] = []
        failed = 0
        forget_index(folder)
        with bar(len(entries), "preparing") as progress:
            for entry, result in zip(entries, each(work, entries, jobs=jobs or processors()), strict=True):
                if isinstance(result, StoredCase):
                    stored.append(result)
                else:
                    failed += 1
                    warn(f"{entry.case}: {result}")
                if progress is not None:
                    progress.advance(progress.task_ids[0])
        with_contrast = [entry.case for entry in entries if entry.images and contrast_by_name(entry.images[0])]
        notes = (*dataset.notes, *no_lesion(case.lesion_voxels for case in stored))
        if with_contrast:
            notes = (*notes, f"scanned with a contrast agent, by their names: {count_names(with_contrast, 'case')}")
        write_index(folder, stored, config, precision, notes=(*dataset.sheets, *notes))
        size = sum((folder / case.file).stat().st_size for case in stored)
    print(f"{len(stored)} cases, {size / 1e9:.2f} GB" + (f"; {failed} left out" if failed else ""))
    tell(dataset.sheets, notes)
    print(out)
    return 1 if failed else 0


def check_with_bar(dataset: Cohort, jobs: int) -> CheckedCohort:
    """Check a cohort in parallel and show a progress bar; `jobs` 0 uses every core."""
    from insula.cohort import CheckedCase, check_cohort, processors

    with bar(len(dataset.entries), "checking") as progress:

        def done(case: CheckedCase) -> None:
            if progress is not None:
                progress.advance(progress.task_ids[0])

        return check_cohort(dataset, jobs=jobs or processors(), done=done)


def _load(cohort: Path) -> CheckedCohort:
    """Load a checked cohort from its cohort.json if it exists, else check the scans."""
    import json

    from insula.cohort import find_cohort, from_record
    from insula.errors import BadData

    path = cohort / "cohort.json" if (cohort / "cohort.json").is_file() else cohort
    if path.is_dir() or not path.exists():
        return check_with_bar(find_cohort(cohort), 0)
    try:
        return from_record(json.loads(path.read_text(encoding="utf-8")), name=path.name)
    except (ValueError, UnicodeDecodeError) as error:
        raise BadData(
            "the cohort's record", path.name, f"is not JSON ({error})", "run `insula cohort check` again"
        ) from None


def _show_centres(centres: list[CentreRecord]) -> None:
    head = (
        "centre",
        "cases",
        "subjects",
        "chronic",
        "acute",
        "median ml",
        "median lesions",
        "axes",
        "spacing mm",
        "99th percentile",
        "with faults",
    )
    rows = [
        (
            centre["centre"],
            centre["cases"],
            centre["subjects"],
            centre["chronic"],
            centre["acute"],
            centre["median_ml"],
            centre["median_components"],
            centre["axes"],
            centre["spacing_mm"],
            None if centre["p99"] is None else "{:g} to {:g}".format(*centre["p99"]),
            centre["with_faults"],
        )
        for centre in centres
    ]
    table(head, rows)


def _table(checked: CheckedCohort) -> str:
    rows = ["\t".join(_CASES)]
    for case in checked.cases:
        cells = [getattr(case, key) for key in _CASES[:-1]] + [",".join(fault.code for fault in case.faults)]
        rows.append(
            "\t".join(
                "n/a" if cell in (None, "", ()) else "x".join(map(str, cell)) if isinstance(cell, tuple) else str(cell)
                for cell in cells
            )
        )
    return "\n".join(rows) + "\n"


COMMANDS: dict[str, Callable[..., int]] = {
    "check": check,
    "split": split,
    "simulate": simulate,
    "gallery": gallery,
    "prepare": prepare,
    "predict": predict,
    "export": export_cohort,
    "import": import_cohort,
}
"""The commands of `insula cohort`."""
