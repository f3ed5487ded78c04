"""Defaults of earlier versions: what a card or a training state means by a key that it lacks."""

from __future__ import annotations

from typing import Any, get_args

from insula.config.augment import AugmentConfig
from insula.config.models import ModelConfig
from insula.config.prepare import PrepareConfig
from insula.config.recipe import SimulateConfig, TrainConfig
from insula.config.toml import to_dict

__all__ = ["complete_model", "complete_recipe"]

_KINDS = {to_dict(kind())["kind"]: kind for kind in get_args(ModelConfig)}
_MODELS: dict[str, dict[str, Any]] = {
    "attention_unet": {"norm": "instance", "stem": "full", "brain": False},
    "se_unet": {"norm": "group", "stem": "full", "brain": False, "squeeze_window": 0},
    "mamba_unet": {"norm": "group", "stem": "full", "brain": False, "squeeze_window": 0},
    "swin_unet": {"norm": "instance", "brain": False},
    "plain_unet": {"brain": False},
}
_TRAIN: dict[str, Any] = {"steps": 10_000, "batch": 1, "crop": [192, 224, 176], "lr": 1e-3, "compile": False}


def complete_model(model: dict[str, Any]) -> dict[str, Any]:
    """Returns the model of a stored card with all keys; one that it lacks has the default of when it was optional.

    A default that changes is entered here with its former value, so that files written before keep their meaning.

    Args:
        model: the model as plain data; a kind that does not exist is left as it is.
    """
    kind = model.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        return model
    return {**to_dict(_KINDS[kind]()), **_MODELS[kind], **model}


def complete_recipe(recipe: dict[str, Any]) -> dict[str, Any]:
    """Returns the recipe of a stored training state with all keys, as `complete_model` does for its model.

    Args:
        recipe: the recipe as plain data; it has a model.
    """
    defaults = {"prepare": PrepareConfig(), "simulate": SimulateConfig(), "augment": AugmentConfig()}
    parts = {name: {**to_dict(config), **recipe.get(name, {})} for name, config in defaults.items()}
    train = {**to_dict(TrainConfig()), **_TRAIN, **recipe.get("train", {})}
    return {**recipe, **parts, "model": complete_model(recipe["model"]), "train": train}
