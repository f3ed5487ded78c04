"""`insula-bids`: the BIDS-App form of `insula segment`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

from insula.cli.exits import exit_code_of
from insula.types import DEFAULT_WEIGHTS

if TYPE_CHECKING:
    from insula.checkpoint import Weights
    from insula.config import SegmentConfig
    from insula.errors import InsulaError
    from insula.predict import BidsScan

__all__ = ["bids_app", "main"]


def main() -> None:
    """Run the BIDS App and exit with one of the codes of `insula.errors`."""
    import tyro

    import insula

    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-v"]):
        print(f"insula {insula.__version__}")
        return

    def call() -> int:
        return tyro.cli(bids_app, prog="insula-bids", args=arguments or ["--help"])

    sys.exit(exit_code_of(call, debug="--debug" in arguments))


def bids_app(
    bids_dir: Positional[Path],
    output_dir: Positional[Path],
    analysis_level: Positional[Literal["participant", "group"]],
    /,
    participant_label: tuple[str, ...] = (),
    weights: str = DEFAULT_WEIGHTS,
    threshold: float | None = None,
    tta: bool = False,
    low_memory: bool = False,
    assume_t1w: bool = False,
    device: str = "auto",
    debug: bool = False,
) -> int:
    """Segment the T1w scans of a BIDS dataset into a BIDS derivative.

    participant: for each scan a mask, a probability map, a lesion map, a record and a page, and a brain mask if the weights give one. Runs for different
    participants may write to the same folder at the same time. group: one table and one index page over all that is
    there. Nothing is written into the dataset itself. For research only; not a medical device.

    Args:
        bids_dir: The dataset.
        output_dir: The derivative, e.g. BIDS_DIR/derivatives/insula.
        analysis_level: participant, then group.
        participant_label: Only these, with or without sub-.
        weights: Bundled weights by name, or a folder or file of your own; a folder of folds, or a,b, are averaged.
        threshold: Probability from which a voxel is lesion; the weights' own if not given.
        tta: Average with the mirrored scan; twice the time.
        low_memory: Compute in tiles; the same mask in less memory.
        assume_t1w: The scans are T1w, whatever they look like.
        device: auto, cpu, cuda or cuda:N.
        debug: Show a traceback on errors.
    """
    from insula.config import SegmentConfig
    from insula.errors import UsageError

    if threshold is not None and not 0 < threshold <= 1:
        raise UsageError("--threshold", threshold, "is not above 0 and at most 1", "use e.g. 0.5")
    raw, out = bids_dir.resolve(), output_dir.resolve()
    if out == raw or (raw in out.parents and raw / "derivatives" not in out.parents):
        rule = "lies inside the dataset, into which nothing is written"
        raise UsageError("the output", output_dir, rule, "choose another folder, or one under derivatives/")
    if analysis_level == "group":
        return _group(bids_dir, output_dir)
    config = SegmentConfig(
        threshold=threshold, tta=tta, device=device, passes="tiled" if low_memory else "auto", assume_t1w=assume_t1w
    )
    return _participants(bids_dir, output_dir, participant_label, weights, config, debug)


def _participants(
    raw: Path, out: Path, labels: tuple[str, ...], weights: str, config: SegmentConfig, debug: bool
) -> int:
    from insula.checkpoint import load_weights
    from insula.cli.console import bar
    from insula.errors import from_os_error
    from insula.infer import choose_device
    from insula.io import OutputFolder
    from insula.predict import look_through, write_bids_dataset

    choose_device(config.device)
    found = look_through(raw, labels)
    scans = found.scans
    loaded = load_weights(weights)
    refused: list[InsulaError] = []
    _describe(raw)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise from_os_error(error, what="the output folder", value=out, writing=True) from error
    write_bids_dataset(raw, out)
    with bar(len(scans)) as progress:
        for scan in scans:
            mine = out / f"sub-{scan.entities['sub']}"  # a lock for each participant, not for all
            with OutputFolder(mine, nested=True):
                said = _one(scan, out, loaded, config, debug)
            if said is not None:
                refused.append(said)
            if progress is not None:
                progress.advance(progress.task_ids[0])
    for note in found.notes:
        print(f"insula: {note}", file=sys.stderr)
    print(out)
    if not refused:
        return 0
    return refused[0].code if len(scans) == 1 else 1


def _one(scan: BidsScan, out: Path, weights: Weights, config: SegmentConfig, debug: bool) -> InsulaError | None:
    from insula.errors import BadData, Interrupted, as_insula_error
    from insula.io import printable, write_json, write_text
    from insula.predict import bids_paths, open_scan, segment, write_bids_result
    from insula.predict.record import refusal
    from insula.report import render_page

    paths = bids_paths(scan, out)
    try:
        if scan.twin:
            rule = f"and {printable(scan.twin)} would have one result, and nothing says which is meant"
            raise BadData("the scan", printable(scan.path.name), rule, "keep one of them")
        result = segment(open_scan(scan.path, name=scan.name)[0], config, weights=weights)
    except Interrupted:
        raise
    except Exception as error:
        if debug:
            raise
        known = as_insula_error(error)
        for stale in paths.all_but_the_record:  # an older result would be believed
            stale.unlink(missing_ok=True)
        paths.record.parent.mkdir(parents=True, exist_ok=True)
        write_json(paths.record, refusal(scan.name, known))
        print(f"insula: {scan.name}: {known}", file=sys.stderr)
        return known
    record = write_bids_result(result, scan, paths)
    write_text(paths.page, render_page(result, record))
    print(f"{scan.name}: {record['volume_ml']:.2f} ml, lesions: {record['lesion_count']}", flush=True)
    return None


def _group(raw: Path, out: Path) -> int:
    from insula.errors import BadData, InsulaError, NoInput
    from insula.io import OutputFolder, write_text
    from insula.predict import look_through
    from insula.report import render_index

    if not out.is_dir():
        raise NoInput("the output", out, "does not exist", "run the participant level first")
    records: list[dict[str, Any]] = []
    for path in sorted(out.glob("sub-*/**/*_record.json")):
        try:
            records.append(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise BadData("the record", path.name, f"is not JSON ({error})", "run that participant again") from None
    if not records:
        raise NoInput("the output", out, "holds no records", "run the participant level first")
    try:
        notes = look_through(raw).notes
    except InsulaError:  # the dataset itself need not be there any more
        notes = ()
    rows = ["scan\toutcome\tvolume_ml\tlesion_count\tbrain_volume_ml\tlesion_share"]
    for record in records:
        done, brain = record["outcome"] == "done", record.get("brain") or {}  # older records have none
        cells = [record["volume_ml"], record["lesion_count"]] if done else ["n/a", "n/a"]
        cells += ["n/a" if brain.get(key) is None else brain[key] for key in ("volume_ml", "lesion_share")]
        rows.append("\t".join(map(str, (record["case"], record["outcome"], *cells))))
    with OutputFolder(out) as folder:
        write_text(folder / "group_volumes.tsv", "\n".join(rows) + "\n")
        write_text(folder / "index.html", render_index(records, note="; ".join(notes)))
    for note in notes:
        print(f"insula: {note}", file=sys.stderr)
    print(out / "index.html")
    return 0


def _describe(raw: Path) -> None:
    """A dataset without a readable description can be segmented; it is said all the same."""
    path = raw / "dataset_description.json"
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        missing = [key for key in ("Name", "BIDSVersion") if not tree.get(key)]
        told = f"lacks {' and '.join(missing)}" if missing else ""
    except FileNotFoundError:
        told = "is missing"
    except (ValueError, AttributeError, OSError) as error:
        told = f"is not JSON ({error})"
    if told:
        print(f"insula: dataset_description.json {told}; the scans are segmented all the same", file=sys.stderr)
