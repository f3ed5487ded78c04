"""A network compiled ahead is the same network."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from insula.config import MambaUNet, ModelConfig, Scaling, SegmentConfig, SEUNet
from insula.errors import Unavailable
from insula.infer import compiled_package, infer
from insula.infer import package as package_module
from insula.infer.engines import engine_run
from insula.infer.package import package_run, prove
from insula.models import UNet, build_model, probabilities

needs_a_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")

_CPU = torch.device("cpu")
_SHAPE = (16, 32, 16)
_NETWORKS: dict[str, ModelConfig] = {
    "squeeze": SEUNet(widths=(4, 8, 16), stem="space_to_depth", norm="batch"),
    "mamba": MambaUNet(widths=(4, 8, 32, 64), stem="space_to_depth", norm="batch", memory_size=8),
}


def _model(name: str) -> UNet:
    torch.manual_seed(0)
    model = build_model(_NETWORKS[name])
    with torch.no_grad():
        model.head.weight *= 30
    return model.eval()


def _image() -> torch.Tensor:
    return torch.randn(1, 1, *_SHAPE, generator=torch.Generator().manual_seed(1))


@needs_a_compiler
@pytest.mark.parametrize(("name", "precision"), [("squeeze", "float32"), ("mamba", "float32"), ("squeeze", "bfloat16")])
def test_it_answers_as_the_network_does(name: str, precision: str, tmp_path: Path) -> None:
    config = SegmentConfig(device="cpu", precision=precision, passes="whole")  # type: ignore[arg-type]
    wanted, _ = infer(_model(name), _image(), config, scaling=Scaling(1.3, -0.4))
    package = compiled_package(
        _model(name),
        _SHAPE,
        _CPU,
        precision=getattr(torch, precision),
        scaling=Scaling(1.3, -0.4),
        about={"insula": "x"},
    )
    (tmp_path / "it.pt2").write_bytes(package)
    output = package_run(tmp_path / "it.pt2", _CPU)(_image())
    assert wanted.brain is not None
    assert wanted.lesion.std() > 1e-3
    assert output.dtype == torch.float32
    most = 1e-3 if precision == "float32" else 3e-2
    lesion, brain = output[0]
    assert float((brain - wanted.brain).abs().max()) < most
    assert not lesion[brain < 0.5].any()
    inside = (brain > 0.5) & (wanted.brain > 0.5)
    assert inside.any()
    assert float((lesion - wanted.lesion)[inside].abs().max()) < most


@needs_a_compiler
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", _NETWORKS)
def test_on_a_gpu_too(name: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSULA_CACHE", str(tmp_path))
    exact, _ = infer(_model(name), _image(), SegmentConfig(device="cpu", precision="float32"))
    seen, facts = infer(
        _model(name),
        _image(),
        SegmentConfig(device="cuda", engine="aoti", precision=precision),  # type: ignore[arg-type]
    )
    assert (facts.engine, facts.precision) == ("aoti", precision)
    assert exact.brain is not None
    assert seen.brain is not None
    most = 0.1 if precision == "bfloat16" else 0.02
    inside = (exact.brain > 0.5) & (seen.brain > 0.5)
    assert float((seen.brain - exact.brain).abs().max()) < most
    assert float((seen.lesion - exact.lesion)[inside].abs().max()) < most


@needs_a_compiler
def test_as_an_engine_it_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSULA_CACHE", str(tmp_path))
    monkeypatch.setattr("insula.infer.run.choose_engine", lambda *_: "aoti")  # as if there were a GPU
    config = SegmentConfig(device="cpu", precision="float32", engine="aoti", tta=True)
    seen, facts = infer(_model("squeeze"), _image(), config)
    assert facts.engine == "aoti"
    monkeypatch.undo()
    monkeypatch.setenv("INSULA_CACHE", str(tmp_path))
    plain, _ = infer(_model("squeeze"), _image(), SegmentConfig(device="cpu", precision="float32", tta=True))
    torch.testing.assert_close(seen.brain, plain.brain, atol=1e-3, rtol=1e-3)
    assert float(((seen.lesion - plain.lesion).abs() > 1e-3).float().mean()) < 0.01
    first = engine_run(_model("squeeze"), "aoti", _SHAPE, torch.float32, _CPU)(_image())
    (kept,) = tmp_path.glob("*.pt2")
    written_ns = kept.stat().st_mtime_ns
    model = _model("squeeze")
    again = engine_run(model, "aoti", _SHAPE, torch.float32, _CPU)(_image())
    assert kept.stat().st_mtime_ns == written_ns
    assert torch.equal(first, again)
    with torch.no_grad():
        assert float((first - model(_image())).abs().max()) < 1e-2


@needs_a_compiler
def test_what_ends_its_program_or_computes_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, example = tmp_path / "it.pt2", tmp_path / "example.pt"
    model, image = _model("squeeze"), _image()
    package.write_bytes(compiled_package(model, _SHAPE, _CPU, precision=torch.float32))
    with torch.no_grad():
        answer = model(image)
    torch.save((image, answer, False), example)
    prove(package, example, _CPU)
    turned = answer.flip(2)
    lesion, brain = answer.clone(), answer.clone()
    lesion[:, 0], brain[:, 1] = turned[:, 0], turned[:, 1]
    for odd, message in (
        (turned, r"it computes is off by \d+ %"),
        (answer + 3, r"it computes is off by \d+ %"),
        (answer.nan_to_num() * torch.nan, None),
        (lesion, r"it computes is off by \d+ %"),
        (brain, r"it computes is off by \d+ %"),
        (answer[:, :1], r"it computes has the shape \(1, 2, 16, 32, 16\) instead of \(1, 1, 16, 32, 16\)"),
    ):
        torch.save((image, odd, False), example)
        if message is None:  # too much noise for the network itself says nothing of the package
            prove(package, example, _CPU)
            continue
        with pytest.raises(
            Unavailable, match=rf"the package for cpu does not run as it should \(what {message}\); use PyTorch"
        ):
            prove(package, example, _CPU)
    package.write_bytes(package.read_bytes()[:1000])
    with pytest.raises(Unavailable, match="does not run as it should .*use PyTorch"):
        prove(package, example, _CPU)


def test_probabilities_are_compared_where_there_is_brain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    logits = 3 * torch.randn(1, 2, *_SHAPE)
    answer, example = probabilities(logits), tmp_path / "example.pt"
    torch.save((_image(), answer, True), example)

    def verdict(output: torch.Tensor) -> str:
        monkeypatch.setattr(package_module, "package_run", lambda *_: lambda _: output)
        return package_module.try_package("it.pt2", str(example), "cpu")

    assert verdict(answer) == "the same"
    nearly = probabilities(logits + 0.05 * torch.randn(logits.shape))
    assert bool(((nearly[:, 0] > 0) != (answer[:, 0] > 0)).any()), "some voxels are brain in one of both only"
    assert verdict(nearly) == "the same"
    for wrong in ((0, 1), (0,), (1,)):
        turned = logits.clone()
        turned[:, list(wrong)] = logits[:, list(wrong)].flip(2)
        assert verdict(probabilities(turned)).startswith("what it computes is off by ")
    broken = answer.clone()
    broken[0, 0, 0, 0, 0] = torch.nan
    assert verdict(broken) == "what it computes is not finite"
    nowhere = probabilities(torch.stack([logits[:, 0], -logits[:, 1].abs()], dim=1))  # no brain in an image of noise
    torch.save((_image(), nowhere, True), example)
    assert verdict(nowhere) == "the same"


@pytest.mark.parametrize(
    ("child", "message"),
    [
        (
            "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)",
            r"ends the program that loads it \(signal 11\); .*CXX=",
        ),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", r"\(signal 9\); see whether memory is short, or"),
        ("import time\ntime.sleep(60)", r"could not be tried \(TimeoutExpired\); use PyTorch"),
        ("pass", "does not run as it should"),
        (None, r"could not be tried \(\w+\); use PyTorch"),
    ],
)
def test_whatever_becomes_of_the_trial_is_told(
    child: str | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_module, "_TRY_S", 3)
    if child is None:
        monkeypatch.setattr("sys.executable", None)
    else:
        monkeypatch.setattr(package_module, "_TRY", child)
    with pytest.raises(Unavailable, match=message):
        prove(Path("it.pt2"), Path("it.pt"), _CPU)


def test_what_has_one_channel_is_laid_out_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, tuple[torch.export.ExportedProgram, dict[str, object]]] = {}

    def look(program: torch.export.ExportedProgram, *, inductor_configs: dict[str, object], **_: object) -> None:
        seen[name] = (program, inductor_configs)
        raise RuntimeError("enough")

    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", look)
    for name in _NETWORKS:
        with pytest.raises(Unavailable, match="enough"):
            compiled_package(_model(name), _SHAPE, _CPU, precision=torch.float32)
        weights = [w for w in seen[name][0].parameters() if w.ndim == 5]
        assert {w.stride() for w in weights if w.shape[1] == 1 and w.shape[2] == 2} == {(8, 8, 4, 2, 1)}
        wide = [w for w in weights if w.shape[1] > 1 and w.shape[2] == 3]
        assert wide
        assert all(w.is_contiguous(memory_format=torch.channels_last_3d) for w in wide)
    assert seen["squeeze"][1]["freezing"]
    assert not seen["mamba"][1]["freezing"], "PyTorch 2.11 gives state spaces wrong weights then, in half precision"


def test_what_cannot_be_compiled_is_tried_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[int] = []

    def fails(*_: object, **__: object) -> bytes:
        tries.append(1)
        raise Unavailable("the network", "", "could not be compiled", "use PyTorch")

    monkeypatch.setenv("INSULA_CACHE", str(tmp_path))
    monkeypatch.setattr("insula.infer.engines.compiled_package", fails)
    model = _model("squeeze")
    for _ in range(2):
        with pytest.raises(Unavailable, match="could not be compiled"):
            engine_run(model, "aoti", _SHAPE, torch.float32, _CPU)
    assert len(tries) == 1
    assert caplog.messages == ["aoti: making the network ready for cpu takes a minute or two, once"]


def test_a_machine_without_a_compiler_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("no compiler\nand a long story")

    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", fails)
    with pytest.raises(Unavailable, match=r"no compiler\).*install a C\+\+"):
        compiled_package(_model("squeeze"), _SHAPE, _CPU, precision=torch.float32)


def test_what_it_does_not_say_is_not_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", fails)
    with pytest.raises(Unavailable, match="does not say why.*use PyTorch"):
        compiled_package(_model("squeeze"), _SHAPE, _CPU, precision=torch.float32)
