"""The complete configuration of a training run, as stored in `recipes/*.toml`."""

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
"""Keys of `insula.losses.LOSSES`."""


@knobs
class SimulateConfig:
    """Kinds of simulated heads, and how often each is drawn."""

    control_fraction: float = 0.1
    """Share of heads without a lesion."""
    chronic_fraction: float = 0.6
    """Share of lesions that are chronic; the rest are acute."""
    painted_fraction: float = 0.2
    """Share of heads drawn from hosts with label maps only and painted with a random contrast; the others are real
    scans."""
    strip_fraction: float = 0.5
    """Share of heads that are skull-stripped."""
    deface_fraction: float = 0.4
    """Share of heads with a skull that are defaced."""
    further_lesion_fraction: float = 0.25
    """Chance of each further, independent lesion."""
    most_lesions: int = 2
    """Most lesions drawn for a head."""
    small_fraction: float = 0.0
    """Share of heads that get `most_lesions` outlines, all under 10 ml; a plain draw rarely gives such heads."""
    lacune_fraction: float = 0.1
    """Share of heads whose lesions are lacunes: ovoids of 3 to 15 mm, deep in the brain."""
    confounders: float = 1.0
    """Factor on the rates of infarct mimics; 1 is each kind's own rate, 0 draws none."""
    blend_fraction: float = 0.0
    """Share of heads whose image is blended with an image painted from their own tissues, for contrasts that no host
    has."""
    spin_echo_fraction: float = 0.0
    """Share of heads that look like a spin echo in slices of 3 to 6.5 mm, as in many hospitals: grey matter nearly as
    bright as white, fat far brighter."""
    artefact_chance: float = 0.1
    """Chance of each artefact: ghosts, movement, spike."""
    compile: bool = False
    """Draw heads with torch.compile: a minute or two at the start, less time for each batch after it."""
    echo: bool = False
    """Train on simulated crops twice, the second time mirrored and 15 steps later: half as much to draw. Without effect
    on `heads` that are drawn before training."""
    heads: int = 0
    """Heads drawn before training, which are then augmented like a cohort's cases; 0 draws a new head for every
    item."""
    shift_mm: float = 6.0
    """Largest distance of a head from the middle of the box along each axis [mm]."""


@knobs
class TrainConfig:
    """Knobs of the optimisation."""

    steps: int = 60_000
    """Optimiser steps in the whole run; the learning-rate schedule ends there."""
    batch: int = 12
    """Items per step, over all processes."""
    accumulate: int = 1
    """Parts in which each process computes its share of a batch, in turn: the memory of a part, the gradient of the
    whole."""
    crop: Shape = (64, 64, 64)
    """Size of the random crop that a step sees [voxels], divisible by 16 along each axis; never more than the
    box."""
    focus: Literal["voxel", "lesion"] = "voxel"
    """Centre of the crops that contain a lesion: `voxel` is any lesion voxel, so that large lesions outweigh small
    ones; `lesion` is any of the separate lesions, weighted by the root of its size."""
    whole_fraction: float = 0.0
    """Share of the steps, evenly spaced, that see whole boxes instead of crops."""
    whole_batch: int = 1
    """Items per step with whole boxes."""
    lr: float = 5e-4
    """Peak learning rate of AdamW."""
    weight_decay: float = 1e-2
    """Decoupled weight decay; not applied to norms and biases."""
    warmup: float = 0.03
    """Fraction of the steps with a rising learning rate; a cosine decay to zero follows."""
    clip_norm: float = 1.0
    """Largest norm of the gradient; longer gradients are scaled down."""
    ema: float = 0.999
    """Decay of the averaged weights, which are the weights that are kept."""
    recalibrate: int = 16
    """Batches used to measure the averaged weights' batch-norm statistics at the end; 0 keeps the moving averages."""
    losses: tuple[tuple[float, LossName], ...] = (
        (1.0, "dice"),
        (1.0, "cross_entropy"),
    )
    """(weight, name) pairs, summed: the loss of the lesion output."""
    brain_weight: float = 0.3
    """Weight of the brain output's cross-entropy, added where the brain is known."""
    teacher: str = ""
    """Weights (a name, folder or file; single or an ensemble) whose answers are learned beside the truth; none if
    empty."""
    teacher_share: float = 0.5
    """Share of the loss taken from the teacher; the rest is taken from the truth."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, or one of several GPUs: `cuda`, a colon, and its number from 0, as in torch."""
    precision: Precision = "auto"
    """Precision of the network's arithmetic; `auto` is bfloat16 on a GPU and float32 elsewhere. Weights, losses and
    moments are float32."""
    recompute: bool = False
    """Recompute a stage's activations in the backward pass: a fifth less memory, a third more time."""
    cohort: Literal["auto", "device", "host"] = "auto"
    """Where cases are stored: in GPU memory (`auto`: if they take at most half of what is free), or in host memory,
    fetched while the GPU computes."""
    compile: bool = True
    """Compile the network with torch.compile."""
    graph: bool = True
    """On a GPU, record a step once and replay it; turn off to debug a step."""
    save_minutes: float = 3.0
    """Time between two checkpoints [min]."""
    minutes: float = 0.0
    """Save and stop after this long [min], for queues with a time limit; 0 for no limit."""
    validations: int = 10
    """Number of validations in a run, evenly spaced: the averaged weights on whole cases, if there are validation
    cases."""
    seed: int = 0
    """Seed of all random numbers."""


@knobs
class Recipe:
    """A reproducible training run."""

    name: str
    """Name of the resulting weights."""
    model: ModelConfig = field(default_factory=AttentionUNet)
    """The network."""
    prepare: PrepareConfig = field(default_factory=PrepareConfig)
    """Preparation of scans; stored with the weights."""
    simulate: SimulateConfig = field(default_factory=SimulateConfig)
    """Simulated heads, when training on open hosts and lesion outlines."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Augmentation of cases, when training on a cohort."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """The optimisation."""
