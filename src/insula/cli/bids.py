"""`insula-bids`: the BIDS-App form of `insula segment`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from insula.cli.console import bar, warn
from insula.cli.exits import code_of_cases, exit_code_of
from insula.cli.flags import flagged
from insula.types import DEFAULT_WEIGHTS, VERSION

if TYPE_CHECKING:
    from insula.checkpoint import Weights
    from insula.config import SegmentConfig
    from insula.errors import InsulaError
    from insula.predict import BidsPaths, BidsScan, Kept
    from insula.study import Overview

__all__ = ["bids_app", "main"]

_KEPT: dict[Kept, str] = {
    "unchanged": "unchanged",
    "edited": "the mask was changed since; it is kept",
    "corrected": "corrected by hand; it is kept",
}


def main() -> None:
    """Run the BIDS App and exit with one of the codes of `insula.errors`."""
    import tyro

    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-v"]):
        print(f"insula {VERSION}")
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
    again: bool = False,
    device: str = "auto",
    debug: bool = False,
) -> int:
    """Segment the T1w scans of a BIDS dataset into a BIDS derivative.

    The participant level writes a mask, a probability map, a lesion map, a record and a page for each scan, and a brain
    mask if the weights predict one. Runs for different participants may write to the same folder at the same time. The
    group level writes one table and one index page of all results in the output folder. The dataset itself is not
    changed. For research only; not a medical device.

    Args:
        bids_dir: BIDS dataset to read.
        output_dir: Derivative to write, e.g. BIDS_DIR/derivatives/insula.
        analysis_level: participant first, then group.
        participant_label: Participants to segment, with or without sub-; all if not given.
        weights: Bundled weights by name, or your own file or folder; several (a,b) or a folder of folds are averaged.
        threshold: Probability from which a voxel counts as lesion; the weights' own if not given.
        tta: Average with the prediction for the mirrored scan; the network takes twice as long.
        low_memory: Compute in tiles; gives the same mask with less memory.
        assume_t1w: Accept every scan as T1w, whatever it looks like.
        again: Segment all scans again, also those that are done; a corrected mask is renamed, never replaced.
        device: Device to use: auto, cpu, cuda or cuda:N.
        debug: Show a traceback on errors.
    """
    from insula.config import SegmentConfig
    from insula.errors import UsageError

    if threshold is not None and not 0 < threshold <= 1:
        raise UsageError("--threshold", threshold, "is not above 0 and at most 1", "use e.g. 0.5")
    raw, out = bids_dir.resolve(), output_dir.resolve()
    if out == raw or (raw in out.parents and raw / "derivatives" not in out.parents):
        rule = "lies inside the dataset, which is not to be changed"
        raise UsageError("the output", output_dir, rule, "choose another folder, or one under derivatives/")
    if analysis_level == "group":
        return _group(bids_dir, output_dir)
    config = SegmentConfig(
        threshold=threshold, tta=tta, device=device, passes="tiled" if low_memory else "auto", assume_t1w=assume_t1w
    )
    return _participants(bids_dir, output_dir, participant_label, weights, config, again=again, debug=debug)


def _participants(
    raw: Path, out: Path, labels: tuple[str, ...], weights: str, config: SegmentConfig, *, again: bool, debug: bool
) -> int:
    from insula.checkpoint import load_weights
    from insula.infer import choose_device
    from insula.io import OTHERS_PATIENCE_S, FolderInUse, OutputFolder
    from insula.predict import look_through, write_bids_dataset
    from insula.study import BidsResults, Overview

    choose_device(config.device)
    dataset = look_through(raw, labels)
    scans = dataset.scans
    loaded = load_weights(weights)
    refused: list[InsulaError] = []
    _describe(raw)
    with BidsResults(out).lock_tables():
        write_bids_dataset(raw, out)
    overview = Overview(out, note="")
    with bar(len(scans)) as progress:
        for scan in scans:
            subject_folder = out / f"sub-{scan.entities['sub']}"  # locked one by one: other runs may write to `out`
            folder = OutputFolder(subject_folder, nested=True, option="output folder", patience_s=OTHERS_PATIENCE_S)
            try:
                with folder:
                    refusal = _segment_scan(scan, out, loaded, config, again=again, debug=debug)
                _write_tables(out, overview)
            except FolderInUse as error:  # by then the others may have gone on, so that later scans can be written
                refusal = error
                warn(f"{scan.name}: {error}")
            if refusal is not None:
                refused.append(refusal)
            if progress is not None:
                progress.advance(progress.task_ids[0])
    for note in dataset.notes:
        warn(str(note))
    print(out)
    return code_of_cases(refused, len(scans))


def _segment_scan(
    scan: BidsScan, out: Path, weights: Weights, config: SegmentConfig, *, again: bool, debug: bool
) -> InsulaError | None:
    """Segment a scan and write its results, or a record of why it was refused; return the refusal."""
    from insula.errors import BadData, as_insula_error
    from insula.io import printable, write_json
    from insula.predict import (
        bids_paths,
        inputs_sha256,
        kept_result,
        open_scan,
        segment,
    )
    from insula.predict.record import refusal
    from insula.report import write_bids_case

    paths = bids_paths(scan, out)
    try:
        if scan.twin:
            rule = f"and {printable(scan.twin)} would have the same result file, and it is unclear which is meant"
            raise BadData("the scan", printable(scan.path.name), rule, "keep one of them")
        image = open_scan(scan.path, name=scan.name)[0]
        kept = None if again else kept_result(paths.record, inputs_sha256(image, config, weights))
        if kept is not None and (kept[1] != "unchanged" or paths.page.exists()):
            print(f"{scan.name}: {_KEPT[kept[1]]}", flush=True)
            return None
        result = segment(image, config, weights=weights)
    except Exception as error:
        if debug:
            raise
        known = flagged(as_insula_error(error))
        _set_aside(scan, paths)
        for stale in paths.all_but_the_record:  # an older result could be mistaken for this one
            stale.unlink(missing_ok=True)
        paths.record.parent.mkdir(parents=True, exist_ok=True)
        write_json(paths.record, refusal(scan.name, known))
        warn(f"{scan.name}: {known}")
        return known
    _set_aside(scan, paths)
    record = write_bids_case(result, scan, paths)
    print(f"{scan.name}: {record['volume_ml']:.2f} ml, lesions: {record['lesion_count']}", flush=True)
    return None


def _set_aside(scan: BidsScan, paths: BidsPaths) -> None:
    """Rename a corrected mask, so that it is not replaced, and say so."""
    from insula.predict import set_corrected_aside

    if (aside := set_corrected_aside(paths.record)) is not None:
        warn(f"{scan.name}: the corrected mask is now {aside.name}")


def _write_tables(out: Path, overview: Overview) -> bool:
    """Write the tables and the index of all results in a folder; return whether there are any.

    Runs for several participants may do so at the same time: each waits for the others.
    """
    from insula.study import BidsResults

    results = BidsResults(out)
    with results.lock_tables():
        count = overview.read(results)
        if count:
            overview.write()
    return bool(count)


def _group(raw: Path, out: Path) -> int:
    from insula.errors import BadData, InsulaError, NoInput
    from insula.predict import look_through
    from insula.study import BidsResults, Overview

    if not out.is_dir():
        raise NoInput("the output", out, "does not exist", "run the participant level first")
    for path in sorted(BidsResults(out).records()):
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise BadData("the record", path.name, f"is not JSON ({error})", "run that participant again") from None
    try:
        notes = tuple(map(str, look_through(raw).notes))
    except InsulaError:  # the dataset itself may be gone by now
        notes = ()
    if not _write_tables(out, Overview(out, note="; ".join(notes))):
        raise NoInput("the output", out, "holds no records", "run the participant level first")
    for note in notes:
        warn(str(note))
    print(out / "index.html")
    return 0


def _describe(raw: Path) -> None:
    """Warn about a missing or damaged dataset_description.json; the dataset can be segmented without it."""
    path = raw / "dataset_description.json"
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        missing = [key for key in ("Name", "BIDSVersion") if not tree.get(key)]
        problem = f"lacks {' and '.join(missing)}" if missing else ""
    except FileNotFoundError:
        problem = "is missing"
    except (ValueError, AttributeError, OSError) as error:
        problem = f"is not JSON ({error})"
    if problem:
        warn(f"dataset_description.json {problem}; the scans are segmented anyway")
