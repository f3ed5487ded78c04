"""The training loop: step, look, save, until done or told to stop."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from insula.checkpoint import Weights, has_state
from insula.config import Recipe, TrainConfig
from insula.errors import BadData, InsulaError, IOFault, Unavailable, UsageError
from insula.store import CaseSet
from insula.synthetic import Sources
from insula.train.run import Run
from insula.train.stop import Stop
from insula.train.stream import Batch
from insula.train.validate import Validation
from insula.train.world import World

__all__ = ["Progress", "too_large", "train"]

_log = logging.getLogger(__name__)
_LOOK_EVERY = 20  # steps
_MOST_SKIPS = 20


@dataclass(frozen=True)
class Progress:
    """What one logged step looked like."""

    step: int
    steps: int
    loss: float
    lr: float
    gradient_norm: float
    """Before clipping."""
    seconds: float
    """Of training so far."""
    voxels_per_second: float
    """Since the last report, in all processes."""
    memory_gib: float
    """Peak of this process's GPU; 0 without one."""
    validation: Validation | None = None
    """If the averaged weights were judged at this step."""


class _Diverged(Exception):
    """Gradients have not been finite for too long."""

    def __init__(self, loss: float, batch: Batch) -> None:
        self.loss, self.batch = loss, batch


def train(
    recipe: Recipe,
    data: Sources | CaseSet,
    folder: Path,
    *,
    start: Weights | None = None,
    resume: bool = False,
    judge_by: CaseSet | None = None,
    report: Callable[[Progress], None] = lambda _: None,
) -> str:
    """Train from scratch, or go on where the folder's newest state stands.

    The folder gets `log.jsonl`, two rotating states, and at every save the averaged weights with their card, so
    that a run can be used while it goes on. Started by `torchrun`, the processes share every batch, and the first of
    them writes.

    A step with gradients that are not finite is skipped. After twenty in a row the run goes back to its last state, with half the
    learning rate; if that happens again it ends, and the batch is kept.

    Args:
        recipe: the run.
        data: cases to train on, or what heads are made of; of the training part.
        folder: exists and is locked by the caller.
        start: weights to go on from, of the same model; fresh ones if not given.
        resume: go on; without a state, start.
        judge_by: cases that are not trained on; whole ones are segmented and scored `train.validations` times, and the best
            averaged weights are kept in the folder `best` beside the last. Nothing else depends on them.
        report: called every twenty steps, and after every validation.

    Returns:
        SHA-256 of the final weights.

    Raises:
        Preempted: SIGTERM or SIGUSR1 came, or `train.minutes` are over; the state is saved.
        Interrupted: SIGINT came; the state is saved.
        BadData: no case has a lesion and none is painted; gradients were not finite twenty steps in a row, twice; or the saved state is of another recipe or of
            other data.
        Unavailable: the GPU's memory does not suffice.
        UsageError: the batch cannot be dealt out to the processes, or the folder holds a run and is not to be resumed.
    """
    _refuse_without_lesion(data)
    begun = time.monotonic()  # what reads the data and compiles counts against a queue's limit too
    world = World.join()
    run = Run(recipe, data, folder, start=start, world=world)
    if resume:
        run.restore()
    elif world.rank == 0 and has_state(folder):
        raise UsageError("the folder", folder, "holds a run already", "go on with --resume, or choose another --out")
    if not world.same(run.step):
        rule = f"stands at step {run.step} here and at another elsewhere"
        raise IOFault(
            "the saved state", folder.name, rule, "wait until the file system shows all machines the same files"
        )
    if run.step == 0:
        run.save()  # what a rewind goes back to; and a full disk is noticed now
    with Stop(recipe.train.minutes, since=begun) as stop:
        while True:
            try:
                _go(run, stop, judge_by, report)
                return run.finish()
            except _Diverged as trouble:
                _rewind(run, trouble)
            except torch.OutOfMemoryError:
                raise too_large(run) from None


def _refuse_without_lesion(data: Sources | CaseSet) -> None:
    if isinstance(data, CaseSet) and data.painted_from is None and not any(bool(mask.any()) for mask in data.masks):
        rule = "have no lesion, and there is nothing to learn"
        raise BadData(
            "the training cases", f"({len(data)})", rule, "see `insula cohort check`, and how the masks were written"
        )


