"""Weights that can be trusted, and training states that survive."""

from insula.checkpoint.state import has_state, load_state, save_state
from insula.checkpoint.weights import Card, Weights, find_weights, load_weights, save_weights, store_card

__all__ = [
    "Card",
    "Weights",
    "find_weights",
    "has_state",
    "load_state",
    "load_weights",
    "save_state",
    "save_weights",
    "store_card",
]
