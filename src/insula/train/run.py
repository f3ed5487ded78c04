"""A run: what is trained, on what, and where it stands."""

from __future__ import annotations

import logging
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_bytes

from insula.checkpoint import Card, Weights, load_state, load_weights, save_state, save_weights
from insula.config import Recipe, SimulateConfig, TrainConfig, to_dict
from insula.errors import BadData, UsageError
from insula.infer import ready_network
from insula.io import write_bytes
from insula.models import UNet, build_model
from insula.store import CaseSet
from insula.synthetic import Sources
from insula.train.case_stream import CaseStream
from insula.train.head_stream import HeadStream
from insula.train.recalibrate import recalibrate
from insula.train.step import Step
from insula.train.stream import Batch, Stream
from insula.train.teacher import Teacher
from insula.train.validate import Validation, validate
from insula.train.world import World

__all__ = ["Run"]

_log = logging.getLogger(__name__)


class Run:
    """Network, averaged network, optimiser and data of one training, in one process of its world.

    The brain output is learned from label maps and brain masks. Where no case has one, it is kept as the weights to start from
    have it, by their own answer; without such weights the network is trained without that output.

    Args:
        recipe: all of it.
        data: cases to train on, or what heads are made of.
        folder: exists; the process of rank 0 writes to it.
        start: weights to begin with; fresh ones if not given.
        world: the processes that train together.

    Raises:
        BadData: the weights to start from are of another model, or the teacher wants scans prepared in another way.
        NoInput: no such teacher.
        UsageError: the batch cannot be dealt out to the processes, or the teacher's share is none.
    """

    def __init__(
        self, recipe: Recipe, data: Sources | CaseSet, folder: Path, *, start: Weights | None, world: World
    ) -> None:
        keeps_brain = recipe.model.brain and not _knows_brain(data) and start is not None and start.card.model.brain
        if recipe.model.brain and not _knows_brain(data) and not keeps_brain:
            _log.info("no case says where its brain is: the network is trained without that output")
            recipe = replace(recipe, model=replace(recipe.model, brain=False))
        self.recipe, self.folder, self.start, self.world = recipe, folder, start, world
        self.device = world.device(recipe.train.device)
        torch.manual_seed(recipe.train.seed)
        model = build_model(recipe.model).to(self.device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        if start is not None:
            _go_on_from(model, start, recipe)
        self.model, self.average = model, build_model(recipe.model).to(self.device)
        self.average.load_state_dict(model.state_dict())
        self.taught_by = _teacher(recipe)
        teacher = None if self.taught_by is None else Teacher(self.taught_by, self.device, compile=recipe.train.compile)
        brain_of = ready_network(start.model, self.device) if keeps_brain and start is not None else None
        self.steps = Step(
            model, self.average, recipe.train, device=self.device, world=world, teacher=teacher, brain_of=brain_of
        )
        self.stream = _stream(data, recipe, self.device, world)
        self.step = 0
        """Steps done."""
        self.seconds = 0.0
        """They took."""
        self.slower = 1.0
        """What the learning rate is multiplied by; halved when a run had to be rewound."""
        self.best = -1.0
        """Highest mean Dice on the cases to judge by, so far."""

    def restore(self) -> bool:
        """Go back to the newest state that is whole; False when there is none.

        Raises:
            BadData: it is of another recipe, of other data or of another teacher, or all states are damaged.
        """
        saved = load_state(self.folder, device=self.device)
        if saved is None:
            return False
        kept = {**saved["recipe"], "model": {"brain": False, **saved["recipe"]["model"]}}
        for part, defaults in (
            ("train", TrainConfig()),
            ("simulate", SimulateConfig()),
        ):  # knobs younger than the state
            kept[part] = {**to_dict(defaults), **saved["recipe"][part]}
        if _lasting(kept) != _lasting(to_dict(self.recipe)):
            rule, remedy = "belongs to another recipe", "resume with the recipe it was started with"
            raise BadData("the saved state", self.folder.name, rule, remedy)
        if saved.get("taught_by") != self._teachers():
            raise BadData(
                "the saved state", self.folder.name, "was taught by other weights", "resume with that teacher"
            )
        if saved["data"] != self.stream.fingerprint:
            rule, remedy = "was on other data", "resume with the data it was started with"
            raise BadData("the saved state", self.folder.name, rule, remedy)
        self.model.load_state_dict(saved["model"])
        self.average.load_state_dict(saved["average"])
        self.steps.load(saved)
        self.step, self.seconds = saved["step"], saved["seconds"]
        self.slower, self.best = saved["slower"], max(self.best, saved["best"])
        return True

    def save(self) -> str:
        """Write the state and, last, the averaged weights; returns their SHA-256, or nothing on a rank that does not write."""
        if self.world.rank:
            return ""
        state = {
            "recipe": to_dict(self.recipe),
            "data": self.stream.fingerprint,
            "taught_by": self._teachers(),
            "step": self.step,
            "seconds": self.seconds,
            "slower": self.slower,
            "best": self.best,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            **self.steps.state(),
        }
        save_state(self.folder, self.step, state)
        return save_weights(self.folder, self.average, self._card())

    def judge(self, cases: CaseSet) -> Validation:
        """Score the averaged weights on whole cases, and put them into the folder `best` if none were better."""
        found = validate(
            self.average, cases, dtype=self.steps.dtype, spacing_mm=self.recipe.prepare.spacing_mm, world=self.world
        )
        if found.dice > self.best:
            self.best = found.dice
            if self.world.rank == 0:
                best = self.folder / "best"
                best.mkdir(exist_ok=True)
                save_weights(best, self.average, self._card(chosen_by=found.told))
        return found

    def finish(self) -> str:
        """Measure batch normalisation for the averaged weights, and save."""
        config = self.recipe.train
        if config.recalibrate:
            recalibrate(self.average, self.stream, first=config.steps, batches=config.recalibrate)
            self.world.mean([buffer for buffer in self.average.buffers() if buffer.is_floating_point()])
        return self.save()

    def keep(self, batch: Batch) -> str:
        """Write a batch that broke the run, to be looked at; returns the file's name."""
        name = f"bad-batch-{self.world.rank}.safetensors"
        tensors = {name: part.contiguous().cpu() for name, part in batch._asdict().items()}
        write_bytes(self.folder / name, to_bytes(tensors))
        return name

    def _teachers(self) -> dict[str, Any] | None:
        """Who teaches, as exactly as a run that goes on has to know."""
        if self.taught_by is None:
            return None
        card = self.taught_by.card
        scalings = [*(own for _, own in self.taught_by.networks), card.calibration.scaling]
        told = {
            "name": card.name,
            "sha256": self.taught_by.sha256,
            "temperatures": [one.temperature for one in scalings],
        }
        return {**told, "biases": [one.bias for one in scalings]} if any(one.bias for one in scalings) else told

    def _card(self, **more: Any) -> Card:
        recipe = self.recipe
        provenance = {**self._provenance(), **more}
        return Card(name=recipe.name, model=recipe.model, prepare=recipe.prepare, provenance=provenance)

    def _provenance(self) -> dict[str, Any]:
        import insula

        told = {
            **self.stream.provenance,
            "recipe": to_dict(self.recipe),
            "steps": self.step,
            "minutes": round(self.seconds / 60, 1),
            "device": torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu",
            "processes": self.world.size,
            "versions": {"insula": insula.__version__, "torch": torch.__version__, "python": platform.python_version()},
        }
        if self.taught_by is not None:
            told["taught_by"] = self._teachers()
        if self.start is not None:
            card = self.start.card
            told["started_from"] = {"name": card.name, "sha256": self.start.sha256, **card.provenance}
        return told


def _teacher(recipe: Recipe) -> Weights | None:
    if not recipe.train.teacher:
        return None
    if not 0 <= (share := recipe.train.teacher_share) <= 1:
        raise UsageError("train.teacher_share", share, "is not from 0 to 1", "use e.g. 0.5")
    weights = load_weights(recipe.train.teacher)
    if weights.card.prepare != recipe.prepare:
        rule, remedy = "wants scans prepared in another way", "take a teacher of the recipe's `prepare`"
        raise BadData("the teacher", weights.card.name, rule, remedy)
    return weights


def _go_on_from(model: UNet, start: Weights, recipe: Recipe) -> None:
    """Fill a network from weights of the same model; a brain output that they lack begins at zero.

    Raises:
        BadData: they are of another model.
    """
    config = start.card.model
    if replace(config, brain=recipe.model.brain) != recipe.model or config.brain > recipe.model.brain:
        rule, remedy = "are of another model", "start from weights of the recipe's model"
        raise BadData("the weights to start from", start.card.name, rule, remedy)
    given, wanted = start.model.state_dict(), model.state_dict()
    for name, tensor in wanted.items():
        if tensor.shape != given[name].shape:  # the head: one output more
            axis = next(n for n, (a, b) in enumerate(zip(tensor.shape, given[name].shape, strict=True)) if a != b)
            given[name] = torch.cat([given[name], torch.zeros_like(given[name])], dim=axis)
    model.load_state_dict(given)


def _knows_brain(data: Sources | CaseSet) -> bool:
    """Whether anything that is trained on says where the brain is."""
    if isinstance(data, Sources):
        return True
    return data.painted_from is not None or any(bool((brain >= 0).all()) for brain in data.brains)


def _stream(data: Sources | CaseSet, recipe: Recipe, device: torch.device, world: World) -> Stream:
    """Cases as they are, heads made now and kept as cases, or heads made on the way."""
    if isinstance(data, Sources):
        made = HeadStream(data, recipe, device=device, world=world)
        if not recipe.simulate.heads:
            return made
        data = made.cases(recipe.simulate.heads, seed=recipe.train.seed)
    return CaseStream(data, recipe, device=device, world=world)


def _lasting(recipe: dict[str, Any]) -> dict[str, Any]:
    """Without what may change from one sitting to the next."""
    passing = {
        "accumulate",
        "cohort",
        "compile",
        "device",
        "graph",
        "minutes",
        "recompute",
        "save_minutes",
        "validations",
    }
    kept = {name: value for name, value in recipe["train"].items() if name not in passing}
    simulate = {name: value for name, value in recipe["simulate"].items() if name != "compile"}
    return {**recipe, "train": kept, "simulate": simulate}
