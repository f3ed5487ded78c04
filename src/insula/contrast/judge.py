"""Decisions on an image's contrast: which images are refused, and which are flagged."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from insula.contrast.kinds import NAMES, T1W_KINDS, Kind
from insula.contrast.network import bundled, bundled_faults
from insula.contrast.symptoms import measure_symptoms
from insula.errors import BadData
from insula.types import Flag

__all__ = ["LEAST_T1W", "Verdict", "check_contrast", "verdict_of"]

LEAST_T1W = 0.25
"""Probability of being T1-weighted below which an image is refused; at 0.5, half a head is refused too."""
_SURE = 0.5
_MOTION, _NOISE = 0.65, 0.99
"""Probabilities above which motion and noise are flagged.

Chosen on heads kept for this: motion is flagged in 3 % of the good ones, noise in about 4 % of those that are as noisy
as the simulator's ordinary scanners (`ScannerLook.sample`, up to 0.09 of white matter).
"""


@dataclass(frozen=True)
class Verdict:
    """The judgement of the two small networks on an image."""

    kind: Kind
    """The likeliest kind."""
    chance: float
    """Probability of that kind, 0 to 1."""
    t1w: float
    """Probability that the image is T1-weighted, with or without a contrast agent, inverted or not."""
    agent: bool
    """Whether a contrast agent seems to have been given."""
    motion: bool
    """Whether the head seems to have moved a lot."""
    noisy: bool
    """Whether noise hides the contrast between tissues."""

    @property
    def refused(self) -> bool:
        """Whether the image is too unlike T1w to be segmented."""
        return self.t1w < LEAST_T1W


@torch.inference_mode()
def verdict_of(look: Float[Tensor, "i j k"]) -> Verdict:
    """Judge what an image shows, and how well.

    Args:
        look: from `look_at`.
    """
    chances = bundled()(torch.stack([look, look.flip(0)])).softmax(1).mean(0)  # the head and its mirror image
    motion, noisy = bundled_faults()(measure_symptoms(look)[None])[0].sigmoid().tolist()
    kind = Kind(int(chances.argmax()))
    return Verdict(
        kind=kind,
        chance=float(chances[kind]),
        t1w=float(chances[list(T1W_KINDS)].sum()),
        agent=float(chances[Kind.T1W_AGENT]) > _SURE,
        motion=motion > _MOTION,
        noisy=noisy > _NOISE,
    )


def check_contrast(look: Float[Tensor, "i j k"], *, assume_t1w: bool = False) -> tuple[Flag, ...]:
    """Return the flags of an image that can be segmented.

    Args:
        look: from `look_at`.
        assume_t1w: flag an image that does not look like T1w, instead of refusing it.

    Raises:
        BadData: the image does not look like a T1w scan of a head, and is not assumed to be one.
    """
    verdict = verdict_of(look)
    flags = []
    if verdict.refused:
        rule = (
            f"looks like {NAMES[verdict.kind]} and not like a T1w scan"
            if verdict.kind not in T1W_KINDS
            else "does not look like a T1w scan"
        )
        if verdict.kind is Kind.NO_HEAD:
            rule = "does not look like a scan of a head"
        if not assume_t1w:
            raise BadData("the image", "", rule, "give the T1w scan, or use `assume_t1w` if it is one")
        text = f"The image {rule}; it was segmented because it was assumed to be one."
        flags.append(Flag("contrast-assumed", text))
    if verdict.agent:
        text = "The scan looks contrast-enhanced: what the agent brightens can hide a lesion."
        flags.append(Flag("contrast-agent-seen", text))
    if verdict.motion:
        flags.append(
            Flag(
                "motion",
                "The head seems to have moved during the scan; small lesions may be missed or falsely detected.",
            )
        )
    if verdict.noisy:
        flags.append(
            Flag(
                "low-signal",
                "Noise hides much of the tissue contrast; small lesions may be missed or falsely detected.",
            )
        )
    return tuple(flags)
