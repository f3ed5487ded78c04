"""The recipes in the repository are what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from insula.config import Recipe, load_recipe
from insula.models import build_model

_RECIPES = Path(__file__).parents[2] / "recipes"
_MILLIONS = {
    "baseline": (5.6, 5.7),
    "cohort": (5.6, 5.7),
    "enhanced": (7.0, 8.0),
    "smart": (8.0, 10.0),
    "default": (8.0, 10.0),
    "large": (14.5, 15.5),
    "large-finetune": (14.5, 15.5),
    "distil": (7.0, 8.0),
}


def test_every_recipe_is_known_here() -> None:
    assert {path.stem for path in _RECIPES.glob("*.toml")} == set(_MILLIONS)


@pytest.mark.parametrize("name", sorted(_MILLIONS))
def test_a_recipe_builds_a_model_of_its_size_that_fits_its_crops(name: str) -> None:
    recipe = load_recipe(_RECIPES / f"{name}.toml", ())
    assert recipe.name == name
    model = build_model(recipe.model)
    low, high = _MILLIONS[name]
    assert low < sum(p.numel() for p in model.parameters()) / 1e6 < high
    assert all(n % 16 == 0 for n in recipe.train.crop)


def test_the_defaults_are_the_recipe_for_a_cohort() -> None:
    recipe = load_recipe(_RECIPES / "cohort.toml", ())
    assert recipe == Recipe(name="cohort")


@pytest.mark.parametrize("name", ["cohort", "enhanced", "smart", "large"])
def test_a_models_defaults_are_those_of_its_recipe(name: str) -> None:
    model = load_recipe(_RECIPES / f"{name}.toml", ()).model
    assert model == type(model)()


def test_a_student_is_of_its_starts_model_and_learns_the_same_losses() -> None:
    start, student = (load_recipe(_RECIPES / f"{name}.toml", ()) for name in ("enhanced", "distil"))
    assert student.model == start.model
    assert student.train.losses == start.train.losses
    assert student.train.teacher == "ensemble"


def test_fine_tuning_is_of_the_same_model() -> None:
    large, tuned = (load_recipe(_RECIPES / f"{name}.toml", ()) for name in ("large", "large-finetune"))
    assert tuned.model == large.model
    assert tuned.train.lr < large.train.lr
