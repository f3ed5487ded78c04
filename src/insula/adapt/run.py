"""Adapts weights to a few corrected cases, and keeps the result only where left-out cases gain from it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from insula.adapt.decision import CaseChange, Decision, OldTest, decide
from insula.adapt.folds import deal
from insula.adapt.labelled import Labelled, subject_of
from insula.adapt.tuning import adapted_recipe, case_set, fine_tune
from insula.checkpoint import Card, Weights, save_weights
from insula.config import AdaptConfig, Recipe, SegmentConfig, to_dict
from insula.errors import CannotCreate, NoInput
from insula.infer import choose_device
from insula.io import OutputFolder, write_json, write_text
from insula.io.cells import table_text
from insula.metrics import dice_score
from insula.predict import segment
from insula.store import CaseSet
from insula.synthetic import Sources
from insula.train import HeadStream
from insula.train.loop import Progress
from insula.train.phases import pace
from insula.train.run import Run
from insula.train.validate import validate
from insula.train.world import World
from insula.volume import Case, Mask

__all__ = ["Adaptation", "Stage", "adapt"]

_TIMED, _WARM = 4, 3
_OLD_HEADS, _OLD_SEED = 24, 4177


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where an adaptation is, for a person who waits."""

    run: int
    """Number of the fine-tuning, from 1; 0 before the first."""
    runs: int
    seconds: float | None = None
    """How long all fine-tunings will take [s], measured on a few steps; None if not known yet."""
    progress: Progress | None = None
    """Figures of a step."""


@dataclass(frozen=True, kw_only=True)
class Adaptation:
    """The outcome of an adaptation."""

    changes: tuple[CaseChange, ...]
    """All cases, each judged by weights that were adapted to other subjects."""
    decision: Decision
    old_test: OldTest | None
    """None without sources of simulated heads, or if nothing was gained on the left-out cases."""
    weights: Path | None
    """Card of the adapted weights; None if the weights stay as they were."""

    @property
    def reason(self) -> str:
        """Why the adapted weights were kept, or why not."""
        if self.decision.lost:
            return "left-out cases lose"
        if not self.decision.gained:
            return "the interval of the difference includes zero: no gain is shown"
        if self.old_test is not None and not self.old_test.holds:
            return "left-out cases gain, but simulated heads lose (see `old_test` in adapt.json)"
        return "left-out cases gain"


def adapt(
    scans: Labelled,
    out: Path,
    weights: Weights,
    *,
    sources: tuple[Sources, Sources] | None = None,
    config: AdaptConfig = AdaptConfig(),
    report: Callable[[Stage], None] = lambda _: None,
) -> Adaptation:
    """Adapt weights to a few scans with masks that a person stands for.

    The scans are dealt to folds by subject. For each fold, the weights are fine-tuned on the others and judged on this
    one, by whole segmentations on the scans' own grids. If the mean Dice gains, with its whole 95 % interval above
    zero, the weights are fine-tuned on all scans; and if simulated heads do not lose (`OldTest`), they are written.
    Otherwise nothing but the report is. A run that was stopped goes on where it was.

    Args:
        scans: at least five.
        out: folder for `adapt.json`, `adapt.tsv` and the weights; locked meanwhile.
        weights: a single network.
        sources: of simulated heads to mix in, and of others to judge by; of the training and the validation part.
        config: steps, folds, rate, device, seed.
        report: called before the first fine-tuning, and every twenty steps.

    Raises:
        CannotCreate: the folder holds adapted weights already.
        NoInput: all scans are of one subject.
        UsageError: simulated heads are to be mixed in, which are at 1 mm, and the weights are not.
        InsulaError: a scan or mask cannot be used, the device is not possible, or its memory is too small.
        Interrupted, Preempted: the run was stopped; its state is saved.
    """
    device = choose_device(config.device)
    recipe = adapted_recipe(weights.card, config, device, simulated=sources is not None)
    _ = weights.model  # refuses an ensemble before anything is read
    names = list(scans)
    subjects = [subject_of(name) for name in names]
    if len(set(subjects)) < 2:
        rule = "are of one subject, who cannot be left out"
        raise NoInput("the cases", f"({len(scans)})", rule, "add cases of other subjects")
    with OutputFolder(out) as folder:
        if (folder / f"{recipe.name}.json").exists():
            rule = f"holds {recipe.name} already, and nothing is written over weights"
            raise CannotCreate("the output folder", out, rule, "choose another `out`")
        cases = replace(case_set(scans, weights.card.prepare), painted_from=sources and sources[0])
        work = folder / f"unfinished-{_fingerprint(cases, weights, recipe, config, sources)}"
        folds = deal(subjects, config.folds, config.seed)
        tune = _Tuner(weights, cases, recipe, work, len(folds) + 1, report)
        tune.announce(device)
        changes: list[CaseChange] = []
        settings = SegmentConfig(device=str(device), assume_t1w=True)
        for number, left_out in enumerate(folds):
            kept = [n for n in range(len(scans)) if n not in left_out]
            tuned = tune(number, kept)
            changes += [_change(names[n], scans[names[n]](), weights, tuned, settings) for n in left_out]
        decision, old_test, card = decide(changes), None, None
        if decision.gained:
            tuned = tune(len(folds), range(len(scans)))
            if sources is not None:
                old_test = _old_test(weights, tuned, sources[1], recipe, device)
            if old_test is None or old_test.holds:
                card = folder / f"{recipe.name}.json"
        result = Adaptation(
            changes=tuple(sorted(changes, key=lambda change: change.case)),
            decision=decision,
            old_test=old_test,
            weights=card,
        )
        if card is not None:
            save_weights(folder, tuned.model, _described(tuned.card, result))
        _write(result, folder, config, weights.card)
        with suppress(OSError):
            shutil.rmtree(work)
        return result


