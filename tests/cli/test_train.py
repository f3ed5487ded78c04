"""`insula train` on a prepared cohort."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.call import call
from cohort.tree import plant_tree
from insula.checkpoint import load_weights
from insula.cohort import find_cohort, store_case, write_index
from insula.config import PrepareConfig

_CONFIG = PrepareConfig(box=(48, 64, 48), spacing_mm=4.0)
_RECIPE = """
name = "small"
[model]
kind = "attention_unet"
widths = [4, 8]
[prepare]
box = {box}
spacing_mm = 4.0
[train]
steps = 2
crop = [32, 32, 32]
recalibrate = 0
device = "cpu"
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    plant_tree(tmp_path / "tree", sites=1, each=2)
    folder = tmp_path / "store"
    folder.mkdir()
    stored = [store_case(entry, folder, _CONFIG, "uint8") for entry in find_cohort(tmp_path / "tree").entries]
    write_index(folder, stored, _CONFIG, "uint8")
    return folder


def test_a_store_is_trained_on(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.toml").write_text(_RECIPE.format(box="[48, 64, 48]"))
    said = call(capsys, "train", tmp_path / "r.toml", "--data", store, "--out", tmp_path / "run")
    assert said.code == 0, said.err
    assert "2 cases; cpu" in said.out
    assert load_weights(str(tmp_path / "run")).card.provenance["cases"] == 2


def test_a_store_made_for_another_box_is_refused(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.toml").write_text(_RECIPE.format(box="[48, 48, 48]"))
    said = call(capsys, "train", tmp_path / "r.toml", "--data", store, "--out", tmp_path / "run")
    assert said.code == 65
    assert "was prepared with prepare.box (48, 64, 48)" in said.err


def test_painted_heads_need_something_to_paint_from(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.toml").write_text(_RECIPE.format(box="[48, 64, 48]"))
    arguments = ("train", tmp_path / "r.toml", "--data", store, "--out", tmp_path / "run")
    said = call(capsys, *arguments, "--set", "augment.synthetic_fraction=0.5")
    assert said.code == 2
    assert "--paint-from" in said.err


def test_an_empty_store_is_refused(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_index(store, [], _CONFIG, "uint8")
    (tmp_path / "r.toml").write_text(_RECIPE.format(box="[48, 64, 48]"))
    said = call(capsys, "train", tmp_path / "r.toml", "--data", store, "--out", tmp_path / "run")
    assert said.code == 65
    assert "has no case" in said.err
