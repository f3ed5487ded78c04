"""Weights as safetensors with a JSON card beside them; never a pickle."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as save_tensors
from torch import nn

from insula.checkpoint.sound import (
    check_answers,
    check_box,
    check_model,
    check_prepare,
    check_provenance,
    check_tree,
    read_tensors,
)
from insula.config import Calibration, ModelConfig, PrepareConfig, Scaling, from_dict, knobs, to_dict
from insula.errors import BadData, NoInput, UsageError
from insula.io import write_bytes, write_json
from insula.io.bytes import read_file
from insula.models import UNet, build_model

__all__ = ["Card", "Weights", "bundled_card", "find_one", "load_one", "read_card", "save_weights", "write_card"]

_BUNDLED = Path(__file__).parent.parent / "weights"
_FORMAT = "insula-weights/1"
_LONGEST_NAME = 200


@knobs
class Card:
    """All that has to be known to use a set of weights."""

    name: str
    """What they are called."""
    model: ModelConfig
    """The network they fit."""
    prepare: PrepareConfig
    """How scans must be prepared."""
    threshold: float = 0.5
    """Probability, after calibration, from which a voxel is lesion."""
    min_lesion_ml: float = 0.0
    """Smaller lesions are dropped."""
    calibration: Calibration = Calibration()
    """What the probabilities are worth, if that was ever measured."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """How they came to be: data, recipe, seed, steps, versions."""


@dataclass(frozen=True, eq=False)
class Weights:
    """A network with its weights, in evaluation mode, and its card; or several whose probabilities are averaged."""

    networks: tuple[tuple[UNet, Scaling], ...]
    """Each with the scaling that its own probabilities are calibrated by before they are averaged; none for one alone."""
    card: Card
    """How to prepare scans and what to make of probabilities; of an ensemble, `model` is its first network's."""
    sha256: str

    @property
    def model(self) -> UNet:
        """The network, where there is one.

        Raises:
            UsageError: an ensemble.
        """
        if len(self.networks) > 1:
            rule = f"are an ensemble of {len(self.networks)} networks, and this needs one"
            raise UsageError("the weights", self.card.name, rule, "name one of its members")
        return self.networks[0][0]


def save_weights(folder: Path, model: nn.Module, card: Card) -> str:
    """Write `NAME.safetensors` (parameters in float16, statistics in float32) and, last, `NAME.json`, each atomically.

    Args:
        folder: exists.
        model: of the card's config.
        card: its name names the files.

    Returns:
        The SHA-256 of the tensor file.

    Raises:
        BadData: a value is not finite, or would not be in float16.
    """
    parameters = dict(model.named_parameters())  # statistics of norms go up to 1e6 and would overflow float16
    tensors = {
        key: (value.half() if key in parameters else value).contiguous().cpu()
        for key, value in model.state_dict().items()
    }
    for key, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise BadData("the weights", key, "hold values that are not finite", "train with a lower rate")
    data = save_tensors(tensors)
    sha = hashlib.sha256(data).hexdigest()
    write_bytes(folder / f"{card.name}.safetensors", data)
    write_json(folder / f"{card.name}.json", {"format": _FORMAT, "sha256": sha, **to_dict(card)})
    return sha


def find_one(name: str) -> Path:
    """The card of bundled weights (`baseline`), of a `.json` or `.safetensors` file, or of a run's folder.

    A bundled name wins over a folder that happens to have it, such as one of results; that folder is `./baseline`.
    """
    if (bundled := bundled_card(name)) is not None:
        return bundled
    path = Path(name)
    if path.is_dir() and len(cards := sorted(path.glob("*.json"))) == 1:
        return cards[0]
    if path.suffix in (".json", ".safetensors") and path.with_suffix(".json").is_file():
        return path.with_suffix(".json")
    known = ", ".join(sorted(p.stem for p in _BUNDLED.glob("*.json"))) or "none"
    raise NoInput("the weights", name, "do not exist", f"give a folder, a file or one of: {known}")


def bundled_card(name: str) -> Path | None:
    """The card of weights that come with the package; None where there are none of that name."""
    path = _BUNDLED / f"{name}.json"
    return path if Path(name).name == name and path.is_file() else None


def load_one(card_path: Path) -> Weights:
    """One network, by its card; loaded and verified.

    Raises:
        NoInput, NoPermission, IOFault: a file cannot be read.
        BadData: the hash does not match; the card, the tensors or both together are not sound (`insula.checkpoint.sound`).
        UsageError: a key of the card that is unknown, missing or of the wrong kind.
    """
    tree = read_card(card_path, _FORMAT)
    expected = tree.pop("sha256", None)
    file = read_file(card_path.with_suffix(".safetensors"))
    if file.sha256 != expected:
        rule = f"does not match its card ({str(expected)[:12]}...)"
        raise BadData("the weights' SHA-256", f"{file.sha256[:12]}...", rule, "copy both files again")
    if isinstance(tree.get("model"), dict):
        tree["model"].setdefault("brain", False)  # cards from before that output
    card = from_dict(Card, tree, what="the card")
    _check_card(card, card_path.name)
    tensors = read_tensors(file.data)
    check_box(card.model, card.prepare.box, tensors, card_path.name)
    model = build_model(card.model)
    wanted = model.state_dict()
    model.load_state_dict({key: value.to(wanted[key].dtype) for key, value in tensors.items()})
    return Weights(networks=((model.eval(), Scaling()),), card=card, sha256=file.sha256)


def read_card(path: Path, form: str) -> dict[str, Any]:
    """The JSON of a card of that format."""
    try:
        tree = json.loads(read_file(path).data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise BadData("the card", path.name, "is not JSON", "copy the weights again") from None
    if not isinstance(tree, dict) or tree.pop("format", None) != form:
        raise BadData("the card", path.name, f"is not of format {form}", "give weights that insula wrote")
    check_tree(tree, path.name)
    return tree


def write_card(path: Path, card: Card) -> None:
    """Rewrite the card of weights that exist; the tensors stay as they are."""
    sha = hashlib.sha256(path.with_suffix(".safetensors").read_bytes()).hexdigest()
    write_json(path, {"format": _FORMAT, "sha256": sha, **to_dict(card)})


def _check_card(card: Card, name: str) -> None:
    if not card.name or len(card.name) > _LONGEST_NAME or not card.name.isprintable() or set(card.name) & set("/\\"):
        raise BadData("the card", name, "has a name that no file can have", "copy the weights again, or give others")
    check_model(card.model, name)
    check_prepare(card.prepare, name)
    check_answers(card.threshold, card.min_lesion_ml, card.calibration, name)
    check_provenance(card.provenance, name)
