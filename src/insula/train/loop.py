"""The training loop: one device, one stream, one set of averaged weights."""

from __future__ import annotations

import json
import logging
import math
import platform
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from insula.checkpoint import Card, Weights, load_state, save_state, save_weights
from insula.cohort import CaseSet, Sources
from insula.config import Recipe, to_dict
from insula.errors import BadData, Interrupted, Preempted
from insula.infer import choose_device
from insula.models import build_model
from insula.train.case_stream import CaseStream
from insula.train.head_stream import HeadStream
from insula.train.recalibrate import recalibrate
from insula.train.step import Step
from insula.train.stream import Stream

__all__ = ["Progress", "train"]

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
    seconds: float


def train(
    recipe: Recipe, data: Sources | CaseSet, folder: Path, *, start: Weights | None = None, resume: bool = False,
    minutes: float = math.inf, report: Callable[[Progress], None] = lambda _: None,
) -> str:  # fmt: skip
    """Train from scratch, or go on where the folder's newest state stands.

    The folder gets `log.jsonl`, two rotating states, and at every save the averaged weights with their card, so
    that a run can be used while it goes on.

    Args:
        recipe: the run.
        data: cases to train on, or what heads are made of; of the training part.
        folder: exists and is locked by the caller.
        start: weights to go on from, of the same model; fresh ones if not given.
        resume: go on; without a state, start.
        minutes: stop and save after this long, for queues with a time limit.
        report: called every twenty steps.

    Returns:
        SHA-256 of the final weights.

    Raises:
        Preempted: SIGTERM or SIGUSR1 came, or `minutes` are over; the state is saved.
        Interrupted: SIGINT came; the state is saved.
        BadData: gradients were not finite twenty steps in a row, or the saved state is of another recipe or of other data.
    """
    config, device = recipe.train, choose_device(recipe.train.device)
    torch.manual_seed(config.seed)
    model = build_model(recipe.model).to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    if start is not None:
        if start.card.model != recipe.model:
            raise BadData(
                "the weights to start from",
                start.card.name,
                "are of another model",
                "start from weights of the recipe's model",
            )
        model.load_state_dict(start.model.state_dict())
    average = build_model(recipe.model).to(device)
    average.load_state_dict(model.state_dict())
    steps = Step(model, average, config, device=device)
    stream: Stream = (
        CaseStream(data, recipe, device=device)
        if isinstance(data, CaseSet)
        else HeadStream(data, recipe, device=device)
    )
    first, seconds = 0, 0.0

    saved = load_state(folder, device=device) if resume else None
    if saved is not None:
        if saved["recipe"] != to_dict(recipe):
            raise BadData(
                "the saved state",
                folder.name,
                "belongs to another recipe",
                "resume with the recipe it was started with",
            )
        if saved["data"] != stream.fingerprint:
            raise BadData(
                "the saved state", folder.name, "was on other data", "resume with the data it was started with"
            )
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        steps.load(saved)
        first, seconds = saved["step"], saved["seconds"]

    def save(step: int) -> str:
        state = {
            "recipe": to_dict(recipe), "data": stream.fingerprint, "step": step, "seconds": seconds, "model": model.state_dict(),
            "average": average.state_dict(), **steps.state(),
        }  # fmt: skip
        save_state(folder, step, state)
        provenance = {**stream.provenance, **_provenance(recipe, step=step, seconds=seconds, device=device)}
        if start is not None:
            provenance["started_from"] = {"name": start.card.name, "sha256": start.sha256, **start.card.provenance}
        return save_weights(
            folder, average, Card(name=recipe.name, model=recipe.model, prepare=recipe.prepare, provenance=provenance)
        )

    stop = _Stop()
    log = (folder / "log.jsonl").open("a", encoding="utf-8")
    begun = last_save = started = time.monotonic()
    try:
        for step, batch in enumerate(stream.batches(first, config.steps), start=first):
            lr = _schedule(step, recipe)
            loss = steps.take(batch, lr=lr, rate=_rate(config.ema, step))
            looks = step % _LOOK_EVERY == 0 or step == config.steps - 1
            if looks:
                value = loss.item()  # waits for the device; nothing else does
                if skipped := steps.skipped:
                    _log.warning("step %d: the last %d were skipped, their gradients not finite", step + 1, skipped)
                if skipped >= _MOST_SKIPS:
                    raise BadData("the loss", value, f"was not finite {skipped} steps in a row", "lower train.lr")
            now = time.monotonic()
            seconds, started = seconds + now - started, now
            if looks:
                progress = Progress(step + 1, config.steps, value, lr, seconds)
                log.write(json.dumps(vars(progress)) + "\n")
                log.flush()
                report(progress)
            if stop.signal is not None:
                save(step + 1)
                raise stop.error(step + 1)
            if now - begun > 60 * minutes and step + 1 < config.steps:
                save(step + 1)
                rule = f"reached its limit of {minutes:g} minutes and is saved"
                raise Preempted("the run", f"at step {step + 1}", rule, "go on with --resume")
            if now - last_save > 60 * config.save_minutes:
                save(step + 1)
                last_save = now
        if config.recalibrate:
            recalibrate(average, stream, first=config.steps, batches=config.recalibrate)
        return save(config.steps)
    finally:
        log.close()
        stop.restore()


def _schedule(step: int, recipe: Recipe) -> float:
    """A linear rise, then a cosine to zero."""
    config = recipe.train
    rise = max(1, round(config.warmup * config.steps))
    if step < rise:
        return config.lr * (step + 1) / rise
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, config.steps - rise)))


def _rate(decay: float, step: int) -> float:
    """How far the averaged weights move; farther at first, so that early weights are forgotten soon."""
    return 1 - min(decay, (1 + step) / (10 + step))


class _Stop:
    """Turns signals into a wish, heard between two steps."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before = {}
        for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGUSR1", signal.SIGTERM)):
            with suppress(ValueError):  # not in the main thread: whoever owns it decides
                self._before[number] = signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number

    def error(self, step: int) -> Exception:
        """What to leave the loop with."""
        if self.signal == signal.SIGINT:
            return Interrupted(signal.SIGINT)
        name = signal.Signals(self.signal or signal.SIGTERM).name
        return Preempted("the run", f"at step {step}", f"was stopped by {name} and is saved", "go on with --resume")

    def restore(self) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _provenance(recipe: Recipe, *, step: int, seconds: float, device: torch.device) -> dict[str, Any]:
    import insula

    return {
        "recipe": to_dict(recipe),
        "steps": step,
        "minutes": round(seconds / 60, 1),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "versions": {"insula": insula.__version__, "torch": torch.__version__, "python": platform.python_version()},
    }
