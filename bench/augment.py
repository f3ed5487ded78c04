"""What augmentation costs: milliseconds a batch, as a share of the training step it feeds.

python bench/augment.py [--device cuda] [--repeats 30] [--out bench/results/augment.json]

Batches of 2 x 128^3 and of one whole volume of 192 x 224 x 176, on a phantom head with a lesion: each kind of
augmentation alone, then the default mixture, drawn anew each time, then the baseline's training step (forward, loss,
backward, optimiser; compiled, bfloat16 on a GPU). Augmentation runs on a stream of its own beside the step in training,
so its share is the most that it can add.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clock import machine, seconds_of, training_step
from insula.augment import Augmentation, augment
from insula.config import AttentionUNet, AugmentConfig, PrepareConfig
from insula.data import normalised
from insula.io import write_json
from insula.losses import compound
from insula.models import build_model
from insula.simulate import phantom_case
from insula.simulate.phantom import phantom_grid
from insula.types import Shape
from trial import NO_AUGMENTATION

_OFF = replace(NO_AUGMENTATION, artefact_chance=0)
_KINDS = {
    "nothing (units alone)": _OFF,
    "deformation": replace(_OFF, deform_fraction=1),
    "scanner": replace(_OFF, scan_fraction=1),
    "scanner with every artefact": replace(_OFF, scan_fraction=1, artefact_chance=1),
    "skull strip": replace(_OFF, strip_fraction=1),
    "graft": replace(_OFF, graft_fraction=1),
    "the default mixture": AugmentConfig(),
}


def main() -> None:
    """Measure both batches, print a table, write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--batches", type=int, default=2, help="1: the first of the two alone")
    parser.add_argument("--out", type=Path, default=Path("bench/results/augment.json"))
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    found = {}
    for count, box in ((2, (128, 128, 128)), (1, (192, 224, 176)))[: arguments.batches]:
        images, truths = _batch(count, box, device)
        rows = {name: _augmentation(config, images, truths, arguments.repeats) for name, config in _KINDS.items()}
        rows["training step"] = _step(images, truths, arguments.repeats)
        found[f"{count} x {box[0]} x {box[1]} x {box[2]}"] = rows
    cuda = device.type == "cuda"
    unit = "ms (share of the step)" if cuda else "share of the step"
    print(f"| | {' | '.join(f'{name} [{unit}]' for name in found)} |")
    print("|---|" + "---|" * len(found))
    for name in (*_KINDS, "training step"):
        cells = [f"{1000 * rows[name]:.1f} ({rows[name] / rows['training step']:.0%})" if cuda else f"{rows[name] / rows['training step']:.2f}" for rows in found.values()]  # fmt: skip
        print(f"| {name} | {' | '.join(cells)} |")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out, {**machine(device), "seconds": found})


def _batch(count: int, box: Shape, device: torch.device) -> tuple[Tensor, Tensor]:
    spacing = tuple(200 / n for n in box)
    case = phantom_case(phantom_grid(spacing_mm=(spacing[0], spacing[1], spacing[2]), shape=box))
    image = torch.tensor(case.scan.image).to(device)
    truth = torch.tensor(case.truth.voxels).float().to(device)
    return torch.stack([image] * count), torch.stack([truth] * count)


def _augmentation(config: AugmentConfig, images: Tensor, truths: Tensor, repeats: int) -> float:
    prepare, rng = PrepareConfig(), np.random.default_rng(0)

    def once() -> None:
        plans = [Augmentation.sample(rng, config, donors=1) for _ in images]
        changed, _ = augment(images, truths, plans, donors=[truths[0]])
        torch.stack([normalised(image, prepare) for image in changed])

    return _mean_seconds(once, images.device, repeats)


def _step(images: Tensor, truths: Tensor, repeats: int) -> float:
    device = images.device
    torch.manual_seed(0)
    model = build_model(AttentionUNet()).to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    run = torch.compile(model) if device.type == "cuda" else model
    image, truth = images[:, None].contiguous(memory_format=torch.channels_last_3d), truths[:, None]
    step, _ = training_step(model, run, compound([(1.0, "dice"), (1.0, "cross_entropy")]), image, truth)
    return _mean_seconds(step, device, repeats)


def _mean_seconds(work: Callable[[], None], device: torch.device, repeats: int) -> float:
    """The mean, because draws differ and all of them are paid for."""
    return statistics.mean(seconds_of(work, device, warm=5 if device.type == "cuda" else 1, repeats=repeats)[0])


if __name__ == "__main__":
    main()
