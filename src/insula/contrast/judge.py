"""What is refused, and what is flagged."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from insula.contrast.kinds import NAMES, T1W_KINDS, Kind
from insula.contrast.network import bundled
from insula.errors import BadData
from insula.types import Flag

__all__ = ["Verdict", "check_contrast", "verdict_of"]

_LEAST_T1W = 0.25
_SURE = 0.5


@dataclass(frozen=True)
class Verdict:
    """What an image looks like."""

    kind: Kind
    """The likeliest."""
    chance: float
    """Its chance, 0 to 1."""
    t1w: float
    """Chance that it is T1-weighted, with or without an agent, inverted or not."""
    agent: bool
    """Whether it looks as if a contrast agent had been given."""
    motion: bool
    """Whether the head seems to have moved a lot."""
    noisy: bool
    """Whether noise hides what tells tissues apart."""

    @property
    def refused(self) -> bool:
        """Whether it is too unlike T1w to be segmented."""
        return self.t1w < _LEAST_T1W


@torch.inference_mode()
def verdict_of(look: Float[Tensor, "2 i j k"]) -> Verdict:
    """What an image looks like.

    Args:
        look: of `look_at` or `coarse`.
    """
    found = bundled()(look[None])[0]
    chances = found[:-2].softmax(0)
    motion, noisy = found[-2:].sigmoid().tolist()
    kind = Kind(int(chances.argmax()))
    return Verdict(
        kind=kind,
        chance=float(chances[kind]),
        t1w=float(chances[list(T1W_KINDS)].sum()),
        agent=float(chances[Kind.T1W_AGENT]) > _SURE,
        motion=motion > _SURE,
        noisy=noisy > _SURE,
    )


def check_contrast(look: Float[Tensor, "2 i j k"]) -> tuple[Flag, ...]:
    """Flags of an image that can be segmented.

    Args:
        look: of `look_at` or `coarse`.

    Raises:
        BadData: it does not look like a T1w scan of a head.
    """
    found = verdict_of(look)
    if found.refused:
        rule = (
            f"looks like {NAMES[found.kind]} and not like a T1w scan"
            if found.kind not in T1W_KINDS
            else "does not look like a T1w scan"
        )
        if found.kind is Kind.NO_HEAD:
            rule = "does not look like a scan of a head"
        raise BadData("the image", "", rule, "give the T1w scan, or use --assume-t1w if it is one")
    flags = []
    if found.agent:
        text = "The scan looks as if a contrast agent had been given: what it brightens can hide a lesion or look like none."
        flags.append(Flag("contrast-agent-seen", text))
    if found.motion:
        flags.append(
            Flag("motion", "The head seems to have moved during the scan; small lesions may be missed or made up.")
        )
    if found.noisy:
        flags.append(
            Flag("low-signal", "Noise hides much of what tells tissues apart; small lesions may be missed or made up.")
        )
    return tuple(flags)