def _go(run: Run, stop: Stop, judge_by: CaseSet | None, report: Callable[[Progress], None]) -> None:
    """From where the run stands to its last step."""
    config, world = run.recipe.train, run.world
    exams = _exams(config) if judge_by is not None else frozenset()
    started = last_save = last_look = time.monotonic()
    voxels = 0
    for step, batch in enumerate(run.stream.batches(run.step, config.steps), start=run.step):
        lr = run.slower * _schedule(step, config)
        loss = run.steps.take(batch, lr=lr, rate=_rate(config.ema, step))
        voxels += batch.image.numel() * world.size
        last = step + 1 == config.steps
        looks = step % _LOOK_EVERY == 0 or last or step + 1 in exams
        value = _look(run, loss, batch) if looks else 0.0
        now = time.monotonic()
        run.step, run.seconds, started = step + 1, run.seconds + now - started, now
        if looks:
            pace, peak, norm = voxels / max(now - last_look, 1e-9), _peak_gib(run.device), run.steps.gradient_norm
            found = run.judge(judge_by) if judge_by is not None and step + 1 in exams else None
            _tell(run, Progress(step + 1, config.steps, value, lr, norm, run.seconds, pace, peak, found), report)
            voxels, started = 0, time.monotonic()
            last_look = started
        due = int(now - last_save > 60 * config.save_minutes)
        wish, due = divmod(world.agree(0 if last else 2 * stop.wish + due), 2)  # one message a step
        if wish or (due and not run.steps.skipped):  # in bad times the last good state is kept
            run.save()
            last_save = now
        if wish:
            world.agree(0)  # nobody leaves before it is written: launchers kill those who stay
            raise stop.error(wish, step + 1)


def _exams(config: TrainConfig) -> frozenset[int]:
    """After which steps the averaged weights are judged: at even distances, after the last one too."""
    count = min(config.validations, config.steps)
    return frozenset(round(config.steps * n / count) for n in range(1, count + 1))


def _peak_gib(device: torch.device) -> float:
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0


def _tell(run: Run, progress: Progress, report: Callable[[Progress], None]) -> None:
    """Into the log, by the process that writes, and to whoever listens."""
    if run.world.rank == 0:
        validation = None if progress.validation is None else progress.validation.told
        told = {**vars(progress), "validation": validation}
        told = {name: None if isinstance(x, float) and not math.isfinite(x) else x for name, x in told.items()}
        with (run.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(told) + "\n")
    report(progress)


def _look(run: Run, loss: torch.Tensor, batch: Batch) -> float:
    """The loss, of all processes; waits for the device, as nothing else does."""
    value = run.world.mean_of(loss.item())
    if skipped := run.steps.skipped:
        _log.warning("step %d: the last %d were skipped, their gradients not finite", run.step + 1, skipped)
    if skipped >= _MOST_SKIPS:
        raise _Diverged(value, batch)
    return value


def _rewind(run: Run, trouble: _Diverged) -> None:
    """Back to the last state with half the learning rate; once."""
    if run.slower < 1:
        kept = run.keep(trouble.batch)
        rule = f"was not finite {_MOST_SKIPS} steps in a row, with half the learning rate too"
        raise BadData("the loss", trouble.loss, rule, f"look at {kept}, or lower train.lr") from None
    run.restore()
    run.steps.forgive()
    run.slower = 0.5  # not halved: another process may have read what the first one writes next
    run.save()
    _log.warning("back at step %d, with half the learning rate", run.step)


def too_large(run: Run) -> InsulaError:
    """What a step that does not fit could do with less memory, and how much less."""
    config = run.recipe.train
    share, voxels = run.stream.items(run.step)
    items, size = len(share), " x ".join(str(n) for n in voxels)
    ways = []
    if items > config.accumulate:
        parts = next(n for n in range(config.accumulate + 1, items + 1) if items % n == 0)
        ways.append(
            f"train.accumulate={parts} (a step in {config.accumulate / parts:.0%} of the memory; Dice is then of a part of the batch)"
        )
    if not config.recompute:
        ways.append("train.recompute=true (about a fifth less memory, a third more time)")
    if voxels != run.recipe.prepare.box or not config.whole_fraction:
        ways.append("a smaller train.crop (memory goes with its voxels)")
    total = torch.cuda.get_device_properties(run.device).total_memory / 2**30 if run.device.type == "cuda" else 0
    rule = f"does not fit into the {total:.0f} GiB of {run.device}"
    return Unavailable("a step on", f"{items} x {size} voxels", rule, f"set {', or '.join(ways)}")


def _schedule(step: int, config: TrainConfig) -> float:
    """A linear rise, then a cosine to zero."""
    rise = max(1, round(config.warmup * config.steps))
    if step < rise:
        return config.lr * (step + 1) / rise
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, config.steps - rise)))


def _rate(decay: float, step: int) -> float:
    """How far the averaged weights move; farther at first, so that early weights are forgotten soon."""
    return 1 - min(decay, (1 + step) / (10 + step))
