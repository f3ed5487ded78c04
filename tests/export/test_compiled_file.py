from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from insula.checkpoint import load_weights
from insula.config import SegmentConfig
from insula.errors import CannotCreate, Unavailable, UsageError
from insula.export import export_aoti, export_tensorrt
from insula.infer import infer
from insula.infer.plan import plan_run
from tensorrt_stand_in import stand_in


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_the_package_gives_probabilities_and_says_what_it_is(brain_weights: Path, tmp_path: Path) -> None:
    path = export_aoti(str(brain_weights), tmp_path / "tiny.pt2", shape=(16, 32, 16), device="cpu")
    loaded = load_weights(str(brain_weights))
    package = torch._inductor.aoti_load_package(str(path))
    metadata = package.loader.get_metadata()
    assert "not a medical device" in metadata["notice"]
    assert metadata["weights_sha256"] == loaded.sha256
    image = torch.randn(1, 1, 16, 32, 16)
    config = SegmentConfig(device="cpu", precision=metadata["precision"], passes="whole")
    wanted, _ = infer(loaded.model, image, config, scaling=loaded.card.calibration.scaling)
    lesion, brain = package(image.contiguous(memory_format=torch.channels_last_3d))[0]
    assert json.loads(metadata["outputs"]) == ["lesion", "brain"]
    assert wanted.brain is not None
    assert float((brain - wanted.brain).abs().max()) < 3e-2
    inside = (brain > 0.5) & (wanted.brain > 0.5)
    assert inside.any()
    assert float((lesion - wanted.lesion)[inside].abs().max()) < 3e-2
    assert not lesion[brain < 0.5].any()
    with pytest.raises(CannotCreate, match="exists"):
        export_aoti(str(brain_weights), path)


def test_wrong_names_and_sizes_are_refused_before_anything_is_compiled(tiny_weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"end in \.pt2"):
        export_aoti(str(tiny_weights), tmp_path / "it.so")
    with pytest.raises(UsageError, match="not divisible"):
        export_aoti(str(tiny_weights), tmp_path / "it.pt2", shape=(1, 2, 3), device="cpu")


@pytest.mark.long
def test_a_plan_and_what_has_to_be_known_of_it(
    tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in for the library, and for the GPU."""
    stand_in(monkeypatch)
    monkeypatch.setattr("insula.export.compiled_file.choose_engine", lambda *_: "tensorrt")
    monkeypatch.setattr("insula.export.compiled_file.choose_device", lambda _: torch.device("cpu"))
    path = export_tensorrt(str(tiny_weights), tmp_path / "tiny.plan", shape=(16, 32, 16))
    description = json.loads((tmp_path / "tiny.json").read_text())
    loaded = load_weights(str(tiny_weights))
    assert description["weights_sha256"] == loaded.sha256
    image = torch.randn(1, 1, 16, 32, 16)
    config = SegmentConfig(device="cpu", precision="float32", passes="whole")
    wanted, _ = infer(loaded.model, image, config, scaling=loaded.card.calibration.scaling)
    assert float((plan_run(path, torch.device("cpu"))(image)[0, 0] - wanted.lesion).abs().max()) < 3e-2
    with pytest.raises(CannotCreate, match="exists"):
        export_tensorrt(str(tiny_weights), path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_plan_needs_a_gpu(tiny_weights: Path, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="GPUs found"):
        export_tensorrt(str(tiny_weights), tmp_path / "it.plan")
    assert not list(tmp_path.iterdir())
