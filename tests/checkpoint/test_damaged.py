"""Damaged cards and tensors with a correct hash are refused in one line, or the weights work; never anything else."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from insula.checkpoint import Card, load_weights, save_weights, soup, subjects_seen, who_was_seen
from insula.cli.inspect import _facts
from insula.config import (
    AttentionUNet,
    Calibration,
    MambaUNet,
    PlainUNet,
    PrepareConfig,
    SegmentConfig,
    SEUNet,
    SwinUNet,
)
from insula.errors import BadData, InsulaError, UsageError
from insula.models import build_model
from insula.predict import segment, to_record
from insula.volume import Case

_PREPARE = PrepareConfig(box=(48, 56, 44), spacing_mm=4.0)
_MODELS = {
    "attention": AttentionUNet(widths=(2, 4)),
    "se": SEUNet(widths=(4, 8)),
    "mamba": MambaUNet(widths=(4, 32, 32), memory_size=4),
    "plain": PlainUNet(widths=(2, 4, 4), last_stride=(2, 2, 1)),
    "swin": SwinUNet(widths=(4, 32), blocks=(0, 2)),
}
_HISTORY = {
    "trained_on": "heads",
    "steps": 5,
    "minutes": 1.5,
    "device": "cpu",
    "subjects": ["ab"],
    "recipe": {"name": "x", "train": {"steps": 5}},
    "started_from": {"name": "w", "sha256": "ab", "steps": 2, "minutes": 1, "device": "cpu"},
    "mean_of": [{"sha256": "cd", "subjects": ["cd"]}],
}
_CALIBRATION = Calibration(
    temperature=2.0,
    bias=-0.5,
    volume=(-1, 1),
    volume_small=(-1, 2),
    lesion=(0, 1, 0),
    least_chance=0.1,
    fitted_on={"cases": 30, "centres": 2, "subjects": ["ab"]},
)


def _write(folder: Path, card: Any, tensors: bytes) -> None:
    """With the hash that fits."""
    if isinstance(card, dict):
        card = card | {"sha256": hashlib.sha256(tensors).hexdigest()}
    (folder / "w.safetensors").write_bytes(tensors)
    (folder / "w.json").write_text(
        card if isinstance(card, str) else json.dumps(card), encoding="utf-8", errors="surrogatepass"
    )


def _whole(folder: Path, name: str = "attention") -> tuple[dict[str, Any], bytes]:
    torch.manual_seed(0)
    model = _MODELS[name]
    card = Card(
        name="w",
        model=model,
        prepare=_PREPARE,
        threshold=0.5,
        min_lesion_ml=0.1,
        calibration=_CALIBRATION,
        provenance=_HISTORY,
    )
    save_weights(folder, build_model(model), card)
    return json.loads((folder / "w.json").read_text()), (folder / "w.safetensors").read_bytes()


def _use(folder: Path, case: Case | None) -> None:
    """All that is done with weights; without a case, what needs none."""
    loaded = load_weights(str(folder))
    assert "SHA-256" in _facts(loaded)
    subjects_seen(loaded.card, {"sub-01": ["ab"]})
    json.dumps(who_was_seen(loaded.card))
    if case is None:
        return
    result = segment(case.scan, SegmentConfig(device="cpu"), weights=loaded)
    assert np.isfinite(result.prob).all()
    json.dumps(to_record(result), allow_nan=False)


@pytest.mark.parametrize("name", _MODELS)
def test_what_is_whole_is_taken(name: str, tmp_path: Path, coarse_case: Case) -> None:
    _write(tmp_path, *_whole(tmp_path, name))
    if name != "plain":  # which cannot halve this box
        _use(tmp_path, coarse_case)
    loaded = load_weights(str(tmp_path))
    assert loaded.card.calibration == _CALIBRATION
    soup([loaded, loaded], "mean")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.bfloat16])
def test_values_that_are_not_finite_are_refused(value: float, dtype: torch.dtype, tmp_path: Path) -> None:
    card, data = _whole(tmp_path)
    for key in load(data):
        tensors = {name: tensor.to(dtype) for name, tensor in load(data).items()}
        tensors[key].view(-1)[-1] = value
        _write(tmp_path, card, save(tensors))
        with pytest.raises(BadData, match="hold values that are not finite"):
            load_weights(str(tmp_path))


def test_a_value_that_is_finite_in_another_type_only_is_refused(tmp_path: Path) -> None:
    card, data = _whole(tmp_path)
    tensors = {name: tensor.double() for name, tensor in load(data).items()}
    next(iter(tensors.values())).view(-1)[0] = 1e300
    _write(tmp_path, card, save(tensors))
    with pytest.raises(BadData, match="not finite"):
        load_weights(str(tmp_path))


def test_weights_that_compute_nothing_finite_are_refused_before_anything_is_written(
    tmp_path: Path, coarse_case: Case
) -> None:
    card, data = _whole(tmp_path)
    huge = {
        name: torch.full_like(tensor.float(), 3e38) if tensor.is_floating_point() else tensor
        for name, tensor in load(data).items()
    }
    _write(tmp_path, card, save(huge))
    with pytest.raises(BadData, match="the network's answer has values that are not finite"):
        segment(coarse_case.scan, SegmentConfig(device="cpu"), weights=load_weights(str(tmp_path)))


_WRONG: list[Any] = [
    None,
    True,
    "x",
    "",
    -1,
    0,
    1,
    2.5,
    10**9,
    10**30,
    math.nan,
    math.inf,
    -math.inf,
    [],
    [[]],
    {},
    {"x": 1},
    [1],
    [None],
    ["x"],
    [0, 0, 0],
    [1, 1, 1],
    [-16, 16, 16],
    [10**6, 10**6, 10**6],
    [1e9, 1e9],
    "\ud800",
    "a/b",
    "\0",
    "x" * 10_000,
    [8] * 1000,
    1e-300,
    1e300,
]
_DEEP = "[" * 5000 + "]" * 5000


def _places(tree: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [place for key, value in inside for place in ((*before, key), *_places(value, (*before, key)))]


def _changed(tree: Any, place: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    tree = copy.deepcopy(tree)
    inside = tree
    for key in place[:-1]:
        inside = inside[key]
    change(inside, place[-1])
    return tree


def test_every_field_missing_and_of_every_wrong_kind(tmp_path: Path, coarse_case: Case) -> None:
    tried, refused = 0, 0
    for name in ("attention", "mamba", "swin"):
        card, data = _whole(tmp_path, name)
        draw = random.Random(name)
        for place in _places(card):
            if place[0] == "sha256":
                continue
            cards = [_changed(card, place, lambda inside, key: inside.pop(key))]
            for value in draw.sample(_WRONG, 6 if name == "attention" else 1):
                cards.append(_changed(card, place, lambda inside, key, value=value: inside.__setitem__(key, value)))
            for damaged in cards:
                tried += 1
                history = place[0] == "provenance"  # no segmentation depends on it
                refused += _is_refused(tmp_path, damaged, data, None if history else coarse_case)
    assert tried > 400, tried
    assert refused > tried / 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "1",
        '"x"',
        _DEEP,
        '{"format": "insula-weights/1"}',
        "\ufeff{}",
        '{"a": NaN}',
        "{" * 300,
        "\ud800",
    ],
)
def test_cards_that_are_none(text: str, tmp_path: Path) -> None:
    _write(tmp_path, text, _whole(tmp_path)[1])
    with pytest.raises((BadData, UsageError)) as caught:
        load_weights(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_random_damage_to_cards_and_tensors(tmp_path: Path, coarse_case: Case) -> None:
    draw, refused, number = random.Random(0), 0, 720
    wholes = [_whole(tmp_path, name) for name in ("attention", "se", "mamba")]
    for n in range(number):
        card, data = wholes[n % 3]
        damaged = bytearray(data)
        text: Any = card
        if n % 2:
            raw = bytearray(json.dumps(card).encode())
            for _ in range(draw.randrange(1, 4)):
                raw[draw.randrange(len(raw))] = draw.choice(b'0123456789-e."{}[]:,x\\\xff')
            try:
                text = json.loads(raw)
            except ValueError:
                text = raw.decode("utf-8", errors="replace")
        elif n % 4:
            size = struct.unpack("<Q", data[:8])[0]
            for _ in range(draw.randrange(1, 4)):  # the header
                damaged[draw.randrange(8 + size)] = draw.randrange(32, 127)
        else:
            how = draw.randrange(3)
            if how == 0:
                del damaged[draw.randrange(len(damaged)) :]
            for _ in range(draw.randrange(1, 50) if how == 1 else 0):
                damaged[draw.randrange(len(damaged))] = draw.randrange(256)
            if how == 2:
                at = draw.randrange(len(damaged))
                damaged[at : at + 400] = bytes([draw.choice((0, 0x7B, 0x7C, 0xFF))]) * 400
        refused += _is_refused(tmp_path, text, bytes(damaged), coarse_case)
    assert refused > number / 3


def _is_refused(folder: Path, card: Any, tensors: bytes, case: Case | None) -> bool:
    """Whether there was a refusal, in one printable line; whatever else is raised fails the test."""
    _write(folder, card, tensors)
    try:
        _use(folder, case)
    except InsulaError as error:
        assert str(error).isprintable() and len(str(error)) < 700, str(error)
        str(error).encode()
        return True
    return False