@dataclass(frozen=True)
class _Tuner:
    """Fine-tunes on some of the cases; each run in a folder of its own."""

    weights: Weights
    cases: CaseSet
    recipe: Recipe
    work: Path
    runs: int
    report: Callable[[Stage], None]

    def announce(self, device: torch.device) -> None:
        """Report how long all runs will take, measured on a few steps."""
        self.report(Stage(run=0, runs=self.runs))
        steps = _WARM + _TIMED
        short = replace(self.recipe, train=replace(self.recipe.train, steps=steps))
        with TemporaryDirectory() as folder:
            run = Run(short, self.cases, Path(folder), start=self.weights, world=World())
            take = partial(run.steps.take, lr=1e-9, rate=1e-3)
            ms = pace(take, run.stream.batches(0, steps), warm=_WARM, steps=_TIMED, device=device)
        self.report(Stage(run=0, runs=self.runs, seconds=ms / 1000 * self.recipe.train.steps * self.runs))

    def __call__(self, number: int, kept: Sequence[int]) -> Weights:
        """Fine-tune on the cases of these numbers."""
        folder = self.work / f"run{number + 1}"
        folder.mkdir(parents=True, exist_ok=True)

        def report(progress: Progress) -> None:
            self.report(Stage(run=number + 1, runs=self.runs, progress=progress))

        tuned = fine_tune(self.weights, self.cases.only(kept), self.recipe, folder, report=report)
        return replace(tuned, card=_decides_as(self.weights.card, tuned.card))


def _change(name: str, case: Case, before: Weights, after: Weights, config: SegmentConfig) -> CaseChange:
    def judged(weights: Weights) -> tuple[float, float]:
        mask: Mask = segment(case.scan, config, weights=weights).mask
        return dice_score(case.truth.voxels, mask.voxels), mask.volume_ml

    (old, old_ml), (new, new_ml) = judged(before), judged(after)
    return CaseChange(
        case=name,
        subject=subject_of(name),
        truth_ml=case.truth.volume_ml,
        before=old,
        after=new,
        before_ml=old_ml,
        after_ml=new_ml,
    )


def _old_test(before: Weights, after: Weights, sources: Sources, recipe: Recipe, device: torch.device) -> OldTest:
    heads = HeadStream(sources, recipe, device=device).cases(_OLD_HEADS, seed=_OLD_SEED)
    old, new = (
        validate(
            weights.model.to(device),
            heads,
            dtype=torch.float32,
            spacing_mm=recipe.prepare.spacing_mm,
            world=World(),
        )
        for weights in (before, after)
    )
    return OldTest(
        heads=len(heads),
        before=old.dice,
        after=new.dice,
        false_ml_before=old.false_ml or 0.0,
        false_ml_after=new.false_ml or 0.0,
    )


def _decides_as(before: Card, tuned: Card) -> Card:
    """Return a card with the decisions of the weights as they were: threshold, smallest lesion, calibration.

    The interval of the volume was fitted to those weights and is left out.
    """
    calibration = replace(before.calibration, volume=None, volume_small=None, fitted_on=None)
    if not calibration.least_chance:
        calibration = replace(calibration, lesion=None)
    return replace(tuned, threshold=before.threshold, min_lesion_ml=before.min_lesion_ml, calibration=calibration)


def _described(card: Card, result: Adaptation) -> Card:
    """Return the card of adapted weights with what the left-out cases said."""
    mean = result.decision.difference.mean
    adaptation = {
        "cases": len(result.changes),
        "subjects": len({change.subject for change in result.changes}),
        "left_out_dice_difference": [round(mean.value, 4), mean.low, mean.high],
    }
    return replace(card, provenance={**card.provenance, "adapted": adaptation})


def _fingerprint(
    cases: CaseSet, weights: Weights, recipe: Recipe, config: AdaptConfig, sources: tuple[Sources, Sources] | None
) -> str:
    """Return a short hash of everything that a run which is resumed must have in common with the one that stopped."""
    heads = [part.fingerprint for part in sources or ()]
    facts = [cases.fingerprint, weights.sha256, to_dict(recipe), config.folds, heads]
    return hashlib.sha256(repr(facts).encode(errors="surrogateescape")).hexdigest()[:12]


def _write(result: Adaptation, folder: Path, config: AdaptConfig, card: Card) -> None:
    rows = [asdict(change) for change in result.changes]
    write_text(folder / "adapt.tsv", table_text(rows[0], rows))
    decision: dict[str, Any] = {name: asdict(value) for name, value in vars(result.decision).items()}
    tree = {
        "format": "insula-adaptation/1",
        "started_from": card.name,
        "settings": to_dict(config),
        "left_out": decision,
        "old_test": None if result.old_test is None else asdict(result.old_test),
        "weights": None if result.weights is None else result.weights.name,
        "reason": result.reason,
    }
    write_json(folder / "adapt.json", tree)
