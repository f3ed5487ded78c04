"""Many scans, one after the other; a bad one is reported and the next one begins."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from insula.cli.console import bar, shown
from insula.config import SegmentConfig
from insula.errors import BadData, InsulaError, Interrupted, as_insula_error

if TYPE_CHECKING:
    from insula.cli.claims import Claims

__all__ = ["Batch", "run_batch"]

_COLUMNS = ("case", "outcome", "volume_ml", "lesion_count", "brain_volume_ml", "lesion_share", "warnings", "message")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What is to be done."""

    files: list[Path]
    names: list[str]
    config: SegmentConfig
    weights: list[str]
    """Of each file."""
    frame: int | None = None
    series: int | None = None
    """SeriesNumber of DICOM to take."""
    assume_orientation: str | None = None
    passed_over: dict[str, list[Path]] = field(default_factory=dict)
    """Why -> files of the folders that are not done."""
    twins: dict[Path, Path] = field(default_factory=dict)
    """A file -> another of the same name; they are refused."""
    notes: tuple[str, ...] = ()
    """What else is passed over, in words."""
    debug: bool = False


def run_batch(batch: Batch, out: Path) -> int:
    """Segment every file of the batch into `out`.

    What concerns all cases (the folder, the weights, the device) is checked before the first. When the output
    itself fails (a full disk), the run stops there; what is named as done is complete.

    Returns:
        0; 1 when some cases of several were refused; the refusal's own code when there was only one case.
    """
    from rich.markup import escape

    from insula.cli.claims import Claims
    from insula.infer import choose_device
    from insula.io import OutputFolder, write_text

    choose_device(batch.config.device)
    with OutputFolder(out) as folder:
        from insula.checkpoint import load_weights
        from insula.report import render_index

        claims = Claims(folder)
        loaded = {name: load_weights(name) for name in dict.fromkeys(batch.weights)}
        records: list[dict[str, Any]] = []
        refused: list[InsulaError] = []
        with bar(len(batch.files)) as progress:
            for path, name, weights in zip(batch.files, batch.names, batch.weights, strict=True):
                if progress is not None:
                    progress.update(progress.task_ids[0], description=escape(shown(name)[:40]))
                record, error = _one(batch, (path, name), loaded[weights], folder, claims)
                if record["case"] != name and not record["case"].startswith("dicom-"):
                    print(
                        f"insula: {shown(name)} is called {shown(record['case'])}: the name is taken", file=sys.stderr
                    )
                records.append(record)
                if error is not None:
                    refused.append(error)
                    print(f"insula: {shown(record['case'])}: {error}", file=sys.stderr)
                else:
                    print(_line(record), flush=True)
                if progress is not None:
                    progress.advance(progress.task_ids[0])
        write_text(folder / "results.tsv", _table(records))
        passed = _passed_over(batch)
        write_text(folder / "index.html", render_index(records, note=passed))
    if passed:
        print(f"insula: {passed}", file=sys.stderr)
    print(out / "index.html")
    if not refused:
        return 0
    return refused[0].code if len(batch.files) == 1 else 1


def _passed_over(batch: Batch) -> str:
    """In one sentence, what lay in the folders and was not done; empty where nothing was."""
    count = sum(map(len, batch.passed_over.values()))
    notes = "; ".join(batch.notes) + ("." if batch.notes else "")
    if not count:
        return notes
    parts = [
        f"{len(paths)} {why} ({', '.join(shown(path.name) for path in paths[:3])}{', ...' if len(paths) > 3 else ''})"
        for why, paths in batch.passed_over.items()
    ]
    return f"{count} of {count + len(batch.files)} files passed over: {'; '.join(parts)}. Name a file to have it done. {notes}".strip()


def _one(
    batch: Batch, case: tuple[Path, str], weights: Any, folder: Path, claims: Claims
) -> tuple[dict[str, Any], InsulaError | None]:
    from insula.predict import open_scan, result_paths, segment, write_refusal
    from insula.report import write_case

    path, name = case
    claimed = ""
    try:
        if path in batch.twins:
            rule = f"lies beside {batch.twins[path].name}, and nothing says which is meant"
            raise BadData("the scan", path.name, rule, "keep one of them, or name its file")
        scan, source = open_scan(
            path,
            name=name,
            frame=batch.frame,
            series=batch.series,
            assume_orientation=batch.assume_orientation,
            assume_t1w=batch.config.assume_t1w,
        )
        claimed = claims.for_result(scan.name, scan.file.sha256 if scan.file else "", path)
        scan = replace(scan, name=claimed)
        paths = result_paths(folder, claimed)
        result = segment(scan, batch.config, weights=weights)
    except Interrupted:
        raise
    except Exception as error:
        if batch.debug:
            raise
        known = as_insula_error(error)
        claimed = claimed or claims.for_refusal(name, path)
        return write_refusal(known, claimed, result_paths(folder, claimed)), known
    try:
        return write_case(result, paths, source=source), None
    except InsulaError as error:
        if error.code != 65:  # not the input's fault: no later case would fare better
            raise
        return write_refusal(error, claimed, paths), error


def _line(record: dict[str, Any]) -> str:
    count = record["lesion_count"]
    found = (
        f"{record['volume_ml']:9.2f} ml in {count} lesion{'' if count == 1 else 's'}"
        if count
        else f"  {record['reason']}"
    )
    warnings = sum(flag["severity"] == "warning" for flag in record["flags"])
    return f"{shown(record['case'])}: {found.strip()}" + (
        f"  ({warnings} warning{'' if warnings == 1 else 's'})" if warnings else ""
    )


def _table(records: list[dict[str, Any]]) -> str:
    rows = ["\t".join(_COLUMNS)]
    for record in records:
        done, brain = record["outcome"] == "done", record.get("brain") or {}
        cells = (
            record["case"],
            record["outcome"],
            record["volume_ml"] if done else "n/a",
            record["lesion_count"] if done else "n/a",
            *("" if brain.get(key) is None else brain[key] for key in ("volume_ml", "lesion_share")),
            ",".join(flag["code"] for flag in record["flags"] if flag["severity"] == "warning") if done else "n/a",
            (record["reason"] or "") if done else record["error"]["message"],
        )
        rows.append("\t".join(" ".join(str(cell).split()) for cell in cells))
    return "\n".join(rows) + "\n"
