"""`insula train` on a prepared cohort."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from cli.call import call
from cohort.tree import plant_tree
from insula.checkpoint import load_weights
from insula.cohort import find_cohort
from insula.config import PrepareConfig
from insula.store import Store, store_case, write_index

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
compile = false
device = "cpu"
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    plant_tree(tmp_path / "tree", sites=1, each=3)
    folder = tmp_path / "store"
    folder.mkdir()
    stored = [store_case(entry, folder, _CONFIG, "uint8") for entry in find_cohort(tmp_path / "tree").entries]
    write_index(folder, stored, _CONFIG, "uint8")
    return folder


def test_a_store_is_trained_on(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.toml").write_text(_RECIPE.format(box="[48, 64, 48]"))
    result = call(capsys, "train", tmp_path / "r.toml", "--data", store, "--out", tmp_path / "run")
    assert result.code == 0, result.err
    assert "(cpu)" in result.out
    assert "3 cases" in result.out
    assert load_weights(str(tmp_path / "run")).card.provenance["cases"] == 3


def test_a_profile_shows_phases_and_writes_nothing(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "r.toml").write_text(_RECIPE.format(box="[48, 64, 48]"))
    arguments = ("train", tmp_path / "r.toml", "--data", store, "--out", tmp_path / "run", "--profile")
    result = call(capsys, *arguments)
    assert result.code == 0, result.err
    for phase in ("data and augmentation", "forward", "backward", "optimiser", "a whole training step"):
        assert phase in result.out
    assert not (tmp_path / "run").exists()


def test_an_ensemble_is_no_start(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.toml").write_text(_RECIPE.format(box="[48, 64, 48]"))
    for name in ("a", "b"):
        result = call(capsys, "train", tmp_path / "r.toml", "--data", store, "--out", tmp_path / name)
        assert result.code == 0, result.err
    both = f"{tmp_path / 'a'},{tmp_path / 'b'}"
    result = call(
        capsys, "train", tmp_path / "r.toml", "--data", store, "--out", tmp_path / "c", "--from-weights", both
    )
    assert result.code == 2
    assert "a+b are an ensemble of 2 networks" in result.err


def test_the_log_is_in_tensorboard_too(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (tmp_path / "r.toml").write_text(_RECIPE.format(box="[48, 64, 48]"))
    result = call(capsys, "train", tmp_path / "r.toml", "--data", store, "--out", tmp_path / "run")
    assert result.code == 0, result.err
    board = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    shown = board.Scalars("train/loss")
    assert [event.step for event in shown] == [line["step"] for line in log]
    assert [event.value for event in shown] == pytest.approx([line["loss"] for line in log])
    assert "other cases/Dice" not in board.Tags()["scalars"]


def test_without_tensorboard_a_run_is_a_run(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    (tmp_path / "r.toml").write_text(_RECIPE.format(box="[48, 64, 48]"))
    result = call(capsys, "train", tmp_path / "r.toml", "--data", store, "--out", tmp_path / "run")
    assert result.code == 0, result.err
    assert not (tmp_path / "run" / "tensorboard").exists()
    assert (tmp_path / "run" / "training.html").exists()


def test_a_store_made_for_another_box_is_refused(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.toml").write_text(_RECIPE.format(box="[48, 48, 48]"))
    result = call(capsys, "train", tmp_path / "r.toml", "--data", store, "--out", tmp_path / "run")
    assert result.code == 65
    assert "was prepared with prepare.box (48, 64, 48)" in result.err


def test_painted_heads_need_something_to_paint_from(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.toml").write_text(_RECIPE.format(box="[48, 64, 48]"))
    arguments = ("train", tmp_path / "r.toml", "--data", store, "--out", tmp_path / "run")
    result = call(capsys, *arguments, "--set", "augment.synthetic_fraction=0.5")
    assert result.code == 2
    assert "give a folder of label maps as --data too" in result.err


def test_an_empty_store_is_refused(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_index(store, [], _CONFIG, "uint8")
    (tmp_path / "r.toml").write_text(_RECIPE.format(box="[48, 64, 48]"))
    result = call(capsys, "train", tmp_path / "r.toml", "--data", store, "--out", tmp_path / "run")
    assert result.code == 65
    assert "has no case" in result.err


def _names(store: Path) -> list[str]:
    return sorted(Store(store).cases)


def _split(path: Path, names: list[str], *, inner: bool = False) -> Path:
    """Two folds, each tests one case; nested ones judge on one of the rest."""
    folds = []
    for tested in names[:2]:
        rest = [name for name in names if name != tested]
        fold: dict[str, object] = {"train": rest, "test": [tested]}
        if inner:
            fold["inner"] = [{"train": rest[1:], "test": rest[:1]}]
        folds.append(fold)
    tree = {"format": "insula-split/1", "cohort_sha256": "", "by": "random", "seed": 0, "folds": folds}
    path.write_text(json.dumps(tree))
    return path


@pytest.mark.parametrize("inner", [False, True])
def test_every_fold_trains_on_its_part_and_is_judged_on_others(
    inner: bool, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = _names(store)
    split = _split(tmp_path / "split.json", names, inner=inner)
    (tmp_path / "r.toml").write_text(_RECIPE.format(box="[48, 64, 48]"))
    arguments = ("train", tmp_path / "r.toml", "--data", store, "--split", split, "--set", "train.validations=1")
    result = call(capsys, *arguments, "--out", tmp_path / "cv")
    assert result.code == 0, result.err
    assert result.out.count("judged on 1 other ") == 2
    for number in (0, 1):
        folder = tmp_path / "cv" / f"fold{number}"
        assert load_weights(str(folder)).card.provenance["cases"] == (1 if inner else 2)
        chosen = load_weights(str(folder / "best")).card.provenance["chosen_by"]
        assert chosen["cases"] == 1
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        assert lines[-1]["validation"] == chosen
        assert lines[-1]["voxels_per_second"] > 0
    assert 'href="fold1/training.html"' in (tmp_path / "cv" / "index.html").read_text()
    page = (tmp_path / "cv" / "fold0" / "training.html").read_text()
    last_line = (tmp_path / "cv" / "fold0" / "log.jsonl").read_text().splitlines()[-1]
    assert f"<strong>{json.loads(last_line)['validation']['dice']:.3f}<" in page
    result = call(capsys, *arguments, "--fold", "1", "--out", tmp_path / "one")
    assert result.code == 0, result.err
    assert load_weights(str(tmp_path / "one")).sha256 == load_weights(str(tmp_path / "cv" / "fold1")).sha256


@pytest.mark.parametrize(
    ("fold", "message"), [("2", "--fold 2 is not one of 2; choose 0 to 1"), ("x", "neither a number nor `all`")]
)
def test_a_fold_that_is_not_there_is_refused(
    fold: str, message: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = _split(tmp_path / "split.json", _names(store))
    (tmp_path / "r.toml").write_text(_RECIPE.format(box="[48, 64, 48]"))
    arguments = ("train", tmp_path / "r.toml", "--data", store, "--split", split, "--out", tmp_path / "run")
    result = call(capsys, *arguments, "--fold", fold)
    assert result.code == 2
    assert message in result.err


def test_a_fold_of_nothing_is_refused(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Or it would train on the cases that are to test it."""
    (tmp_path / "r.toml").write_text(_RECIPE.format(box="[48, 64, 48]"))
    result = call(capsys, "train", tmp_path / "r.toml", "--data", store, "--fold", "1", "--out", tmp_path / "run")
    assert result.code == 2
    assert "there is no --split" in result.err


def test_two_stores_are_refused(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.toml").write_text(_RECIPE.format(box="[48, 64, 48]"))
    result = call(capsys, "train", tmp_path / "r.toml", "--data", store, "--data", store, "--out", tmp_path / "run")
    assert result.code == 2
    assert "prepare both cohorts into one store" in result.err


def test_without_data_there_is_nothing_to_train_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.toml").write_text(_RECIPE.format(box="[48, 64, 48]"))
    result = call(capsys, "train", tmp_path / "r.toml", "--out", tmp_path / "run")
    assert result.code == 2
    assert "--data is missing" in result.err
    result = call(capsys, "train", tmp_path / "r.toml", "--data", tmp_path / "nowhere", "--out", tmp_path / "run")
    assert result.code == 66
