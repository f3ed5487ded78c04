from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from insula.config import AttentionUNet, MambaUNet
from insula.infer.cache import kept
from insula.infer.engines import Engine, engine_run
from insula.models import UNet, build_model


def _model(seed: int = 0) -> UNet:
    torch.manual_seed(seed)
    return build_model(AttentionUNet(widths=(2, 4), norm="instance", stem="full"))


def test_made_once_for_all_that_it_follows_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSULA_CACHE", str(tmp_path / "a" / "b"))
    builds: list[int] = []

    def make() -> bytes:
        builds.append(1)
        return b"graph"

    first = kept(_model(), "onnx", make, (1, 2, 3))
    assert first.read_bytes() == b"graph"
    assert kept(_model(), "onnx", make, (1, 2, 3)) == first
    assert len(builds) == 1
    others = {
        kept(_model(1), "onnx", make, (1, 2, 3)),
        kept(_model(), "onnx", make, (1, 2, 4)),
        kept(_model(), "pt2", make, (1, 2, 3)),
    }
    assert len(others | {first}) == 4


@pytest.mark.parametrize("place", ["XDG_CACHE_HOME", "HOME"])
def test_the_systems_place_for_caches(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("INSULA_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(place, str(tmp_path))
    path = kept(_model(), "onnx", lambda: b"x")
    assert path.parent == tmp_path / ("insula" if place == "XDG_CACHE_HOME" else ".cache/insula")


def test_where_nothing_can_be_written_it_lasts_as_long_as_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("INSULA_CACHE", str(tmp_path / "file"))
    builds: list[int] = []

    def make() -> bytes:
        builds.append(1)
        return b"graph"

    path = kept(_model(), "onnx", make, str(tmp_path))
    assert path.read_bytes() == b"graph"
    assert tmp_path not in path.parents
    assert kept(_model(), "onnx", make, str(tmp_path)) == path  # until the program ends
    assert len(builds) == 1


def test_a_file_of_somebody_else_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSULA_CACHE", str(tmp_path))
    kept(_model(), "onnx", lambda: b"theirs")
    monkeypatch.setattr("insula.infer.cache.os.access", lambda *_: False)
    assert kept(_model(), "onnx", lambda: b"mine").read_bytes() == b"mine"


def test_models_of_the_same_layers_that_use_them_otherwise_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSULA_CACHE", str(tmp_path))
    first, other = (
        MambaUNet(widths=(2, 4, 8), memory=memory, memory_size=4, norm="group", stem="full")
        for memory in ("self_sorting", "self_sorting_mirror")
    )
    models = []
    for config in (first, other):
        torch.manual_seed(0)
        models.append(build_model(config))
    paths = {kept(model, "onnx", lambda: b"x") for model in models}
    assert len(paths) == 2


_DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "two bits": lambda data: data[:500] + bytes([data[500] ^ 1, data[501] ^ 128]) + data[502:],
    "cut": lambda data: data[:-1],
    "empty": lambda _: b"",
    "longer": lambda data: data + b"x",
    "zeros": lambda data: bytes(len(data)),
    "half": lambda data: data[: len(data) // 2],
}


@pytest.mark.parametrize("place", ["cache", "temporary"])
@pytest.mark.parametrize("damage", [*_DAMAGES, "no hash", "another hash", "half a hash"])
def test_what_is_damaged_is_made_again(
    damage: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "temporary":
        (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("INSULA_CACHE", str(tmp_path / "file"))
    content, facts = bytes(range(256)) * 8, (damage, place, str(tmp_path))
    path = kept(_model(), "onnx", lambda: content, *facts)
    beside = path.with_name(f"{path.name}.sha256")
    assert beside.read_text() == hashlib.sha256(content).hexdigest()
    if damage == "no hash":
        beside.unlink()
    elif "hash" in damage:
        beside.write_text(hashlib.sha256(b"other").hexdigest()[: 32 if "half" in damage else 64])
    else:
        path.write_bytes(_DAMAGES[damage](content))
    builds: list[int] = []

    def make() -> bytes:
        builds.append(1)
        return content

    for _ in range(2):
        assert kept(_model(), "onnx", make, *facts).read_bytes() == content
    assert len(builds) == 1, "and then it is whole again"


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("damage", ["two bits", "half", "empty"])
def test_a_damaged_graph_gives_the_volume_all_the_same(
    engine: Engine, damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(engine)
    monkeypatch.setenv("INSULA_CACHE", str(tmp_path))
    image, cpu = torch.randn(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0)), torch.device("cpu")

    def answer() -> torch.Tensor:
        model = _model().eval()  # another one each time, of the same weights: as another start of the program
        with torch.inference_mode():
            return engine_run(model, engine, (16, 16, 16), torch.float32, cpu)(image)

    first = answer()
    (path,) = tmp_path.glob("*.onnx")
    path.write_bytes(_DAMAGES[damage](path.read_bytes()))
    assert torch.equal(answer(), first)
