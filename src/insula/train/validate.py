"""Validates the averaged network on whole cases that are not used in training."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float

from insula.geometry import Grid
from insula.metrics import dice_score, match_lesions
from insula.models import UNet, probabilities
from insula.stats import mean_interval
from insula.store import CaseSet
from insula.train.world import World
from insula.volume import Case, Mask, Scan

__all__ = ["Validation", "validate"]

_THRESHOLD = 0.5
_SAMPLES = 3


@dataclass(frozen=True)
class Validation:
    """Metrics of `insula evaluate` on whole volumes, at a threshold of 0.5 and without dropping small lesions.

    Dice and lesion F1 are means over cases with a lesion; controls have the share of empty masks.
    """

    dice: float
    """Mean Dice over cases with a lesion; without any, the share of controls with an empty mask, as `basis` says."""
    low: float | None
    """Lower end of its 95 % interval; None if no valid interval exists."""
    high: float | None
    basis: str
    """What the interval is based on."""
    f1: float
    """Mean lesion F1 over the same cases, counting any overlap."""
    cases: int
    """Number of cases, including controls."""
    empty: float | None
    """Share of controls with an empty mask; None without controls."""
    false_ml: float | None
    """Mean false lesion volume of controls; None without controls."""
    brain: float | None = None
    """Mean Dice of the brain mask; None unless the network and a case have one."""
    samples: tuple[tuple[Case, Mask], ...] = field(default=(), repr=False, compare=False)
    """A few of this process's cases that have a lesion, as the network sees them, and their predicted masks."""

    @property
    def figures(self) -> dict[str, float | int | str | None]:
        """The figures as plain data, for the log and the card."""
        figures = {
            name: getattr(self, name) for name in ("dice", "low", "high", "basis", "f1", "cases", "empty", "false_ml")
        }
        return figures if self.brain is None else {**figures, "brain": self.brain}


def _sample(
    name: str,
    image: Float[np.ndarray, "i j k"],
    truth: Bool[np.ndarray, "i j k"],
    mask: Bool[np.ndarray, "i j k"],
    spacing_mm: float,
) -> tuple[Case, Mask]:
    i, j, k = image.shape
    grid = Grid((i, j, k), np.diag([spacing_mm] * 3 + [1.0]))
    return Case(scan=Scan(image, grid, name=name), truth=Mask(truth, grid), subject=name), Mask(mask, grid)


@torch.inference_mode()
def validate(model: UNet, cases: CaseSet, *, dtype: torch.dtype, spacing_mm: float, world: World) -> Validation:
    """Segment and score every case, divided among the processes.

    Args:
        model: the network; its training mode is restored afterwards.
        cases: at least one case; moved to the device of the model one at a time.
        dtype: precision of the network.
        spacing_mm: voxel size of the cases [mm].
        world: the processes that share the work.
    """
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    scores, samples = torch.zeros(6, len(cases)), list[tuple[Case, Mask]]()
    for n in range(world.rank, len(cases), world.size):
        image = cases.images[n].to(device).float()[None, None].contiguous(memory_format=torch.channels_last_3d)
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            logits = model(image).float()
        prob = probabilities(logits)
        mask, truth = (prob[0, 0] > _THRESHOLD).cpu().numpy(), cases.masks[n].cpu().numpy()
        scores[:2, n] = torch.tensor([dice_score(truth, mask), match_lesions(truth, mask).f1_any])
        if prob.shape[1] > 1 and cases.brains and bool((cases.brains[n] >= 0).all()):
            head, known = (prob[0, 1] > _THRESHOLD).cpu().numpy(), (cases.brains[n] > 0).cpu().numpy()
            scores[2:4, n] = torch.tensor([dice_score(known, head), 1.0])
        scores[4:, n] = torch.tensor([float(truth.any()), mask.sum() * spacing_mm**3 / 1000])
        if len(samples) < _SAMPLES and truth.any():
            samples.append(_sample(cases.names[n], image[0, 0].cpu().numpy(), truth, mask, spacing_mm))
    model.train(training)
    dice, f1, brain, judged, lesion, volume = world.total(scores)
    chosen, control = lesion > 0, lesion == 0
    if not chosen.any():
        chosen = control
    centres = [cases.centres[n] for n in torch.nonzero(chosen).flatten().tolist()] if cases.centres else None
    mean = mean_interval(dice[chosen].tolist(), centres, least=0, most=1)
    return Validation(
        dice=mean.value,
        low=mean.low,
        high=mean.high,
        f1=float(f1[chosen].mean()),
        cases=len(cases),
        basis=mean.basis if lesion.any() else f"share of empty masks; no case has a lesion, {mean.basis}",
        empty=float((volume[control] == 0).float().mean()) if control.any() else None,
        false_ml=float(volume[control].mean()) if control.any() else None,
        brain=float(brain.sum() / judged.sum()) if bool(judged.any()) else None,
        samples=tuple(samples),
    )
