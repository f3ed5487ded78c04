"""Fine-tunes weights on a few cases, with simulated heads mixed in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch

from insula.adapt.labelled import Labelled, subject_of
from insula.checkpoint import Card, Weights, load_weights
from insula.config import AdaptConfig, AugmentConfig, PrepareConfig, Recipe, SimulateConfig, TrainConfig
from insula.prepare import prepare
from insula.store import CaseSet
from insula.train import train
from insula.train.loop import Progress
from insula.volume import Case

__all__ = ["adapted_recipe", "case_set", "fine_tune", "prepared_case"]

_GPU = 4, 96
_CPU = 2, 64  # a tenth of the time of a step
_SIMULATED = 0.5


def adapted_recipe(card: Card, config: AdaptConfig, device: torch.device, *, simulated: bool) -> Recipe:
    """Return the recipe to fine-tune weights with.

    Half of the items are simulated heads if there are sources for them, so that what the network knows is not
    forgotten. The losses are those of the weights' own training, if their card says which.

    Args:
        card: of the weights.
        config: steps, rate and seed.
        device: the device to train on; crops are smaller on a CPU, unless squeeze-and-excitation needs larger ones.
        simulated: whether there are sources of simulated heads.
    """
    augment = AugmentConfig(synthetic_fraction=_SIMULATED if simulated else 0.0, synthetic_painted=False)
    batch, side = _GPU if device.type == "cuda" else _CPU
    window = getattr(card.model, "squeeze_window", 0)
    if window > side:  # squeeze-and-excitation should meet the means that it meets in use
        batch, side = 1, window
    settings = {
        "batch": batch,
        "crop": (side, side, side),
        "steps": config.steps,
        "lr": config.lr,
        "focus": "lesion",
        "warmup": 0.05,
        "ema": 0.99,
        "losses": _losses(card),
        "compile": False,
        "device": str(device),
        "seed": config.seed,
        "save_minutes": 5.0,
    }
    return Recipe(
        name=f"{card.name}-adapted",
        model=card.model,
        prepare=card.prepare,
        augment=augment,
        simulate=SimulateConfig(chronic_fraction=0.8, control_fraction=0.4, most_lesions=3, shift_mm=10),
        train=TrainConfig(**settings),  # type: ignore[arg-type]
    )


def _losses(card: Card) -> tuple[tuple[float, str], ...]:
    recipe = card.provenance.get("recipe")
    train_config = recipe.get("train") if isinstance(recipe, dict) else None
    losses = train_config.get("losses") if isinstance(train_config, dict) else None
    return tuple((float(weight), str(name)) for weight, name in losses) if losses else TrainConfig().losses


def prepared_case(case: Case, config: PrepareConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """Return image (float16, normalised) and mask of a case in the box that the network sees.

    Args:
        case: scan and mask, on one grid.
        config: how to prepare the scan.

    Raises:
        BadData: no head is found in the scan.
    """
    prepared = prepare(case.scan, config)
    return prepared.image[0, 0].half(), torch.from_numpy(prepared.take_in(case.truth))


def case_set(scans: Labelled, config: PrepareConfig) -> CaseSet:
    """Read and prepare cases to fine-tune on; 23 MB each.

    Args:
        scans: at least one.
        config: how to prepare them.

    Raises:
        InsulaError: a scan or a mask cannot be read or used.
    """
    images, masks, digest = list[torch.Tensor](), list[torch.Tensor](), hashlib.sha256()
    for name, read in scans.items():
        image, mask = prepared_case(read(), config)
        images.append(image)
        masks.append(mask)
        digest.update(name.encode(errors="surrogateescape"))
        digest.update(image.numpy().tobytes())
        digest.update(mask.numpy().tobytes())
    return CaseSet(
        names=tuple(scans),
        images=tuple(images),
        masks=tuple(masks),
        fingerprint=digest.hexdigest(),
        subjects=tuple(subject_of(name) for name in scans),
    )


def fine_tune(
    weights: Weights,
    cases: CaseSet,
    recipe: Recipe,
    folder: Path,
    *,
    report: Callable[[Progress], None] = lambda _: None,
) -> Weights:
    """Fine-tune weights on cases; a run that was stopped in the same folder is resumed.

    Args:
        weights: a single network.
        cases: with `painted_from` set to sources if simulated heads are to be mixed in.
        recipe: from `adapted_recipe`.
        folder: an existing folder for the state of the run.
        report: called every twenty steps.

    Returns:
        The fine-tuned weights, with a card of their own.

    Raises:
        BadData: no case has a lesion, or the loss is not finite.
        Interrupted, Preempted: the run was stopped; its state is saved.
        Unavailable: the memory of the GPU is too small.
    """
    train(recipe, cases, folder, start=weights, resume=True, report=report)
    return load_weights(str(folder / f"{recipe.name}.json"))
