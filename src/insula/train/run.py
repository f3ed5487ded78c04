"""A training run: its networks, data and progress."""

from __future__ import annotations

import logging
import platform
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save as to_bytes

from insula.checkpoint import Card, Weights, load_state, load_weights, save_state, save_weights, who_was_seen
from insula.config import Recipe, check_recipe, complete_recipe, to_dict
from insula.errors import BadData
from insula.infer import ready_network
from insula.io import write_bytes
from insula.models import UNet, build_model
from insula.store import CaseSet
from insula.synthetic import Sources
from insula.train.case_stream import CaseStream
from insula.train.head_stream import HeadStream
from insula.train.recalibrate import recalibrate
from insula.train.resume import difference, lasting, teacher_facts
from insula.train.step import Step
from insula.train.stream import Batch, Stream
from insula.train.teacher import Teacher
from insula.train.validate import Validation, validate
from insula.train.world import World
from insula.types import VERSION

__all__ = ["Run"]

_log = logging.getLogger(__name__)


class Run:
    """Network, averaged network, optimiser and data of one training run, in one process of its world.

    The brain output is learned from label maps and brain masks. If no case has one, the brain output of the starting
    weights is preserved by training on its own predictions; without such weights the network is trained without a brain
    output.

    Args:
        recipe: all settings of the run.
        data: cases to train on, or sources to simulate heads from.
        folder: an existing folder; the process of rank 0 writes to it.
        start: weights to start from; random weights if None.
        world: the processes that train together.

    Raises:
        BadData: the starting weights are of another model, or the teacher needs scans prepared in another way.
        NoInput: no such teacher.
        UsageError: the batch cannot be divided among the processes, or a value of the recipe makes no sense.
    """

    def __init__(
        self, recipe: Recipe, data: Sources | CaseSet, folder: Path, *, start: Weights | None, world: World
    ) -> None:
        check_recipe(recipe)
        unknown = recipe.model.brain and not _knows_brain(data, recipe)
        keeps_brain = unknown and start is not None and start.card.model.brain
        if unknown and not keeps_brain:
            _log.info("no case has a brain mask: the network is trained without a brain output")
            recipe = replace(recipe, model=replace(recipe.model, brain=False))
        self.recipe, self.folder, self.world = recipe, folder, world
        self.started_from = start.origin if start is not None else None
        _compare_crop_with_window(recipe)
        self.device = world.device(recipe.train.device)
        torch.manual_seed(recipe.train.seed)
        model = build_model(recipe.model).to(self.device)
        model = model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        if start is not None:
            _initialise(model, start, recipe)
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
        """Number of steps done."""
        self.seconds = 0.0
        """Training time so far [s]."""
        self.slower = 1.0
        """Factor on the learning rate; 0.5 once the run was rewound."""
        self.best = -1.0
        """Highest mean Dice on the validation cases so far."""

    def restore(self) -> bool:
        """Restore the newest intact state; return False if there is none.

        Raises:
            BadData: the state belongs to another recipe, other data, another teacher or another start, or all states
                are damaged.
        """
        saved = load_state(self.folder, device=self.device)
        if saved is None:
            return False
        kept, wanted = lasting(complete_recipe(saved["recipe"])), lasting(to_dict(self.recipe))
        if kept != wanted:
            rule = f"belongs to another recipe: {difference(kept, wanted)}"
            raise BadData("the saved state", self.folder.name, rule, "resume with the recipe it was started with")
        if saved.get("taught_by") != teacher_facts(self.taught_by):
            raise BadData(
                "the saved state", self.folder.name, "was taught by other weights", "resume with that teacher"
            )
        before = saved.get("started_from", self.started_from)
        if self.started_from is not None and (before or {}).get("sha256") != self.started_from["sha256"]:
            rule, remedy = "did not start from these weights", "resume with those it started from, or name none"
            raise BadData("the saved state", self.folder.name, rule, remedy)
        if saved["data"] != self.stream.fingerprint:
            rule, remedy = "was on other data", "resume with the data it was started with"
            raise BadData("the saved state", self.folder.name, rule, remedy)
        self.model.load_state_dict(saved["model"])
        self.average.load_state_dict(saved["average"])
        self.steps.load(saved)
        self.started_from = before
        self.step, self.seconds = saved["step"], saved["seconds"]
        self.slower, self.best = saved["slower"], max(self.best, saved["best"])
        return True

    def save(self) -> str:
        """Write the state and then the averaged weights on rank 0; return their SHA-256, empty on other ranks."""
        if self.world.rank:
            return ""
        state = {
            "recipe": to_dict(self.recipe),
            "data": self.stream.fingerprint,
            "taught_by": teacher_facts(self.taught_by),
            "started_from": self.started_from,
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
        """Validate the averaged weights on whole cases, and save them to the folder `best` if none were better."""
        validation = validate(
            self.average, cases, dtype=self.steps.dtype, spacing_mm=self.recipe.prepare.spacing_mm, world=self.world
        )
        if validation.dice > self.best:
            self.best = validation.dice
            if self.world.rank == 0:
                best = self.folder / "best"
                best.mkdir(exist_ok=True)
                save_weights(best, self.average, self._card(chosen_by=validation.figures))
        return validation

    def finish(self) -> str:
        """Measure the batch-normalisation statistics of the averaged weights, save, and return their SHA-256.

        On other ranks than 0 it is empty, and returned once the files are written: any process may read them then.
        """
        config = self.recipe.train
        if config.recalibrate:
            recalibrate(self.average, self.stream, first=config.steps, batches=config.recalibrate)
            self.world.mean([buffer for buffer in self.average.buffers() if buffer.is_floating_point()])
        sha = self.save()
        self.world.agree(0)
        return sha

    def keep(self, batch: Batch) -> str:
        """Write the batch that made the run fail, for inspection; return the file name."""
        name = f"bad-batch-{self.world.rank}.safetensors"
        tensors = {name: part.contiguous().cpu() for name, part in batch._asdict().items()}
        write_bytes(self.folder / name, to_bytes(tensors))
        return name

    def _card(self, **more: object) -> Card:
        recipe = self.recipe
        provenance = {**self._provenance(), **more}
        return Card(name=recipe.name, model=recipe.model, prepare=recipe.prepare, provenance=provenance)

    def _provenance(self) -> dict[str, object]:
        facts: dict[str, object] = {
            **self.stream.provenance,
            "recipe": to_dict(self.recipe),
            "steps": self.step,
            "minutes": round(self.seconds / 60, 1),
            "device": torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu",
            "processes": self.world.size,
            "versions": {"insula": VERSION, "torch": torch.__version__, "python": platform.python_version()},
        }
        if self.taught_by is not None:
            facts["taught_by"] = {**(teacher_facts(self.taught_by) or {}), **who_was_seen(self.taught_by.card)}
        if self.started_from is not None:
            facts["started_from"] = self.started_from
        return facts


def _teacher(recipe: Recipe) -> Weights | None:
    if not recipe.train.teacher:
        return None
    weights = load_weights(recipe.train.teacher)
    if weights.card.prepare != recipe.prepare:
        rule, remedy = "needs scans prepared in another way", "use a teacher with the recipe's `prepare`"
        raise BadData("the teacher", weights.card.name, rule, remedy)
    return weights


def _initialise(model: UNet, start: Weights, recipe: Recipe) -> None:
    """Load weights of the same model into a network; a brain output that they lack starts at zero.

    Raises:
        BadData: the weights are of another model.
    """
    config = start.card.model
    if replace(config, brain=recipe.model.brain) != recipe.model or config.brain > recipe.model.brain:
        rule, remedy = "are of another model", "start from weights of the recipe's model"
        raise BadData("the weights to start from", start.card.name, rule, remedy)
    source, target = start.model.state_dict(), model.state_dict()
    for name, tensor in target.items():
        if tensor.shape != source[name].shape:  # the head has one more output
            axis = next(n for n, (a, b) in enumerate(zip(tensor.shape, source[name].shape, strict=True)) if a != b)
            source[name] = torch.cat([source[name], torch.zeros_like(source[name])], dim=axis)
    model.load_state_dict(source)


def _compare_crop_with_window(recipe: Recipe) -> None:
    """Warn if squeeze-and-excitation would see smaller parts of a head in training than in use."""
    window = getattr(recipe.model, "squeeze_window", 0)
    if any(size < min(window, whole) for size, whole in zip(recipe.train.crop, recipe.prepare.box, strict=True)):
        crop = " x ".join(str(size) for size in recipe.train.crop)
        _log.warning(
            "crops of %s are smaller than the windows of squeeze-and-excitation, which meets other means in use than "
            "in training: set train.crop to at least model.squeeze_window=%d, or model.squeeze_window to the crop",
            crop,
            window,
        )


def _knows_brain(data: Sources | CaseSet, recipe: Recipe) -> bool:
    """Return whether any of the heads that are trained on have a brain mask."""
    heads = data if isinstance(data, Sources) else data.painted_from if recipe.augment.synthetic_fraction > 0 else None
    if heads is not None and any(host.labelled for host in heads.hosts):
        return True
    return isinstance(data, CaseSet) and any(bool((brain >= 0).all()) for brain in data.brains)


def _stream(data: Sources | CaseSet, recipe: Recipe, device: torch.device, world: World) -> Stream:
    """Return a stream of real cases, of heads simulated once and kept as cases, or of heads simulated on the fly."""
    if isinstance(data, Sources):
        stream = HeadStream(data, recipe, device=device, world=world)
        if not recipe.simulate.heads:
            return stream
        data = stream.cases(recipe.simulate.heads, seed=recipe.train.seed)
    return CaseStream(data, recipe, device=device, world=world)
