"""The mean of several weights as a single network's weights."""

from __future__ import annotations

from pathlib import Path

from insula.checkpoint import load_members, save_weights, soup
from insula.errors import CannotCreate

__all__ = ["export_soup"]


def export_soup(weights: str, folder: Path) -> Path:
    """Write the mean of several networks' weights, named after the folder; calibrate it before use.

    Args:
        weights: names joined by commas.
        folder: created if missing; must be empty.

    Returns:
        The path of the card.

    Raises:
        UsageError: there is only one network.
        BadData: the models differ, or the networks were not trained on from the same weights.
        CannotCreate: the folder is a file, or not empty.
    """
    mean = soup(load_members(weights), folder.resolve().name)
    if folder.is_file():
        raise CannotCreate("the folder", folder, "is a file", "name a new folder")
    if folder.exists() and any(folder.iterdir()):
        raise CannotCreate("the folder", folder, "is not empty", "name a new one")
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder, mean.model, mean.card)
    return folder / f"{mean.card.name}.json"
