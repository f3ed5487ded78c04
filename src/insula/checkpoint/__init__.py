"""Verified weights, and training states that survive an interruption."""

from insula.checkpoint.averaging import soup
from insula.checkpoint.ensemble import find_weights, load_members, load_weights, store_card
from insula.checkpoint.seen import hashed, subjects_seen, who_was_seen
from insula.checkpoint.state import has_state, load_state, save_state
from insula.checkpoint.weights import Card, Weights, save_weights

__all__ = [
    "Card",
    "Weights",
    "find_weights",
    "has_state",
    "hashed",
    "load_members",
    "load_state",
    "load_weights",
    "save_state",
    "save_weights",
    "soup",
    "store_card",
    "subjects_seen",
    "who_was_seen",
]
