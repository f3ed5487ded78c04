"""The border of text and knobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from insula.config import AttentionUNet, Recipe, SEUNet, from_dict, load_recipe, to_dict
from insula.errors import NoInput, UsageError

_RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", _RECIPES, ids=lambda p: p.stem)
def test_every_recipe_loads_and_comes_back(path: Path) -> None:
    recipe = load_recipe(path)
    assert from_dict(Recipe, to_dict(recipe), what="again") == recipe
    assert recipe.name == path.stem


def test_the_kind_chooses_the_model() -> None:
    assert isinstance(
        from_dict(Recipe, {"name": "a", "model": {"kind": "attention_unet"}}, what="r").model, AttentionUNet
    )
    assert isinstance(from_dict(Recipe, {"name": "a", "model": {"kind": "se_unet"}}, what="r").model, SEUNet)
    with pytest.raises(UsageError, match="vgg"):
        from_dict(Recipe, {"name": "a", "model": {"kind": "vgg"}}, what="the recipe")


def test_overrides_reach_their_key(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('name = "r"\n[train]\nsteps = 5\n')
    recipe = load_recipe(path, ["train.lr=3e-4", "train.crop=[16,16,16]", "name=other", "model.kind=se_unet"])
    assert (recipe.train.steps, recipe.train.lr, recipe.train.crop, recipe.name) == (5, 3e-4, (16, 16, 16), "other")
    assert isinstance(recipe.model, SEUNet)


@pytest.mark.parametrize(
    ("text", "override", "value"),
    [
        ('name = "r"\nstepz = 1', "", "stepz"),
        ('name = "r"\n[train]\nsteps = "many"', "", "many"),
        ("name =", "", "not TOML"),
        ('name = "r"', "train.lr", "train.lr is not key=value"),
        ('name = "r"', "name.x=1", "name"),
        ('name = "r"', "train.no_such=1", "no_such"),
    ],
)
def test_what_does_not_fit_is_named(text: str, override: str, value: str, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_recipe(path, [override] if override else [])
    assert value in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match=r"nope\.toml"):
        load_recipe(tmp_path / "nope.toml")
