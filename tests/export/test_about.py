from __future__ import annotations

import json
from pathlib import Path

import pytest

from insula.checkpoint import load_weights
from insula.errors import CannotCreate, UsageError
from insula.export.about import about, new_file, size_of


def test_what_has_to_be_known(tiny_weights: Path) -> None:
    loaded = load_weights(str(tiny_weights))
    facts = about(loaded)
    assert float(facts["threshold"]) == loaded.card.threshold
    assert {"prepare", "before", "after", "notice", "min_lesion_ml", "trained_on"} < set(facts)
    assert json.loads(facts["outputs"]) == ["lesion"]
    assert "one channel" in facts["after"]
    assert "brain" not in facts["after"]


def test_how_many_outputs_in_which_order(brain_weights: Path) -> None:
    facts = about(load_weights(str(brain_weights)))
    assert json.loads(facts["outputs"]) == ["lesion", "brain"]
    assert (
        "two channels: 0 is the probability of lesion, calibrated, and already 0 wherever channel 1" in facts["after"]
    )


def test_the_box_or_a_tile_that_the_network_can_halve(tiny_weights: Path) -> None:
    loaded = load_weights(str(tiny_weights))
    assert size_of(loaded, None) == loaded.card.prepare.box
    divisors = loaded.model.divisors
    assert size_of(loaded, divisors) == divisors
    for wrong in ((0, *divisors[1:]), (divisors[0] + 1, *divisors[1:])):
        with pytest.raises(UsageError, match="not divisible"):
            size_of(loaded, wrong)


def test_a_new_file_of_the_right_ending(tmp_path: Path) -> None:
    assert new_file(tmp_path / "a.onnx", ".onnx") == tmp_path / "a.onnx"
    with pytest.raises(UsageError, match=r"e\.g\. a\.onnx"):
        new_file(tmp_path / "a", ".onnx")
    with pytest.raises(UsageError, match=r"e\.g\. weights\.onnx"):
        new_file(Path(), ".onnx")
    with pytest.raises(CannotCreate, match="does not exist"):
        new_file(tmp_path / "nowhere" / "a.onnx", ".onnx")
    (tmp_path / "a.onnx").touch()
    with pytest.raises(CannotCreate, match="exists"):
        new_file(tmp_path / "a.onnx", ".onnx")
