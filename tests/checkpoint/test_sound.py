"""What a card may hold: each kind of nonsense is refused with its name."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from safetensors.torch import save

from insula.checkpoint.sound import (
    check_answers,
    check_model,
    check_prepare,
    check_provenance,
    check_tree,
    read_tensors,
)
from insula.config import AttentionUNet, Calibration, ModelConfig, PlainUNet, PrepareConfig, SwinUNet
from insula.errors import BadData


def _nested(depth: int) -> list[Any]:
    tree: list[Any] = []
    for _ in range(depth):
        tree = [tree]
    return tree


@pytest.mark.parametrize("tree", [{"a": [1, -(2**53), 1e300, True, None, "\u00e9"]}, _nested(150), {}])
def test_what_json_can_hold_is_taken(tree: object) -> None:
    check_tree(tree, "w.json")


@pytest.mark.parametrize(
    ("tree", "rule"),
    [
        ({"a": [{"b": float("nan")}]}, "a number that is not finite or too large"),
        ([float("-inf")], "a number that is not finite or too large"),
        ({"a": 2**53 + 1}, "a number that is not finite or too large"),
        ({"a": "\ud800"}, "text that is not valid Unicode"),
        ({"\udfff": 1}, "text that is not valid Unicode"),
        (_nested(250), "is nested more than 200 deep"),
    ],
)
def test_what_nothing_can_use_is_refused(tree: object, rule: str) -> None:
    with pytest.raises(BadData, match=rf"w\.json.*{rule}"):
        check_tree(tree, "w.json")


@pytest.mark.parametrize(
    "provenance",
    [
        {},
        {"steps": 3, "minutes": 1.5, "subjects": ["ab"], "name": "w", "anything": object()},
        {"recipe": {"train": {"steps": 9}}, "started_from": {"mean_of": [{"steps": 1}]}},
    ],
)
def test_a_provenance_as_insula_writes_it_is_taken(provenance: object) -> None:
    check_provenance(provenance, "w.json")


@pytest.mark.parametrize(
    ("provenance", "part"),
    [
        ([], "a provenance that is not an object"),
        ({"steps": True}, "stores steps"),
        ({"minutes": "3"}, "stores minutes"),
        ({"name": 3}, "stores name"),
        ({"subjects": "ab"}, "stores subjects"),
        ({"subjects": [1]}, "stores subjects"),
        ({"mean_of": [3]}, "stores mean_of"),
        ({"started_from": {"members": [{"sha256": None}]}}, "stores sha256"),
        ({"recipe": {"train": []}}, "stores recipe"),
        ({"recipe": {"train": {"steps": "9"}}}, "stores recipe"),
    ],
)
def test_a_provenance_of_another_form_is_refused(provenance: object, part: str) -> None:
    with pytest.raises(BadData, match=rf"w\.json.*{part}"):
        check_provenance(provenance, "w.json")


def test_tensors_are_finite_and_of_types_that_weights_have() -> None:
    whole = {"a": torch.ones(2).half(), "b": torch.ones(1, dtype=torch.int64)}
    assert set(read_tensors(save(whole))) == {"a", "b"}
    with pytest.raises(BadData, match="c are of type torch.int32"):
        read_tensors(save({**whole, "c": torch.ones(1, dtype=torch.int32)}))
    with pytest.raises(BadData, match="c hold values that are not finite"):
        read_tensors(save({**whole, "c": torch.tensor([float("nan")])}))
    with pytest.raises(BadData, match="are not a safetensors file"):
        read_tensors(b"no tensors")


@pytest.mark.parametrize(
    ("model", "knob"),
    [
        (AttentionUNet(widths=(0, 4)), "model.widths = 0 (allowed: 1 to 4096)"),
        (AttentionUNet(widths=(4, 4097)), "model.widths = 4097 (allowed: 1 to 4096)"),
        (AttentionUNet(sides=-1), "model.sides = -1 (allowed: 0 to 64)"),
        (SwinUNet(blocks=(0, 65)), "model.blocks = 65 (allowed: 0 to 64)"),
        (AttentionUNet(widths=(4,)), "1 values in model.widths (allowed: 2 to 12)"),
        (AttentionUNet(widths=(4,) * 13), "13 values in model.widths (allowed: 2 to 12)"),
        (PlainUNet(last_stride=(2, 2, 0)), "model.last_stride = 0 (allowed: 1 to 4096)"),
    ],
)
def test_a_network_of_implausible_size_is_refused_before_it_is_built(model: ModelConfig, knob: str) -> None:
    with pytest.raises(BadData, match=re.escape(knob)):
        check_model(model, "w.json")


@pytest.mark.parametrize(
    ("prepare", "knob"),
    [
        (PrepareConfig(box=(15, 64, 64)), "prepare.box = 15 (allowed: 16 to"),
        (PrepareConfig(box=(512, 512, 512)), "the voxels of prepare.box = 1.34218e+08"),
        (PrepareConfig(spacing_mm=0.0), "prepare.spacing_mm = 0"),
        (PrepareConfig(low_percentile=-1.0), "prepare.low_percentile = -1"),
        (PrepareConfig(low_percentile=90.0), "prepare.high_percentile = 90"),
        (PrepareConfig(clip=0.0), "prepare.clip = 0"),
    ],
)
def test_implausible_settings_for_preparing_are_refused(prepare: PrepareConfig, knob: str) -> None:
    check_prepare(PrepareConfig(), "w.json")
    with pytest.raises(BadData, match=re.escape(knob)):
        check_prepare(prepare, "w.json")


@pytest.mark.parametrize(
    ("answers", "knob"),
    [
        ((0.0, 0.0, Calibration()), "threshold = 0"),
        ((1.1, 0.0, Calibration()), "threshold = 1.1"),
        ((0.5, -1.0, Calibration()), "min_lesion_ml = -1"),
        ((0.5, 0.0, Calibration(temperature=0.0)), "calibration.temperature = 0"),
        ((0.5, 0.0, Calibration(bias=1e5)), "calibration.bias = 100000"),
        ((0.5, 0.0, Calibration(level=1.5)), "calibration.level = 1.5"),
        ((0.5, 0.0, Calibration(least_chance=-0.1)), "calibration.least_chance = -0.1"),
        ((0.5, 0.0, Calibration(volume=(-41.0, 1.0))), "calibration.volume = -41"),
        ((0.5, 0.0, Calibration(volume_small=(-1.0, 41.0))), "calibration.volume_small = 41"),
        ((0.5, 0.0, Calibration(lesion=(0.0, 1e5, 0.0))), "calibration.lesion = 100000"),
        ((0.5, 0.0, Calibration(fitted_on={"centres": 2})), "does not say on how many cases"),
    ],
)
def test_answers_that_no_fit_can_give_are_refused(answers: tuple[float, float, Calibration], knob: str) -> None:
    check_answers(0.5, 0.1, Calibration(volume=(-1, 1), lesion=(0, 1, 0), fitted_on={"cases": 30}), "w.json")
    with pytest.raises(BadData, match=re.escape(knob)):
        check_answers(*answers, "w.json")
