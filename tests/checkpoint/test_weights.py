"""Weights are trusted only when they are whole, and never run code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from insula.checkpoint import Card, find_weights, load_weights, save_weights
from insula.config import AttentionUNet, ModelConfig, PrepareConfig, SEUNet, load_recipe
from insula.errors import BadData, NoInput, UsageError
from insula.models import build_model

_ROOT = Path(__file__).parents[2]
_SMALL = AttentionUNet(widths=(2, 4))
_NORMED = AttentionUNet(widths=(2, 4), norm="batch", full_norm="batch")


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
    assert weights.card.model == model
    assert "simulated" in weights.card.provenance["trained_on"]
    assert "not validated on patients" in weights.card.provenance["trained_on"]
    assert weights.card.calibration.fitted_on is not None
    assert not weights.model.training
    assert weights.sha256[:12] in (_ROOT / "docs" / "reference" / "models.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["baseline", "enhanced", "smart"])
def test_bundled_weights_take_two_bytes_a_parameter(name: str) -> None:
    parameters = sum(parameter.numel() for parameter in load_weights(name).model.parameters())
    spare = find_weights(name).with_suffix(".safetensors").stat().st_size - 2 * parameters
    assert 0 < spare < 50_000, "statistics in float32, and the header"


def test_only_bundled_weights_are_large() -> None:
    files = (path for folder in ("src", "tests", "docs", "recipes") for path in (_ROOT / folder).rglob("*"))
    large = {path.relative_to(_ROOT).as_posix() for path in files if path.is_file() and path.stat().st_size > 3e6}
    assert large == {f"src/insula/weights/{name}.safetensors" for name in ("baseline", "enhanced", "smart")}


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


@pytest.mark.parametrize(
    ("model", "left_out"),
    [
        (AttentionUNet(widths=(2, 4), norm="instance", stem="full", brain=False), ("norm", "stem", "brain")),
        (SEUNet(widths=(2, 4), norm="group", stem="full", brain=False), ("norm", "stem", "sides")),
        (AttentionUNet(widths=(2, 4), norm="batch", stem="full", brain=False), ("stem", "brain")),
    ],
)
def test_a_card_from_before_a_default_changed_means_what_it_meant(
    model: ModelConfig, left_out: tuple[str, ...], tmp_path: Path
) -> None:
    network = build_model(model).eval()
    save_weights(tmp_path, network, Card(name="w", model=model, prepare=PrepareConfig()))
    whole = load_weights(str(tmp_path))
    tree = json.loads((tmp_path / "w.json").read_text())
    for key in left_out:
        del tree["model"][key]
    (tmp_path / "w.json").write_text(json.dumps(tree))
    weights = load_weights(str(tmp_path))
    assert weights.card.model == model
    image = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        assert torch.equal(weights.model(image), whole.model(image))


def test_parameters_are_stored_in_float16_and_statistics_in_float32(tmp_path: Path) -> None:
    """Statistics of deep layers pass 65504, the largest float16, and small ones would be rounded."""
    network = build_model(_NORMED)
    parameters = dict(network.named_parameters())
    statistics = {name: buffer for name, buffer in network.named_buffers() if buffer.is_floating_point()}
    assert {name.rpartition(".")[2] for name in statistics} == {"running_mean", "running_var"}
    for n, buffer in enumerate(statistics.values()):
        buffer.copy_(torch.linspace(1 / 3, 1e6 if n % 2 else 10, buffer.numel()))
    save_weights(tmp_path, network, Card(name="w", model=_NORMED, prepare=PrepareConfig()))
    tensors = load_file(tmp_path / "w.safetensors")
    assert {tensors[name].dtype for name in parameters} == {torch.float16}
    for name, buffer in statistics.items():
        assert tensors[name].dtype == torch.float32, name
        assert torch.equal(tensors[name], buffer), name
    loaded = load_weights(str(tmp_path)).model.state_dict()
    assert all(torch.equal(loaded[name], buffer) for name, buffer in statistics.items())
    assert {loaded[name].dtype for name in parameters} == {torch.float32}


@pytest.mark.parametrize("value", [1e6, float("nan")])
def test_a_parameter_that_float16_cannot_hold_is_refused_and_nothing_written(value: float, tmp_path: Path) -> None:
    network = build_model(_SMALL)
    next(iter(network.parameters())).data[0] = value
    with pytest.raises(BadData, match="hold values that are not finite; train with a lower learning rate"):
        save_weights(tmp_path, network, Card(name="w", model=_SMALL, prepare=PrepareConfig()))
    assert not list(tmp_path.iterdir())
