"""Values that no run could use are refused before it begins, whether they come from a file or from Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from insula.config import Recipe, check_recipe, load_recipe
from insula.errors import UsageError

_BASELINE = Path(__file__).parents[2] / "recipes" / "baseline.toml"


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ("train.batch=0", "train.batch 0 is less than 1"),
        ("train.accumulate=0", "train.accumulate 0 is less than 1"),
        ("train.seed=-1", "train.seed -1 is less than 0"),
        ("train.lr=-1.0", "train.lr -1.0 is less than 0"),
        ("train.crop=[96, 0, 96]", "train.crop 0 is less than 1"),
        ("train.losses=[]", "train.losses names no loss"),
        ("train.ema=2.0", "train.ema 2.0 is not from 0 to 1"),
        ("train.warmup=-0.5", "train.warmup -0.5 is not from 0 to 1"),
        ("train.whole_fraction=2.0", "train.whole_fraction 2.0 is not from 0 to 1"),
        ("train.teacher_share=1.5", "train.teacher_share 1.5 is not from 0 to 1"),
        ("simulate.most_lesions=0", "simulate.most_lesions 0 is less than 1"),
        ("simulate.control_fraction=2.0", "simulate.control_fraction 2.0 is not from 0 to 1"),
        ("augment.artefact_chance=-0.1", "augment.artefact_chance -0.1 is not from 0 to 1"),
        ("model.widths=[4]", r"model.widths \[4\] has less than two stages"),
        ("prepare.low_percentile=95.0", "prepare.high_percentile 90.0 is not above 95"),
        ("prepare.high_percentile=101.0", "prepare.high_percentile 101.0 is not above 10 and at most 100"),
        ("name=''", "is not the name of a file"),
        ("name='a/b'", "is not the name of a file"),
    ],
)
def test_a_value_that_no_run_could_use_is_refused_by_its_key(change: str, refusal: str) -> None:
    with pytest.raises(UsageError, match=refusal):
        load_recipe(_BASELINE, (change,))


def test_the_recipes_and_the_defaults_are_accepted() -> None:
    check_recipe(Recipe(name="mine"))
    for path in _BASELINE.parent.glob("*.toml"):
        load_recipe(path)
