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
    build_network,
    check_answers,
    check_box,
    check_model,
    check_prepare,
    check_provenance,
    check_tree,
    read_tensors,
)
from insula.config import (
    Calibration,
    ModelConfig,
    PrepareConfig,
    Scaling,
    complete_model,
    from_dict,
    knobs,
    names_files,
    to_dict,
)
from insula.errors import BadData, NoInput, UsageError
from insula.io import write_bytes, write_json
from insula.io.bytes import read_file
from insula.models import UNet

__all__ = ["Card", "Weights", "bundled_card", "find_card", "load_network", "read_card", "save_weights", "write_card"]

_BUNDLED = Path(__file__).parent.parent / "weights"
_FORMAT = "insula-weights/1"


@knobs
class Card:
    """Everything needed to use a set of weights."""

    name: str
    """Name of the weights."""
    model: ModelConfig
    """Configuration of the network."""
    prepare: PrepareConfig
    """How scans must be prepared."""
    threshold: float = 0.5
    """Calibrated probability from which a voxel is lesion (0 to 1)."""
    min_lesion_ml: float = 0.0
    """Smaller lesions are dropped [ml]."""
    calibration: Calibration = Calibration()
    """Calibration of the probabilities; the default changes nothing."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Origin of the weights: data, recipe, seed, steps, versions."""


@dataclass(frozen=True, eq=False)
class Weights:
    """A network in evaluation mode with its weights and card; or several networks whose probabilities are averaged."""

    networks: tuple[tuple[UNet, Scaling], ...]
    """Each network with the scaling that calibrates its own probabilities before averaging; the identity for a
    single network."""
    card: Card
    """How to prepare scans and interpret probabilities; an ensemble's `model` is that of its first network."""
    sha256: str

    @property
    def origin(self) -> dict[str, Any]:
        """Name, SHA-256 and provenance, for the card of weights that are made from these."""
        return {"name": self.card.name, "sha256": self.sha256, **self.card.provenance}

    @property
    def model(self) -> UNet:
        """The single network.

        Raises:
            UsageError: the weights are an ensemble.
        """
        if len(self.networks) > 1:
            rule = f"are an ensemble of {len(self.networks)} networks, and a single network is needed"
            raise UsageError("the weights", self.card.name, rule, "name one of its members")
        return self.networks[0][0]


def save_weights(folder: Path, model: nn.Module, card: Card) -> str:
    """Write `NAME.safetensors` (parameters in float16, statistics in float32), then `NAME.json`, each atomically.

    Args:
        folder: an existing folder.
        model: a network of the card's model.
        card: its name names the files.

    Returns:
        The SHA-256 of the tensor file.

    Raises:
        BadData: a value is not finite, or overflows float16.
    """
    parameters = dict(model.named_parameters())  # statistics of norms go up to 1e6 and would overflow float16
    tensors = {
        key: (value.half() if key in parameters else value).contiguous().cpu()
        for key, value in model.state_dict().items()
    }
    for key, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise BadData("the weights", key, "hold values that are not finite", "train with a lower learning rate")
    data = save_tensors(tensors)
    sha = hashlib.sha256(data).hexdigest()
    write_bytes(folder / f"{card.name}.safetensors", data)
    write_json(folder / f"{card.name}.json", {"format": _FORMAT, "sha256": sha, **to_dict(card)})
    return sha


def find_card(name: str) -> Path:
    """Find the card of bundled weights (`baseline`), of a `.json` or `.safetensors` file, or of a run's folder.

    A bundled name takes precedence over a folder of that name, e.g. a folder of results; write `./baseline` for the
    folder.

    Raises:
        NoInput: no weights of that name exist; the message lists the bundled ones.
    """
    if (bundled := bundled_card(name)) is not None:
        return bundled
    path = Path(name)
    if path.is_dir() and len(cards := sorted(path.glob("*.json"))) == 1:
        return cards[0]
    if path.suffix in (".json", ".safetensors") and path.with_suffix(".json").is_file():
        return path.with_suffix(".json")
    known = ", ".join(sorted(path.stem for path in _BUNDLED.glob("*.json"))) or "none"
    raise NoInput("the weights", name, "do not exist", f"name a folder, a file or bundled weights: {known}")


def bundled_card(name: str) -> Path | None:
    """Returns the card of bundled weights; None if there are none of that name."""
    path = _BUNDLED / f"{name}.json"
    return path if Path(name).name == name and path.is_file() else None


def load_network(card_path: Path) -> Weights:
    """Load a single network by its card and verify it.

    Raises:
        NoInput, NoPermission, IOFault: a file cannot be read.
        BadData: the hash does not match, or the card and its tensors are not sound (`insula.checkpoint.sound`).
        UsageError: a key of the card is unknown, missing or of the wrong type.
    """
    tree = read_card(card_path, _FORMAT)
    expected = tree.pop("sha256", None)
    file = read_file(card_path.with_suffix(".safetensors"))
    if file.sha256 != expected:
        rule = f"does not match its card ({str(expected)[:12]}...)"
        raise BadData("the weights' SHA-256", f"{file.sha256[:12]}...", rule, "copy both files again")
    if isinstance(tree.get("model"), dict):
        tree["model"] = complete_model(tree["model"])
    card = from_dict(Card, tree, what="the card")
    _check_card(card, card_path.name)
    tensors = read_tensors(file.data)
    network = build_network(card.model, tensors, card_path.name)
    check_box(network, card.prepare.box, card_path.name)
    return Weights(networks=((network, Scaling()),), card=card, sha256=file.sha256)


def read_card(path: Path, form: str) -> dict[str, Any]:
    """Read the JSON of a card and check its format."""
    try:
        tree = json.loads(read_file(path).data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise BadData("the card", path.name, "is not JSON", "copy the weights again") from None
    if not isinstance(tree, dict) or tree.pop("format", None) != form:
        raise BadData("the card", path.name, f"is not of format {form}", "use weights written by insula")
    check_tree(tree, path.name)
    return tree


def write_card(path: Path, card: Card) -> None:
    """Rewrite the card of existing weights; the tensors stay as they are."""
    sha = hashlib.sha256(path.with_suffix(".safetensors").read_bytes()).hexdigest()
    write_json(path, {"format": _FORMAT, "sha256": sha, **to_dict(card)})


def _check_card(card: Card, name: str) -> None:
    if not names_files(card.name):
        raise BadData("the card", name, "has a name that no file can have", "copy the weights again, or use others")
    check_model(card.model, name)
    check_prepare(card.prepare, name)
    check_answers(card.threshold, card.min_lesion_ml, card.calibration, name)
    check_provenance(card.provenance, name)
