"""`insula adapt`: fine-tune weights on the corrected masks of one hospital."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from insula.cli.console import plain_progress, table, warn
from insula.types import DEFAULT_WEIGHTS

if TYPE_CHECKING:
    from insula.adapt import Adaptation
    from insula.adapt.run import Stage
    from insula.config import PrepareConfig
    from insula.synthetic import Sources

__all__ = ["adapt"]

_LONG_S = 90


def adapt(
    results: Positional[Path],
    scans: Positional[tuple[str, ...]],
    /,
    out: Path = Path("insula-adapted"),
    data: Path | None = None,
    weights: str = DEFAULT_WEIGHTS,
    steps: int = 400,
    folds: int = 5,
    label: int | None = None,
    device: str = "auto",
    seed: int = 0,
    debug: bool = False,
) -> int:
    """Adapt weights to your own scans, from 5 to 50 corrected masks.

    Fine-tunes the weights, judges them on cases that were left out in turn, and writes new weights only if their Dice
    improves; otherwise the weights stay as they are. Takes minutes on a GPU and hours on a CPU, and says how long
    before it begins. If it was interrupted, the same command resumes. At the end it names five cases to correct next.

    Args:
        results: Folder that insula segment or insula-bids wrote, with corrected or passed masks; or a folder of masks,
            each named after its scan.
        scans: The scans: files, folders or patterns. May be left out for a folder that insula-bids wrote, if its BIDS
            dataset is where it was.
        out: Folder for the weights and the report.
        data: Folder of open heads and lesion outlines; half of the training is then on simulated heads, and the new
            weights must hold on such heads too.
        weights: Weights to adapt: a bundled name, a folder or a file.
        steps: Steps of each fine-tuning.
        folds: Number of parts that are left out in turn.
        label: Label of the lesion in masks with several.
        device: auto, cpu, cuda, or a GPU such as cuda:1.
        seed: Random seed.
        debug: Show a traceback on errors.
    """
    from insula.adapt import adapt as run
    from insula.adapt import find_labelled
    from insula.adapt.labelled import subject_of
    from insula.checkpoint import load_weights
    from insula.config import AdaptConfig
    from insula.errors import NoInput, UsageError
    from insula.study import needs_scans

    if not scans and needs_scans(results):
        raise NoInput("the scans", "", "are missing", f"write e.g. insula adapt {results} scans")
    for name, value, least in (("--steps", steps, 1), ("--folds", folds, 2)):
        if value < least:
            raise UsageError(name, value, f"is under {least}", f"use e.g. {name} 5")
    loaded = load_weights(weights)
    labelled = find_labelled(results, scans, label=label)
    print(f"{len(labelled)} cases of {len({subject_of(name) for name in labelled})} subjects", flush=True)
    _warn_of_others(results)
    sources = None if data is None else _sources(data, loaded.card.prepare)
    config = AdaptConfig(steps=steps, folds=folds, device=device, seed=seed)
    adaptation = run(labelled, out, loaded, sources=sources, config=config, report=_show)
    _print(adaptation, out)
    _propose(results)
    return 0


def _sources(data: Path, prepare: PrepareConfig) -> tuple[Sources, Sources]:
    from insula.synthetic import load_sources

    return load_sources(data, part="train", box=prepare.box), load_sources(data, part="validation", box=prepare.box)


def _show(stage: Stage) -> None:
    if stage.seconds is not None:
        time = f"{stage.seconds:.0f} s" if stage.seconds < _LONG_S else f"{stage.seconds / 60:.0f} min"
        print(f"{stage.runs} fine-tunings at most, {time} in all, and the segmentations to judge them", flush=True)
    if stage.progress is not None:
        if stage.progress.step == 1:
            print(f"fine-tuning {stage.run} of {stage.runs}", flush=True)
        plain_progress(stage.progress)


def _print(adaptation: Adaptation, out: Path) -> None:
    from insula.io import printable

    rows = [
        [printable(change.case), *(round(v, 3) for v in (change.before, change.after, change.after - change.before))]
        for change in adaptation.changes
    ]
    table(["left-out case", "Dice before", "after", "difference"], rows)
    decision = adaptation.decision
    print(f"mean Dice before {decision.before.figures()}, after {decision.after.figures()}")
    print(f"difference {decision.difference.mean.figures(signed=True)} (n = {decision.difference.mean.n})")
    if (test := adaptation.old_test) is not None:
        print(f"{test.heads} simulated heads: Dice {test.before:.3f} before, {test.after:.3f} after;", end=" ")
        print(f"found without a lesion {test.false_ml_before:.2f} ml before, {test.false_ml_after:.2f} ml after")
    if adaptation.weights is None:
        print(f"the weights stay as they are: {adaptation.reason}")
    else:
        print(f"new weights: {adaptation.weights}")
        if adaptation.old_test is None:
            warn("the new weights were not tested on heads of others; with `data` they are, on simulated ones")
    print(out / "adapt.json")


def _warn_of_others(results: Path) -> None:
    """Say how many scans were refused, and how many masks in a BIDS derivative are of another program."""
    from insula.io.participants import count_names
    from insula.study import earlier_records, passed_over, results_in

    found = results_in(results)
    records = earlier_records(found)
    if refused := [case for case, record in records.items() if record["outcome"] == "refused"]:
        warn(f"passed over: {count_names(refused, 'scan')} that could not be segmented")
    if others := passed_over(found, records):
        warn(others)


def _propose(results: Path) -> None:
    from insula.adapt import next_cases
    from insula.io import printable
    from insula.study import earlier_records, results_in, reviews_of

    records = earlier_records(results_in(results))
    for number, proposal in enumerate(next_cases(records, reviews_of(results))):
        if number == 0:
            print("to correct next:")
        reasons = f" ({', '.join(proposal.reasons)})" if proposal.reasons else ""
        print(f"  {printable(proposal.case)}: review score {proposal.score:.2f}{reasons}")
