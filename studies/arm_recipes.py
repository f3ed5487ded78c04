"""The recipes of training variants ("arms"), by their names: `model-crop[-extra ...][-sSEED]`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from insula.config import AttentionUNet, MambaUNet, ModelConfig, PlainUNet, Recipe, SEUNet, load_recipe

_RECIPES = Path(__file__).parents[1] / "recipes"
_HEADS = (
    "simulate.chronic_fraction=0.8",
    "simulate.most_lesions=3",
    "simulate.further_lesion_fraction=0.3",
    "simulate.small_fraction=0.25",
    "simulate.strip_fraction=0.45",
    "simulate.shift_mm=10",
    "simulate.blend_fraction=0.2",
    "train.focus=lesion",
    "train.compile=true",
    "train.save_minutes=4",
    'train.losses=[[1.0,"dice"],[1.0,"cross_entropy"]]',
)
_CROPS = {
    "64": ("train.crop=[64,64,64]", "train.batch=12"),
    "96": ("train.crop=[96,96,96]", "train.batch=4"),
    "128": ("train.crop=[128,128,128]", "train.batch=2"),
}
_EXTRAS = {
    "fixed": ("simulate.heads=600",),
    "precise": ('train.losses=[[0.7,"dice"],[1.0,"cross_entropy"],[0.3,"precise_tversky"]]',),
    "unpainted": ("simulate.painted_fraction=0",),
    "painted": ("simulate.painted_fraction=0.45",),
    "mission": ('train.losses=[[0.35,"dice"],[0.25,"focal"],[0.25,"boundary"],[0.15,"tversky"]]',),
    "plain": ("simulate.confounders=0",),
    "whole": ("train.whole_fraction=0.04",),
    "clinical": ("simulate.spin_echo_fraction=0.2",),
    "echo": ("simulate.echo=true",),
    "compiled": ("simulate.compile=true",),
    "eager": ("train.compile=false",),
    "nomemory": ("model.memory=off",),
    "noscan": ("model.scans=0",),
    "acute": ("simulate.chronic_fraction=0.5",),
    "gentle": ("train.lr=2e-4",),
    "windows": (),  # of the size of the crop
    "controls": ("simulate.control_fraction=0.2",),
    "topk": ('train.losses=[[1.0,"dice"],[1.0,"topk10"]]', "train.lr=1e-3"),
}
_MODELS: dict[str, ModelConfig] = {
    "baseline": AttentionUNet(stem="space_to_depth", norm="batch"),
    "plain": PlainUNet(),
}
"""Models trained with the smart model's recipe, which differs from a cohort's defaults in crops and losses alone."""


def recipe_of(arm: str, device: str) -> Recipe:
    """The recipe that an arm's name stands for: `model-crop[-extra ...][-sSEED]`."""
    model, crop, *rest = arm.split("-")
    changes = [*_HEADS, *_CROPS[crop]]
    for word in rest:
        changes += [f"train.seed={word[1:]}"] if _is_seed(word) else _EXTRAS[word]
    changes.append(f"train.device={device}")
    recipe = load_recipe(_RECIPES / f"{'smart' if model in _MODELS else model}.toml", tuple(changes))
    network = _MODELS.get(model, recipe.model)
    if isinstance(network, SEUNet) or (isinstance(network, MambaUNet) and "windows" in rest):
        network = replace(network, squeeze_window=recipe.train.crop[0])
    return replace(recipe, name=model, model=network)


def unseeded(arm: str) -> str:
    """The name of an arm without its seed."""
    return "-".join(word for word in arm.split("-") if not _is_seed(word))


def _is_seed(word: str) -> bool:
    return word[0] == "s" and word[1:].isdigit()
