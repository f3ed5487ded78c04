"""The training loop: step, check, save, until the run is done or asked to stop."""

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
from insula.train.world import Votes, World

__all__ = ["Progress", "too_large", "train"]

_log = logging.getLogger(__name__)
_LOOK_EVERY = 20  # steps
_MOST_SKIPS = 20


@dataclass(frozen=True)
class Progress:
    """Figures of one logged step."""

    step: int
    steps: int
    loss: float
    lr: float
    gradient_norm: float
    """Norm before clipping."""
    seconds: float
    """Training time so far [s]."""
    voxels_per_second: float
    """Throughput of all processes since the last report."""
    memory_gib: float
    """Peak memory of this process's GPU; 0 without one."""
    validation: Validation | None = None
    """Validation of the averaged weights, if there was one at this step."""


class _Diverged(Exception):
    """Gradients were non-finite for too many steps."""

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
    """Train from scratch, or resume from the newest state in the folder.

    The folder receives `log.jsonl`, two rotating states, and at every save the averaged weights with their card, so
    that they can be used while the run continues. Under `torchrun`, the processes share every batch and rank 0 writes.

    A step with non-finite gradients is skipped. After twenty in a row the run returns to its last state with half the
    learning rate; if that happens again, it ends and the batch is saved.

    Args:
        recipe: all settings of the run.
        data: cases to train on, or sources to simulate heads from; only of the training part.
        folder: the output folder; must exist and be locked by the caller.
        start: weights of the same model to start from; random weights if not given.
        resume: resume from the newest state; without a state, start.
        judge_by: validation cases; they are segmented whole and scored `train.validations` times, and the best averaged
            weights are kept in the folder `best` besides the last ones. They affect nothing else.
        report: called every twenty steps, and after every validation.

    Returns:
        SHA-256 of the final weights.

    Raises:
        Preempted: SIGTERM or SIGUSR1 was received, or `train.minutes` have passed; the state is saved.
        Interrupted: SIGINT was received; the state is saved.
        BadData: no case has a lesion and none is painted; gradients were non-finite twenty steps in a row, twice; or
            the saved state belongs to another recipe or to other data.
        Unavailable: the memory of the GPU is too small.
        UsageError: the batch cannot be divided among the processes, or the folder holds a run and `resume` is not set.
    """
    _refuse_without_lesion(data)
    begun = time.monotonic()  # reading data and compiling also count towards a time limit
    world = World.join()
    run = Run(recipe, data, folder, start=start, world=world)
    if resume:
        run.restore()
    elif world.rank == 0 and has_state(folder):
        raise UsageError("the folder", folder, "holds a run already", "go on with `resume`, or choose another `out`")
    if not world.same(run.step):
        rule = f"is at step {run.step} in this process and at another step in others"
        raise IOFault(
            "the saved state", folder.name, rule, "wait until the file system shows all machines the same files"
        )
    if run.step == 0:
        run.save()  # the state to rewind to; also reveals a full disk early
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
        rule = "have no lesion, so there is nothing to learn"
        raise BadData(
            "the training cases", f"({len(data)})", rule, "see `insula cohort check`, and how the masks were written"
        )


def _go(run: Run, stop: Stop, judge_by: CaseSet | None, report: Callable[[Progress], None]) -> None:
    """Train from the current step of the run to its last step."""
    config, world = run.recipe.train, run.world
    votes, saved = Votes(world), False
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
            validation = run.judge(judge_by) if judge_by is not None and step + 1 in exams else None
            _log_progress(
                run, Progress(step + 1, config.steps, value, lr, norm, run.seconds, pace, peak, validation), report
            )
            voxels, started = 0, time.monotonic()
            last_look = started
        due = int(now - last_save > 60 * config.save_minutes)
        wish, due = divmod(votes.cast(0 if last else 2 * stop.wish + due), 2)
        # while steps are skipped, the last good state is kept; votes are a step late: one from before a save follows it
        saved = bool(wish or (due and not run.steps.skipped and not saved))
        if saved:
            run.save()
            last_save = now
        if wish:
            world.agree(0)  # wait until the state is written: launchers kill the remaining processes
            raise stop.error(wish, step + 1)


def _exams(config: TrainConfig) -> frozenset[int]:
    """Return the steps after which the averaged weights are validated: evenly spaced, the last step included."""
    count = min(config.validations, config.steps)
    return frozenset(round(config.steps * n / count) for n in range(1, count + 1))


def _peak_gib(device: torch.device) -> float:
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0


def _log_progress(run: Run, progress: Progress, report: Callable[[Progress], None]) -> None:
    """Write a line to the log on rank 0, and call `report`."""
    if run.world.rank == 0:
        validation = None if progress.validation is None else progress.validation.figures
        line = {**vars(progress), "validation": validation}
        line = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in line.items()
        }
        with (run.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
    report(progress)


def _look(run: Run, loss: torch.Tensor, batch: Batch) -> float:
    """Return the mean loss of all processes; the only call in the loop that waits for the device."""
    value = run.world.mean_of(loss.item())
    if skipped := run.steps.skipped:
        _log.warning("step %d: skipped the last %d steps, whose gradients were not finite", run.step + 1, skipped)
    if skipped >= _MOST_SKIPS:
        raise _Diverged(value, batch)
    return value


def _rewind(run: Run, trouble: _Diverged) -> None:
    """Return to the last state with half the learning rate; at most once per run."""
    if run.slower < 1:
        kept = run.keep(trouble.batch)
        rule = f"was not finite for {_MOST_SKIPS} steps in a row, even with half the learning rate"
        raise BadData("the loss", trouble.loss, rule, f"look at {kept}, or lower train.lr") from None
    run.restore()
    run.steps.forgive()
    run.slower = 0.5  # set, not halved: another process may already have read the state that rank 0 writes next
    run.save()
    _log.warning("back at step %d, with half the learning rate", run.step)


def too_large(run: Run) -> InsulaError:
    """Return the error for a step that does not fit into memory, with the settings that would reduce it."""
    config = run.recipe.train
    share, voxels = run.stream.items(run.step)
    items, size = len(share), " x ".join(str(n) for n in voxels)
    ways = []
    if items > config.accumulate:
        parts = next(n for n in range(config.accumulate + 1, items + 1) if items % n == 0)
        saving = f"a step in {config.accumulate / parts:.0%} of the memory; Dice is then of a part of the batch"
        ways.append(f"train.accumulate={parts} ({saving})")
    if not config.recompute:
        ways.append("train.recompute=true (about a fifth less memory, a third more time)")
    if voxels != run.recipe.prepare.box or not config.whole_fraction:
        ways.append("a smaller train.crop (memory is proportional to its voxels)")
    total = torch.cuda.get_device_properties(run.device).total_memory / 2**30 if run.device.type == "cuda" else 0
    rule = f"does not fit into the {total:.0f} GiB of {run.device}"
    return Unavailable("a step on", f"{items} x {size} voxels", rule, f"set {', or '.join(ways)}")


# a function of the step has no state to save; SequentialLR multiplies factors, and is equal to it only to rounding
def _schedule(step: int, config: TrainConfig) -> float:
    """Return the learning rate: a linear warm-up, then a cosine decay to zero."""
    rise = max(1, round(config.warmup * config.steps))
    if step < rise:
        return config.lr * (step + 1) / rise
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, config.steps - rise)))


def _rate(decay: float, step: int) -> float:
    """Return how far the averaged weights move; farther at first, so that early weights are soon forgotten."""
    return 1 - min(decay, (1 + step) / (10 + step))
