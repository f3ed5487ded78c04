"""A key that a stored file lacks means what it meant when the file was written."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from insula.config import ModelConfig, Recipe, complete_model, complete_recipe, from_dict, to_dict

_U_NET = {"widths": [16, 32, 64, 128, 256], "full_norm": "none", "stem": "full", "sides": 0, "brain": False}
_MODELS: dict[str, dict[str, Any]] = {
    "attention_unet": {**_U_NET, "norm": "instance"},
    "se_unet": {**_U_NET, "norm": "group", "reduction": 4, "squeeze_window": 0, "bottleneck_convs": 3},
    "mamba_unet": {
        **_U_NET,
        "widths": [16, 32, 64, 128, 320],
        "norm": "group",
        "reduction": 4,
        "squeeze_window": 0,
        "scans": 2,
        "state": 16,
        "memory": "self_sorting",
        "memory_size": 64,
    },
    "swin_unet": {
        "widths": [24, 48, 96, 192, 384],
        "blocks": [0, 0, 2, 4, 4],
        "window": 4,
        "norm": "instance",
        "full_norm": "none",
        "brain": False,
    },
    "plain_unet": {
        "widths": [32, 64, 128, 256, 320, 320],
        "last_stride": [2, 2, 1],
        "norm": "instance",
        "brain": False,
    },
}
_SIMULATE = {
    "control_fraction": 0.1,
    "chronic_fraction": 0.6,
    "painted_fraction": 0.2,
    "strip_fraction": 0.5,
    "deface_fraction": 0.4,
    "further_lesion_fraction": 0.25,
    "most_lesions": 2,
    "small_fraction": 0.0,
    "lacune_fraction": 0.1,
    "confounders": 1.0,
    "blend_fraction": 0.0,
    "spin_echo_fraction": 0.0,
    "artefact_chance": 0.1,
    "compile": False,
    "echo": False,
    "heads": 0,
    "shift_mm": 6.0,
}
_AUGMENT = {
    "deform_fraction": 0.8,
    "strength": 1.0,
    "shift_mm": 6.0,
    "scan_fraction": 0.7,
    "artefact_chance": 0.1,
    "strip_fraction": 0.2,
    "graft_fraction": 0.2,
    "synthetic_fraction": 0.0,
    "synthetic_painted": True,
}
_PREPARE = {"box": [192, 224, 176], "spacing_mm": 1.0, "low_percentile": 10.0, "high_percentile": 90.0, "clip": 4.0}
_TRAIN = {
    "steps": 10_000,
    "batch": 1,
    "accumulate": 1,
    "crop": [192, 224, 176],
    "focus": "voxel",
    "whole_fraction": 0.0,
    "whole_batch": 1,
    "lr": 1e-3,
    "weight_decay": 1e-2,
    "warmup": 0.03,
    "clip_norm": 1.0,
    "ema": 0.999,
    "recalibrate": 16,
    "losses": [[1.0, "dice"], [1.0, "cross_entropy"]],
    "brain_weight": 0.3,
    "teacher": "",
    "teacher_share": 0.5,
    "device": "auto",
    "precision": "auto",
    "recompute": False,
    "cohort": "auto",
    "compile": False,
    "graph": True,
    "save_minutes": 3.0,
    "minutes": 0.0,
    "validations": 10,
    "seed": 0,
}


def test_every_model_is_known_here() -> None:
    assert {kind().kind for kind in get_args(ModelConfig)} == set(_MODELS)


@pytest.mark.parametrize("kind", _MODELS)
def test_a_model_with_no_key_but_its_kind_is_the_former_default(kind: str) -> None:
    """Whoever changes a default has to enter the former one, and this table stays as it is."""
    complete = complete_model({"kind": kind})
    assert complete == {"kind": kind, **_MODELS[kind]}
    (model,) = (config for config in get_args(ModelConfig) if config().kind == kind)
    assert to_dict(from_dict(model, complete, what="the model")) == complete


def test_what_a_model_has_is_kept() -> None:
    whole = {**complete_model({"kind": "attention_unet"}), "norm": "batch", "stem": "space_to_depth", "brain": True}
    assert complete_model(whole) == whole
    assert complete_model({**whole, "surprise": 1})["surprise"] == 1


@pytest.mark.parametrize("model", [{}, {"kind": "other_unet"}, {"kind": ["attention_unet"]}])
def test_a_model_of_no_known_kind_is_left_as_it_is(model: dict[str, Any]) -> None:
    assert complete_model(model) == model


def test_a_recipe_with_no_settings_is_the_former_default() -> None:
    complete = complete_recipe({"name": "x", "model": {"kind": "attention_unet"}})
    assert complete == {
        "name": "x",
        "model": {"kind": "attention_unet", **_MODELS["attention_unet"]},
        "prepare": _PREPARE,
        "simulate": _SIMULATE,
        "augment": _AUGMENT,
        "train": _TRAIN,
    }


def test_what_a_recipe_has_is_kept() -> None:
    whole = to_dict(Recipe(name="x"))
    assert complete_recipe(whole) == whole
