"""One optimisation step; on a GPU it is recorded once and replayed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from insula.config import Precision, TrainConfig
from insula.losses import BRAIN, DISTILLATION, compound, deep_supervision, weighted_sum
from insula.models import UNet
from insula.nn import Recorder
from insula.nn.internals import adapt_scale, move_each, scale_each, step_unless
from insula.train.exchange import Exchange
from insula.train.stream import Batch
from insula.train.teacher import Teacher
from insula.train.world import World

__all__ = ["Step"]

_FIRST_SCALE, _GROWS_AFTER = 2.0**15, 2000  # float16 loss scaling: initial scale, and good steps before it doubles


class Step:
    """Forward, loss, backward, clipping, AdamW and moving average, all in `take(batch)`.

    No operation reads a value back from the device, so the CPU can run ahead. On a GPU the fourth step on each batch
    shape is recorded as a CUDA graph, and all later ones replay it: the same kernels, launched at once instead of one
    by one.

    A step with a non-finite gradient leaves weights, moments and their count unchanged; `skipped` counts such steps in
    a row.

    Args:
        model: the network to train, in place.
        average: a copy of the network that follows it as a moving average; a run saves this one.
        config: optimisation settings.
        device: the device of both networks.
        world: the processes that share every batch.
        teacher: network for distillation, whose output is learned in addition to the truth.
        brain_of: network with a brain output, which replaces the brain mask where that is unknown.
    """

    def __init__(
        self,
        model: UNet,
        average: UNet,
        config: TrainConfig,
        *,
        device: torch.device,
        world: World = World(),
        teacher: Teacher | None = None,
        brain_of: nn.Module | None = None,
    ) -> None:
        self.model, self.average, self.config, self.device, self.world = model, average, config, device, world
        self.teacher, self.brain_of = teacher, brain_of
        self._mark: Callable[[str], None] = lambda _: None
        model.recompute = config.recompute
        self.dtype = _dtype(config.precision, device)
        # float16 cannot hold small gradients, so the loss is scaled; the scale halves on overflow and grows otherwise
        self._scale = torch.full((), _FIRST_SCALE if self.dtype == torch.float16 else 1.0, device=device)
        self._good = torch.zeros((), dtype=torch.int32, device=device)  # steps since the scale last changed
        self.lr = torch.tensor(config.lr, device=device)
        cuda = device.type == "cuda"
        self.optimiser = torch.optim.AdamW(_groups(model, config.weight_decay), lr=self.lr, fused=True, capturable=cuda)
        self._loss_of = compound(config.losses)
        self._run: Callable[..., Any] = torch.compile(model.outputs, dynamic=False) if config.compile else model.outputs
        self._skipped = torch.zeros((), device=device)
        self._rate = torch.zeros((), device=device)
        self._norm = torch.zeros((), device=device)
        self._pairs = _Pairs(average, model)
        self._measured = [buffer for buffer in model.buffers() if buffer.is_floating_point()]  # batch-norm statistics
        self._exchange = Exchange(world)
        self._recorder = Recorder(device, on=config.graph)
        self._batches: dict[torch.Size, Batch] = {}  # input buffers of the recordings

    @property
    def skipped(self) -> int:
        """Number of latest steps in a row with a non-finite gradient. Waits for the device."""
        return int(self._skipped)

    @property
    def gradient_norm(self) -> float:
        """Gradient norm of the last step, before clipping. Waits for the device."""
        return float(self._norm)

    def take(self, batch: Batch, *, lr: float, rate: float) -> Tensor:
        """Take one step.

        Args:
            batch: a batch of any shape; each new shape costs three slow steps and memory for its recording.
            lr: learning rate.
            rate: how far the average moves towards the model, 0 to 1.

        Returns:
            The loss before the step; overwritten by the next one.
        """
        self.lr.fill_(lr)
        self._rate.fill_(rate)
        shape = batch.image.shape
        if not self._recorder.on:
            return self._work(batch)
        if shape not in self._batches:
            room = (torch.empty_like(part, memory_format=torch.channels_last_3d) for part in batch)
            self._batches[shape] = Batch(*room)
        for held, part in zip(self._batches[shape], batch, strict=True):
            held.copy_(part)
        return self._recorder.run(shape, lambda: self._work(self._batches[shape]))

    def observe(self, mark: Callable[[str], None]) -> None:
        """Call `mark` at the end of each phase from now on; turns replay off, because a replayed step has no phases."""
        self._mark = mark
        self._recorder = Recorder(self.device, on=False)

    def forgive(self) -> None:
        """Reset the count of skipped steps."""
        self._skipped.zero_()

    def state(self) -> dict[str, Any]:
        """Return the state that `load` needs to continue with exactly the same steps."""
        counts = {"skipped": self._skipped, "scale": self._scale, "good": self._good}
        return {"optimiser": self.optimiser.state_dict(), "counts": counts}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a state, saved on this device or another."""
        self.optimiser.load_state_dict(state["optimiser"])
        for group in self.optimiser.param_groups:  # settings of this device, not of the one that saved the state
            group.update(lr=self.lr, fused=True, capturable=self.device.type == "cuda")
        self._recorder.clear()  # recordings refer to the previous moments
        for name, held in (("skipped", self._skipped), ("scale", self._scale), ("good", self._good)):
            held.copy_(state["counts"][name])

    def _work(self, batch: Batch) -> Tensor:
        before = [buffer.clone() for buffer in self._measured]
        self.optimiser.zero_grad(set_to_none=True)
        parts = [Batch(*pair) for pair in zip(*(whole.chunk(self.config.accumulate) for whole in batch), strict=True)]
        losses = [self._forward_and_backward(part, share=len(part.image) / len(batch.image)) for part in parts]
        learning = [p for p in self.model.parameters() if p.grad is not None]
        self._exchange.mean(learning, self._measured)
        grads = [p.grad for p in learning if p.grad is not None]
        if self.dtype == torch.float16:
            scale_each(grads, 1 / self._scale)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self._norm.copy_(norm)
        wrong = (~torch.isfinite(norm)).float()
        step_unless(self.optimiser, wrong)
        self._skipped.add_(1).mul_(wrong)
        if self.dtype == torch.float16:
            adapt_scale(self._scale, self._good, wrong, every=_GROWS_AFTER)
        for held, old in zip(self._measured, before, strict=True):
            held.copy_(torch.where(torch.isfinite(held), held, old))  # a bad batch would stay in them forever
        self._mark("exchange, clipping, optimiser")
        self._pairs.follow(self._rate)
        self._mark("moving average")
        return torch.stack(losses).sum()

    def _forward_and_backward(self, batch: Batch, *, share: float) -> Tensor:
        """Return the loss of a part of the batch, times its share, and accumulate its gradients."""
        image = batch.image.contiguous(memory_format=torch.channels_last_3d)
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            outputs = self._run(image)
        self._mark("forward")
        lesion = [outputs[0][:, :1], *outputs[1:]]
        taught = self.config.teacher_share if self.teacher is not None else 0.0
        of_truth = deep_supervision(self._loss_of, len(lesion))
        terms = [(1 - taught, of_truth, of_truth.sums(lesion, batch.truth))]
        if self.teacher is not None:
            answer = self.teacher(image, self.dtype)
            self._mark("teacher")
            terms.append((taught, DISTILLATION, DISTILLATION.sums(lesion[0], answer)))
        if outputs[0].shape[1] > 1 and self.config.brain_weight:
            brain = self._brain(image, batch.brain)
            terms.append((self.config.brain_weight, BRAIN, BRAIN.sums(outputs[0][:, 1:], brain)))
        loss = share * weighted_sum(terms, self.world.total)
        self._mark("loss")
        (loss * self._scale).backward()
        self._mark("backward")
        return loss.detach()

    @torch.no_grad()
    def _brain(self, image: Tensor, known: Tensor) -> Tensor:
        """Return the brain mask; unknown masks come from `brain_of`, if given."""
        if self.brain_of is None:
            return known
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            answer = (self.brain_of(image)[:, 1:] > 0).float()
        return torch.where(known < 0, answer, known)


def _dtype(precision: Precision, device: torch.device) -> torch.dtype:
    if precision == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]


# torch's AveragedModel reads its count on the host at every update, which cannot be recorded
class _Pairs:
    """Paired tensors of two networks."""

    def __init__(self, average: nn.Module, model: nn.Module) -> None:
        pairs = list(zip(average.state_dict().values(), model.state_dict().values(), strict=True))
        self.moving = [target for target, _ in pairs if target.is_floating_point()]
        self.leading = [source for target, source in pairs if target.is_floating_point()]
        self.copied = [(target, source) for target, source in pairs if not target.is_floating_point()]

    @torch.no_grad()
    def follow(self, rate: Tensor) -> None:
        """Move the floating-point tensors of the first network by `rate` towards the second; copy integer counts."""
        move_each(self.moving, self.leading, rate)
        for target, source in self.copied:
            target.copy_(source)


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Apply weight decay only to the weights of convolutions and linear layers."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
