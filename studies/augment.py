"""What augmentation costs: milliseconds a batch, as a share of the training step it feeds.

python -m studies.augment [--device cuda] [--repeats 30] [--out studies/results/augment.json]

Batches of 2 x 128^3, 4 x 96^3 and one whole volume of 192 x 224 x 176, cut from a phantom head with a lesion. Each kind
of augmentation is timed alone, then the default mixture, drawn anew each time and normalised, then the training step of
the baseline (forward, loss, backward, optimiser; compiled, bfloat16 on a GPU). During training, augmentation runs on a
stream of its own beside the step, so its share here is an upper bound.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from insula.augment import Augmentation, Augmenter, Original
from insula.config import AttentionUNet, AugmentConfig, PrepareConfig
from insula.io import write_json
from insula.losses import compound
from insula.models import build_model
from insula.prepare import measure_each, normalise_each, normalised
from insula.simulate import Outline, phantom_case
from insula.simulate.phantom import phantom_grid
from insula.types import Shape
from studies.clock import machine, seconds_of, training_step
from studies.rows import table
from studies.trial import NO_AUGMENTATION

_BOX = (192, 224, 176)
_BATCHES = ((2, (128, 128, 128)), (4, (96, 96, 96)), (1, _BOX))
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
    """Time every batch, print a table and write the seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--batches", type=int, default=3, help="number of the three batches to time")
    parser.add_argument("--out", type=Path, default=Path("studies/results/augment.json"))
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    head = _head(device)
    seconds = {}
    for count, crop in _BATCHES[: arguments.batches]:
        print(f"{count} x {crop} ...", flush=True)
        rows = {name: _augmentation(config, head, count, crop, arguments.repeats) for name, config in _KINDS.items()}
        rows["training step"] = _step(head, count, crop, arguments.repeats)
        seconds[f"{count} x {crop[0]} x {crop[1]} x {crop[2]}"] = rows
    cuda = device.type == "cuda"
    unit = "ms (share of the step)" if cuda else "share of the step"
    lines = []
    for name in (*_KINDS, "training step"):
        cells = [
            f"{1000 * rows[name]:.1f} ({rows[name] / rows['training step']:.0%})"
            if cuda
            else f"{rows[name] / rows['training step']:.2f}"
            for rows in seconds.values()
        ]
        lines.append([name, *cells])
    print(table(["", *(f"{name} [{unit}]" for name in seconds)], lines))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out, {**machine(device), "seconds": seconds})


def _head(device: torch.device) -> Original:
    spacing = tuple(200 / n for n in _BOX)
    case = phantom_case(phantom_grid(spacing_mm=(spacing[0], spacing[1], spacing[2]), shape=_BOX))
    image = normalised(torch.tensor(case.scan.image).to(device), PrepareConfig())
    return Original(image.half(), torch.tensor(case.truth.voxels).bool().to(device))


def _augmentation(config: AugmentConfig, head: Original, count: int, crop: Shape, repeats: int) -> float:
    prepare, rng, augmenter = PrepareConfig(), np.random.default_rng(0), Augmenter(head.device)
    outlines = [Outline(name="head", voxels=head.mask, origin_mm=(0.0, 0.0, 0.0))]
    room = [n - c + 1 for n, c in zip(_BOX, crop, strict=True)]

    def once() -> None:
        plans = [Augmentation.sample(rng, config, box=head.box, outlines=outlines) for _ in range(count)]
        starts = [(int(i), int(j), int(k)) for i, j, k in rng.integers(room, size=(count, 3))]
        batch = augmenter([head] * count, plans, starts=starts, crop=crop, outlines=outlines)
        normalise_each(batch.image, measure_each(batch.sample, prepare), prepare)

    return _mean_seconds(once, head.device, repeats)


def _step(head: Original, count: int, crop: Shape, repeats: int) -> float:
    device = head.device
    torch.manual_seed(0)
    model = build_model(AttentionUNet(norm="instance", stem="full")).to(device)
    model = model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    i, j, k = (slice(n) for n in crop)
    image, truth = (torch.stack([part] * count)[:, None] for part in head.cut((i, j, k))[:2])
    image = image.contiguous(memory_format=torch.channels_last_3d)
    run = torch.compile(model) if device.type == "cuda" else model
    step, _ = training_step(model, run, compound([(1.0, "dice"), (1.0, "cross_entropy")]), image, truth)
    return _mean_seconds(step, device, repeats)


def _mean_seconds(work: Callable[[], None], device: torch.device, repeats: int) -> float:
    """Mean seconds, not the median: draws differ in cost and training pays for all of them."""
    return statistics.mean(seconds_of(work, device, warm=5 if device.type == "cuda" else 1, repeats=repeats)[0])


if __name__ == "__main__":
    main()
