"""`insula cohort`: check, split, simulate, prepare; export and import stand in `exchange`, predict in `folds`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional
from tyro.extras import SubcommandApp

from insula.cli.exchange import export_cohort, import_cohort
from insula.cli.folds import predict
from insula.cli.simulate import gallery, simulate

if TYPE_CHECKING:
    from insula.cohort import CheckedCohort, Cohort

__all__ = ["check", "check_with_bar", "gallery", "prepare", "simulate", "split", "verbs"]

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


def verbs() -> SubcommandApp:
    """The verbs of `insula cohort`."""
    app = SubcommandApp()
    for verb in (check, split, simulate, gallery, prepare, predict):
        app.command(verb)
    app.command(name="export")(export_cohort)
    app.command(name="import")(import_cohort)
    return app


def check(
    cohort: Positional[Path],
    /,
    out: Path = Path("insula-cohort"),
    label: int | None = None,
    jobs: int = 0,
    debug: bool = False,
) -> int:
    """Look at every case of a cohort and report what is odd.

    Recognises ATLAS R2.0 (INDI and BIDS), R2.1/R3.0 raw, BIDS with derivatives, and nnU-Net raw. Writes cohort.json,
    cohort.tsv and cohort.html. Exit code 1 if a case has an error.

    Args:
        cohort: The folder.
        out: Where the report goes.
        label: The value that is lesion, for masks with several labels.
        jobs: Processes; 0 takes every core.
        debug: Show a traceback on errors.
    """
    from insula.cli.console import tell
    from insula.cohort import find_cohort, to_record
    from insula.io import OutputFolder, write_json, write_text
    from insula.store.folder import no_lesion

    with OutputFolder(out) as folder:
        found = find_cohort(cohort, label=label)
        checked = check_with_bar(found, jobs)
        from insula.report import odd_ones, render_cohort

        record = to_record(checked)
        write_text(folder / "cohort.tsv", _table(checked))
        write_text(folder / "cohort.html", render_cohort(checked, record, odd_ones(checked, found.entries)))
        write_json(folder / "cohort.json", record)
    counts = record["counts"]
    print(
        f"{found.layout}: {counts['cases']} cases, {counts['subjects']} subjects, {counts['centres']} centres; {counts['usable']} usable"
    )
    _tell_centres(record["centres"])
    for case in checked.cases:
        for fault in case.faults:
            print(f"  {case.case}: {fault.severity}: {fault.code}: {fault.text}")
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
    """Decide who trains and who tests: subjects never, centres by default never, on both sides.

    Args:
        cohort: The folder, or the cohort.json that `insula cohort check` wrote.
        out: The split, as JSON.
        by: centre keeps whole centres apart; random only subjects.
        fraction: Of the cases that train, when there is one split.
        folds: Cross-validation with so many folds instead.
        inner: Folds inside each training part (nested cross-validation).
        seed: The same seed, the same split.
        debug: Show a traceback on errors.
    """
    from insula.cli.console import tell
    from insula.cohort.precision import describe
    from insula.cohort.split import from_dict, make_folds, make_holdout, nest, to_dict
    from insula.io import write_json

    checked = _load(cohort)
    made = (
        make_holdout(checked, by=by, fraction=fraction, seed=seed)
        if folds is None
        else make_folds(checked, by=by, count=folds, seed=seed)
    )
    if inner is not None:
        made = nest(checked, made, count=inner)
    tree = to_dict(made) | {"notes": [*checked.sheets, *checked.notes]}
    from_dict(tree, checked, name=out.name)  # what is written is what would be accepted
    write_json(out, tree)
    for line in describe(checked, made, share=1 - fraction if folds is None else 1 / folds):
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
    """Turn a cohort into a training store: RAS+, 1 mm, 192x224x176, memory-mapped, checked by hash.

    Goes on where it was stopped. A case that cannot be used is named and left out (exit code 1).

    Args:
        cohort: The folder.
        out: The store.
        precision: uint8 (8 MB a case) or float16 (16 MB).
        label: The value that is lesion, for masks with several labels.
        jobs: Processes; 0 takes every core.
        debug: Show a traceback on errors.
    """
    import sys
    from functools import partial

    from insula.cli.console import bar, tell
    from insula.cohort import each, find_cohort, processors
    from insula.config import PrepareConfig
    from insula.io import OutputFolder
    from insula.io.naming import contrast_by_name
    from insula.io.participants import count_names
    from insula.store import StoredCase, write_index
    from insula.store.folder import forget_index, no_lesion, try_store

    with OutputFolder(out) as folder:
        found = find_cohort(cohort, label=label)
        entries = [entry for entry in found.entries if not entry.hidden]
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
                    print(f"insula: {entry.case}: {result}", file=sys.stderr)
                if progress is not None:
                    progress.advance(progress.task_ids[0])
        agent = [entry.case for entry in entries if entry.images and contrast_by_name(entry.images[0])]
        notes = (*found.notes, *no_lesion(case.lesion_voxels for case in stored))
        if agent:
            notes = (*notes, f"scanned with a contrast agent, by their names: {count_names(agent, 'case')}")
        write_index(folder, stored, config, precision, notes=(*found.sheets, *notes))
        size = sum((folder / case.file).stat().st_size for case in stored)
    print(f"{len(stored)} cases, {size / 1e9:.2f} GB" + (f"; {failed} left out" if failed else ""))
    tell(found.sheets, notes)
    print(out)
    return 1 if failed else 0


def check_with_bar(found: Cohort, jobs: int) -> CheckedCohort:
    """Check a cohort on every core, with a bar."""
    from insula.cli.console import bar
    from insula.cohort import Examined, check_cohort, processors

    with bar(len(found.entries), "checking") as progress:

        def done(case: Examined) -> None:
            if progress is not None:
                progress.advance(progress.task_ids[0])

        return check_cohort(found, jobs=jobs or processors(), done=done)


def _load(cohort: Path) -> CheckedCohort:
    """From a record if there is one, else from the scans themselves."""
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


def _tell_centres(centres: list[dict[str, Any]]) -> None:
    from insula.cli.console import table

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
            *(
                one[key]
                for key in (
                    "centre",
                    "cases",
                    "subjects",
                    "chronic",
                    "acute",
                    "median_ml",
                    "median_components",
                    "axes",
                    "spacing_mm",
                )
            ),
            None if one["p99"] is None else "{:g} to {:g}".format(*one["p99"]),
            one["with_faults"],
        )
        for one in centres
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
