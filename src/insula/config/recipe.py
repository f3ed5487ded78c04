"""A training run, whole: what `recipes/*.toml` hold."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from insula.config.augment import AugmentConfig
from insula.config.listing import knobs
from insula.config.models import AttentionUNet, ModelConfig
from insula.config.prepare import PrepareConfig
from insula.types import Shape

__all__ = ["LossName", "Recipe", "SimulateConfig", "TrainConfig"]

Precision = Literal["auto", "float32", "bfloat16", "float16"]
LossName = Literal["dice", "tversky", "precise_tversky", "cross_entropy", "topk10", "focal", "boundary"]
"""What `insula.losses.LOSSES` holds."""


@knobs
class SimulateConfig:
    """Which simulated heads are drawn, and how often each kind."""

    control_fraction: float = 0.1
    """Heads without a lesion."""
    chronic_fraction: float = 0.6
    """Of the lesions; the rest are acute."""
    painted_fraction: float = 0.2
    """Heads drawn from hosts that are label maps only, and painted with a random contrast; the others are real scans."""
    strip_fraction: float = 0.5
    """Heads shown without their skull."""
    deface_fraction: float = 0.4
    """Heads with a skull whose face is cut away."""
    further_lesion_fraction: float = 0.25
    """Chance of each further, independent lesion."""
    most_lesions: int = 2
    """Drawn for one head."""
    small_fraction: float = 0.0
    """Heads that get `most_lesions` outlines, all under 10 ml: what a plain draw hardly ever teaches."""
    lacune_fraction: float = 0.1
    """Heads whose lesions are lacunes: ovoids of 3 to 15 mm, deep in the brain."""
    confounders: float = 1.0
    """How often what looks like an infarct and is none is drawn; 1 is each kind's own rate, 0 never."""
    blend_fraction: float = 0.0
    """Heads whose image is mixed with one painted from their own tissues: contrasts that no host has."""
    artefact_chance: float = 0.1
    """Chance of each of ghosts, a movement and a spike."""
    compile: bool = False
    """torch.compile the drawing of heads: a minute or two at the start, and less time for each batch after it."""
    heads: int = 0
    """Drawn before the training, which then augments them as it would a cohort's; 0 draws a new head for every item."""
    shift_mm: float = 6.0
    """Farthest a head stands from the middle of the box, along each axis."""


@knobs
class TrainConfig:
    """The optimisation."""

    steps: int = 10_000
    """Optimiser steps in the whole run; the schedule ends there."""
    batch: int = 1
    """Items per step, in all processes together."""
    accumulate: int = 1
    """Parts that each process computes its share of a batch in, one after another: the memory of one part, the gradient of all."""
    crop: Shape = (192, 224, 176)
    """Voxels of the random crop that a step sees, each divisible by 16; the whole box shows the network what it will meet."""
    focus: Literal["voxel", "lesion"] = "voxel"
    """What the crops that look at a lesion look for: any voxel of the truth, so that large lesions hide small ones, or any of its
    separate lesions, by the root of their size."""
    whole_fraction: float = 0.0
    """Share of the steps, at even distances, that sees whole boxes instead of crops."""
    whole_batch: int = 1
    """Items per step then."""
    lr: float = 1e-3
    """Peak learning rate of AdamW."""
    weight_decay: float = 1e-2
    """Decoupled; not on norms and biases."""
    warmup: float = 0.03
    """Fraction of the steps with a rising rate; a cosine to zero follows."""
    clip_norm: float = 1.0
    """Largest gradient norm."""
    ema: float = 0.999
    """Decay of the averaged weights, the ones that are kept."""
    recalibrate: int = 16
    """Batches from which the averaged weights' batch normalisation is measured at the end; 0 leaves the moving averages."""
    losses: tuple[tuple[float, LossName], ...] = (
        (1.0, "dice"),
        (1.0, "cross_entropy"),
    )
    """(weight, name) pairs, summed: the loss of the lesion output."""
    brain_weight: float = 0.3
    """Weight of the brain output's cross-entropy beside them, where the brain is known."""
    teacher: str = ""
    """Weights by name, folder or file, one network or several, whose answers are learned beside the truth; none if empty."""
    teacher_share: float = 0.5
    """Share of the loss taken from the teacher; the rest is taken from the truth."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, or one GPU as torch writes it."""
    precision: Precision = "auto"
    """Of the network's arithmetic; `auto` is bfloat16 on a GPU and float32 elsewhere. Weights, losses and moments are float32."""
    recompute: bool = False
    """Forget what is inside a stage and compute it again in the backward pass: a fifth less memory, a third more time."""
    cohort: Literal["auto", "device", "host"] = "auto"
    """Where cases lie: in the GPU's memory, where they take at most half of what is free there, or in the computer's, and are
    fetched while it works."""
    compile: bool = False
    """torch.compile the network."""
    graph: bool = True
    """On a GPU, record a step once and replay it; off to look into a step with a debugger."""
    save_minutes: float = 3.0
    """Between two checkpoints."""
    minutes: float = 0.0
    """Save and leave after this long, for queues with a time limit; 0 for never."""
    validations: int = 10
    """How often in a run the averaged weights are judged on whole cases, if there are any to judge by; at even distances."""
    seed: int = 0
    """Of everything random."""


@knobs
class Recipe:
    """One run we can repeat."""

    name: str
    """What the weights will be called."""
    model: ModelConfig = field(default_factory=AttentionUNet)
    """The network."""
    prepare: PrepareConfig = field(default_factory=PrepareConfig)
    """Travels with the weights."""
    simulate: SimulateConfig = field(default_factory=SimulateConfig)
    """Heads made up on the way, when training on open hosts and outlines."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """What happens to cases, when training on a cohort."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """The optimisation."""
