"""Weights are trusted only when they are whole, and never run code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from insula.checkpoint import Card, find_weights, load_weights, save_weights
from insula.config import AttentionUNet, PrepareConfig, load_recipe
from insula.errors import BadData, NoInput, UsageError
from insula.models import build_model

_ROOT = Path(__file__).parents[2]
_SMALL = AttentionUNet(widths=(2, 4))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_weights(tmp_path, build_model(_SMALL), Card(name="w", model=_SMALL, prepare=PrepareConfig(), threshold=0.4))
    return tmp_path


def test_folder_card_and_tensor_file_all_name_them(saved: Path) -> None:
    for name in (saved, saved / "w.json", saved / "w.safetensors"):
        assert load_weights(str(name)).card.threshold == 0.4


@pytest.mark.parametrize("name", ["baseline", "enhanced", "smart"])
def test_bundled_weights_are_whole_and_say_what_they_are(name: str) -> None:
    weights = load_weights(name)
    model = load_recipe(_ROOT / "recipes" / f"{name}.toml", ()).model
    assert weights.card.model == replace(model, brain=name == "smart")  # the others are from before that output
    assert "simulated" in weights.card.provenance["trained_on"]
    assert "not validated on patients" in weights.card.provenance["trained_on"]
    assert weights.card.calibration.fitted_on is not None
    assert not weights.model.training
    assert weights.sha256[:12] in (_ROOT / "docs" / "reference" / "models.md").read_text(encoding="utf-8")


def test_unknown_names_list_the_known(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match=r"the weights nope do not exist; .*baseline"):
        find_weights("nope")
    with pytest.raises(NoInput):
        find_weights(str(tmp_path))


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_damage_is_found_by_the_hash(damage: str, saved: Path) -> None:
    path = saved / "w.safetensors"
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    path.write_bytes(data[: len(data) // 2] if damage == "cut" else b"" if damage == "empty" else data)
    with pytest.raises(BadData) as caught:
        load_weights(str(saved))
    assert caught.value.code == 65


def test_new_tensors_beside_an_old_card_are_refused(saved: Path) -> None:
    card = (saved / "w.json").read_bytes()
    torch.manual_seed(5)
    save_weights(saved, build_model(_SMALL), Card(name="w", model=_SMALL, prepare=PrepareConfig()))
    (saved / "w.json").write_bytes(card)
    with pytest.raises(BadData, match="SHA-256.*does not match"):
        load_weights(str(saved))


def test_another_architecture_names_the_first_differing_keys(saved: Path) -> None:
    tree = json.loads((saved / "w.json").read_text())
    tree["model"]["widths"] = [2, 4, 8]
    (saved / "w.json").write_text(json.dumps(tree))
    with pytest.raises(BadData, match=r"tensors: decoders\.1"):
        load_weights(str(saved))


@pytest.mark.parametrize(
    ("change", "error", "value"),
    [
        ({"format": "other/9"}, BadData, "w.json"),
        ({"surprise": 1}, UsageError, "surprise"),
        ({"threshold": "high"}, UsageError, "high"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(change: dict[str, object], error: type, value: str, saved: Path) -> None:
    tree = json.loads((saved / "w.json").read_text()) | change
    (saved / "w.json").write_text(json.dumps(tree))
    with pytest.raises(error, match=value):
        load_weights(str(saved))


def test_a_card_that_is_no_json_is_refused(saved: Path) -> None:
    (saved / "w.json").write_text("{")
    with pytest.raises(BadData, match="not JSON"):
        load_weights(str(saved))


def test_a_bundled_name_wins_over_a_folder_of_results_that_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    expected = find_weights("baseline")
    for name in ("baseline", "ensemble"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "scan.json").write_text('{"outcome": "done"}')
        (tmp_path / name / "fold0").mkdir()
    assert find_weights("baseline") == expected
    assert find_weights("ensemble").parent == expected.parent
    assert find_weights("./baseline") == Path("baseline/scan.json")
