"""Every engine gives what PyTorch gives, for every network of ours."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import onnx
import pytest
import torch

from insula.config import AttentionUNet, MambaUNet, ModelConfig, PlainUNet, Scaling, SegmentConfig, SEUNet, SwinUNet
from insula.errors import Unavailable, UsageError
from insula.infer import Engine, Probabilities, choose_engine, engine_precision, engine_run, infer, onnx_graph
from insula.models import UNet, build_model
from insula.nn import SqueezeExcite

_SHAPE = (32, 48, 32)
_NETWORKS: dict[str, ModelConfig] = {
    "attention": AttentionUNet(widths=(4, 8, 16), norm="batch", stem="full"),
    "attention, folded": AttentionUNet(widths=(4, 8, 16), stem="space_to_depth", norm="batch"),
    "squeeze": SEUNet(widths=(4, 8, 16), stem="space_to_depth", norm="batch"),
    "squeeze in windows": SEUNet(widths=(4, 8, 16), squeeze_window=8),
    "squeeze, group norm": SEUNet(widths=(8, 16, 32), norm="group", stem="full"),
    "mamba": MambaUNet(widths=(4, 8, 32, 64), stem="space_to_depth", norm="batch", memory_size=8),
    "swin": SwinUNet(widths=(4, 8, 32), blocks=(0, 0, 2), window=4, norm="instance"),
    "plain": PlainUNet(widths=(4, 8, 16), last_stride=(2, 2, 1)),
    "squeeze, no brain": SEUNet(widths=(4, 8, 16), stem="space_to_depth", norm="batch", brain=False),
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSULA_CACHE", str(tmp_path / "cache"))


def _model(name: str) -> UNet:
    torch.manual_seed(0)
    model = build_model(_NETWORKS[name])
    with torch.no_grad():
        model(torch.randn(2, 1, *_SHAPE))  # statistics that are not those of the start
        model.head.weight *= 30  # answers from 0 to 1
    return model.eval()


def _apart(ours: Probabilities, theirs: Probabilities) -> float:
    """Return the largest difference of both outputs.

    The lesion is compared where both see brain, or everywhere if neither has a brain output.
    """
    if ours.brain is None or theirs.brain is None:
        assert ours.brain is theirs.brain
        return float((ours.lesion - theirs.lesion).abs().max())
    border = (ours.brain - 0.5).abs() < 1e-4  # where rounding decides whether there is brain
    assert float(border.float().mean()) < 0.02
    lesion = torch.where(border, 0.0, ours.lesion - theirs.lesion)
    return max(float(lesion.abs().max()), float((ours.brain - theirs.brain).abs().max()))


def _image() -> torch.Tensor:
    return torch.randn(1, 1, *_SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", _NETWORKS)
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_probabilities_are_those_of_torch(name: str, engine: str) -> None:
    model, image = _model(name), _image()
    config = SegmentConfig(device="cpu", precision="float32", passes="whole")
    ours, _ = infer(model, image, config, scaling=Scaling(1.3, -0.4))
    theirs, facts = infer(
        model, image, SegmentConfig(device="cpu", precision="float32", engine=engine), scaling=Scaling(1.3, -0.4)
    )
    assert facts.engine == engine
    assert ours.lesion.std() > 1e-3
    assert (ours.brain is None) == (name == "squeeze, no brain")
    assert _apart(ours, theirs) < 1e-3


def test_mirroring_goes_through_the_engine_too() -> None:
    model, image = _model("squeeze"), _image()
    ours, _ = infer(model, image, SegmentConfig(device="cpu", precision="float32", tta=True))
    theirs, facts = infer(model, image, SegmentConfig(device="cpu", precision="float32", tta=True, engine="openvino"))
    assert facts.tta
    assert ours.brain is not None
    assert theirs.brain is not None
    assert float((ours.brain - theirs.brain).abs().max()) < 1e-3
    differing = (ours.lesion - theirs.lesion).abs() > 1e-3  # one look's brain may end a voxel elsewhere
    assert float(differing.float().mean()) < 0.01


def test_the_graph_is_made_once_for_each_set_of_weights(tmp_path: Path) -> None:
    config = SegmentConfig(device="cpu", precision="float32", engine="onnxruntime")
    first, _ = infer(_model("squeeze"), _image(), config)
    (kept,) = (tmp_path / "cache").glob("*.onnx")
    written_ns = kept.stat().st_mtime_ns
    again, _ = infer(_model("squeeze"), _image(), config)
    assert kept.stat().st_mtime_ns == written_ns
    assert torch.equal(first.lesion, again.lesion)
    other = _model("squeeze")
    with torch.no_grad():
        next(other.parameters()).mul_(1.01)
    infer(other, _image(), config)
    assert len(list((tmp_path / "cache").glob("*.onnx"))) == 2


def test_a_cache_that_cannot_be_written_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("INSULA_CACHE", str(tmp_path / "file"))
    _, facts = infer(
        _model("squeeze"), _image(), SegmentConfig(device="cpu", precision="float32", engine="onnxruntime")
    )
    assert facts.engine == "onnxruntime"


@pytest.mark.parametrize("name", _NETWORKS)
def test_graphs_use_standard_operators_of_two_opsets_at_most(name: str) -> None:
    graph = onnx.load_from_string(onnx_graph(_model(name), _SHAPE, scaling=Scaling(1.0)))
    onnx.checker.check_model(graph, full_check=True)
    assert {opset.domain for opset in graph.opset_import} <= {"", "ai.onnx"}
    assert [opset.name for opset in graph.graph.input] == ["image"]
    assert [opset.name for opset in graph.graph.output] == ["probability"]
    sizes = [axis.dim_value for axis in graph.graph.output[0].type.tensor_type.shape.dim]
    assert sizes == [1, 1 + _NETWORKS[name].brain, *_SHAPE]


@pytest.mark.parametrize("name", ["squeeze", "mamba"])
def test_a_graph_of_float16_is_valid_and_gives_the_same(name: str) -> None:
    import onnxruntime

    graph = onnx_graph(_model(name), _SHAPE, scaling=Scaling(1.0), precision=torch.float16)
    kinds = {tensor.data_type for tensor in onnx.load_from_string(graph).graph.initializer if len(tensor.dims) == 5}
    assert onnx.TensorProto.FLOAT16 in kinds
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    ours, _ = infer(_model(name), _image(), SegmentConfig(device="cpu", precision="float32", passes="whole"))
    lesion, brain = torch.from_numpy(session.run(None, {"image": _image().numpy()})[0])[0]
    assert ours.brain is not None
    assert float((brain - ours.brain).abs().max()) < 1e-2
    inside = (brain > 0.5) & (ours.brain > 0.5)
    assert inside.any()
    assert float((lesion - ours.lesion)[inside].abs().max()) < 1e-2
    assert not lesion[brain < 0.5].any()


def test_what_engines_compute_in() -> None:
    half, single = torch.bfloat16, torch.float32
    engines: tuple[Engine, ...] = ("onnxruntime", "openvino", "aoti", "tensorrt")
    convolutions, states = _model("squeeze"), _model("mamba")
    assert [engine_precision(name, half, convolutions) for name in engines] == [single, half, half, torch.float16]
    assert [engine_precision(name, half, states) for name in engines] == [single, single, half, torch.float16]
    assert {engine_precision(name, single, convolutions) for name in engines} == {single}


@pytest.mark.parametrize("name", ["attention, folded", "squeeze in windows", "mamba", "swin", "plain"])
def test_batches_of_any_size_if_wanted(name: str) -> None:
    import onnxruntime

    model = _model(name)
    session = onnxruntime.InferenceSession(
        onnx_graph(model, _SHAPE, any_batch=True), providers=["CPUExecutionProvider"]
    )
    for size in (1, 3):
        images = torch.randn(size, 1, *_SHAPE)
        with torch.no_grad():
            wanted = model(images)
        assert abs(session.run(None, {"image": images.numpy()})[0] - wanted.numpy()).max() < 1e-3


def test_what_an_engine_cannot_do_is_said() -> None:
    with pytest.raises(Unavailable, match="for processors"):
        choose_engine("openvino", torch.device("cuda"))
    for engine in ("aoti", "tensorrt"):
        with pytest.raises(Unavailable, match="for GPUs"):
            choose_engine(engine, torch.device("cpu"))
    if importlib.util.find_spec("tensorrt") is None:
        with pytest.raises(Unavailable, match=r"insula\[tensorrt\]"):
            choose_engine("tensorrt", torch.device("cuda"))
    assert choose_engine("aoti", torch.device("cuda")) == "aoti"
    assert choose_engine("auto", torch.device("cuda")) == "torch"
    with pytest.raises(UsageError, match="whole volumes"):
        infer(_model("squeeze"), _image(), SegmentConfig(device="cpu", engine="openvino", passes="tiled"))


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_mean_over_a_large_volume_keeps_its_digits(engine: Engine) -> None:
    """Engines that add up a million values one by one in float32 were off by 0.008 in probability on a whole head."""
    torch.manual_seed(0)
    layer = SqueezeExcite(4, 2).eval()
    shape = (96, 112, 88)
    image = 3 + torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(1)).abs()

    class Squeezed(UNet):
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)
            self.layer = layer

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(torch.cat([x, 2 * x, -x, 0.1 * x], dim=1))[:, :1]

    output = engine_run(Squeezed(), engine, shape, torch.float32, torch.device("cpu"))(image)
    with torch.no_grad():
        exact = Squeezed().double()(image.double())
    assert float((output - exact).abs().max() / exact.abs().max()) < 2e-6
