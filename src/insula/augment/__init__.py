"""Augmentation of heads: what happens to a case is drawn first and computed afterwards, on the training device."""

from insula.augment.apply import Augmented, Augmenter, augment
from insula.augment.graft import Graft, LesionGrafts
from insula.augment.head import Given, OutlineSet, SimulatedHead, carry_out, draw_head, look_at, simulate_head
from insula.augment.original import Original
from insula.augment.placement import place
from insula.augment.plan import Augmentation, Paint
from insula.augment.strip import brain_of
from insula.augment.subject import demo_case

__all__ = [
    "Augmentation",
    "Augmented",
    "Augmenter",
    "Given",
    "Graft",
    "LesionGrafts",
    "Original",
    "OutlineSet",
    "Paint",
    "SimulatedHead",
    "augment",
    "brain_of",
    "carry_out",
    "demo_case",
    "draw_head",
    "look_at",
    "place",
    "simulate_head",
]
