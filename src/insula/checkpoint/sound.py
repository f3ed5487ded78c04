"""Checks that a card and its tensors are usable: numbers in range, a network that can be built, finite values.

A matching hash only proves that the weights belong to their card, not that either is sound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

import torch
from safetensors.torch import load as load_tensors
from torch import Tensor
from torch.overrides import TorchFunctionMode

from insula.config import Calibration, ModelConfig, PrepareConfig, to_dict
from insula.errors import BadData
from insula.models import UNet, build_model
from insula.types import Shape

__all__ = [
    "build_network",
    "check_answers",
    "check_box",
    "check_model",
    "check_prepare",
    "check_provenance",
    "check_tree",
    "read_tensors",
]

_DEEPEST = 200
_LARGEST = 2**53  # integers up to this are exact in a float
_MOST_STAGES, _MOST_BLOCKS, _WIDEST = 12, 64, 4096
_SHORTEST_AXIS, _MOST_VOXELS = 16, 2**26
_MOST_TOKENS = 2**15  # a memory compares every pair of tokens
_REPEATED = {"sides", "bottleneck_convs", "scans", "blocks"}  # knobs that count repetitions
_MAY_BE_0 = {"sides", "scans", "blocks", "bottleneck_convs", "squeeze_window"}
_FILLS = {"fill_", "kaiming_normal_", "kaiming_uniform_", "normal_", "uniform_", "zero_"}
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_WORDS, _TREES = {"trained_on", "name", "sha256", "device"}, {"recipe", "started_from"}
_LISTS_OF_TREES, _LISTS_OF_WORDS = {"mean_of", "members"}, {"subjects", "fitted_subjects", "fitted_scans"}
_COUNTS = {"steps", "minutes", "cases"}


def check_tree(tree: object, name: str) -> None:
    """Refuse JSON that nothing can use: numbers not finite or too large, invalid Unicode, or too deep a nesting.

    Raises:
        BadData: names the card.
    """
    level = [tree]
    for _ in range(_DEEPEST):
        for value in level:
            too_large = isinstance(value, int) and abs(value) > _LARGEST
            if too_large or (isinstance(value, float) and not math.isfinite(value)):
                raise _unsound(name, "holds a number that is not finite or too large")
            if isinstance(value, str) and not _is_unicode(value):
                raise _unsound(name, "holds text that is not valid Unicode")
        level = list(chain.from_iterable(_inside(value) for value in level))
        if not level:
            return
    raise _unsound(name, f"is nested more than {_DEEPEST} deep")


def check_model(model: ModelConfig, name: str) -> None:
    """Refuse a network of implausible size before it is built.

    Raises:
        BadData: names the knob.
    """
    for key, value in to_dict(model).items():
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int) and not isinstance(number, bool):
                most = _MOST_BLOCKS if key in _REPEATED else _WIDEST
                _check(0 if key in _MAY_BE_0 else 1, number, most, f"model.{key}", name)
        if isinstance(value, list) and not 2 <= len(value) <= _MOST_STAGES:
            raise _unsound(name, f"has {len(value)} values in model.{key} (allowed: 2 to {_MOST_STAGES})")


def check_prepare(prepare: PrepareConfig, name: str) -> None:
    """Refuse implausible settings for preparing scans.

    Raises:
        BadData: names the knob.
    """
    for size in prepare.box:
        _check(_SHORTEST_AXIS, size, _MOST_VOXELS, "prepare.box", name)
    _check(1, math.prod(prepare.box), _MOST_VOXELS, "the voxels of prepare.box", name)
    _check(0.1, prepare.spacing_mm, 20.0, "prepare.spacing_mm", name)
    _check(0.0, prepare.low_percentile, 100.0, "prepare.low_percentile", name)
    _check(prepare.low_percentile + 1e-3, prepare.high_percentile, 100.0, "prepare.high_percentile", name)
    _check(0.01, prepare.clip, 1e4, "prepare.clip", name)


def check_answers(threshold: float, min_lesion_ml: float, calibration: Calibration, name: str) -> None:
    """Refuse thresholds and calibrations that no fit can give.

    Raises:
        BadData: names the value.
    """
    _check(1e-300, threshold, 1.0, "threshold", name)
    _check(0.0, min_lesion_ml, 1e6, "min_lesion_ml", name)
    _check(1e-3, calibration.temperature, 1e4, "calibration.temperature", name)
    _check(-1e4, calibration.bias, 1e4, "calibration.bias", name)
    _check(0.0, calibration.level, 1.0, "calibration.level", name)
    _check(0.0, calibration.least_chance, 1.0, "calibration.least_chance", name)
    for key in ("volume", "volume_small"):  # on a log scale
        for bound in getattr(calibration, key) or ():
            _check(-40.0, bound, 40.0, f"calibration.{key}", name)
    for weight in calibration.lesion or ():
        _check(-1e4, weight, 1e4, "calibration.lesion", name)
    if calibration.fitted_on is not None and not isinstance(calibration.fitted_on.get("cases"), int | float):
        raise _unsound(name, "does not say on how many cases it was calibrated")


def check_provenance(provenance: object, name: str) -> None:
    """Refuse a provenance whose parts are not of the types that its readers expect.

    Raises:
        BadData: names the part.
    """
    pending = [provenance]
    while pending:
        record = pending.pop()
        if not isinstance(record, Mapping):
            raise _unsound(name, "has a provenance that is not an object")
        for key, value in record.items():
            trees = [value] if key in _TREES else value if key in _LISTS_OF_TREES else []
            sound = (
                isinstance(value, str)
                if key in _WORDS
                else isinstance(value, int | float) and not isinstance(value, bool)
                if key in _COUNTS
                else isinstance(value, list) and all(isinstance(word, str) for word in value)
                if key in _LISTS_OF_WORDS
                else isinstance(trees, list) and all(isinstance(tree, Mapping) for tree in trees)
            )
            if not sound:
                raise _unsound(name, f"stores {key} in its provenance in a form that insula does not write")
            if key != "recipe":
                pending += trees
        train = record.get("recipe", {}).get("train", {})
        if not isinstance(train, Mapping) or not isinstance(train.get("steps", 0), int):
            raise _unsound(name, "stores recipe in its provenance in a form that insula does not write")


def build_network(model: ModelConfig, tensors: Mapping[str, Tensor], name: str) -> UNet:
    """Build a card's network in evaluation mode and fill it with its weights.

    Raises:
        BadData: the network cannot be built, or does not match the tensors (the message names the first that differ).
    """
    try:
        with _Unfilled():
            network = build_model(model).eval()
    except Exception as error:  # a damaged knob can raise anything
        raise _unsound(name, "describes a network that cannot be built") from error
    wanted = network.state_dict()
    differing = sorted(set(wanted) ^ set(tensors)) or [key for key in wanted if wanted[key].shape != tensors[key].shape]
    if differing:
        shown = ", ".join(differing[:3])[:200]
        what = f"({len(differing)} tensors: {shown})"
        raise BadData("the weights", what, "do not fit the card's model", "give the matching card")
    for key, tensor in wanted.items():
        if tensor.is_floating_point() != tensors[key].is_floating_point():
            raise BadData("the weights", key, "are of another type than the card's model", "give the matching card")
    network.load_state_dict({key: value.to(wanted[key].dtype) for key, value in tensors.items()})
    return network


def check_box(network: UNet, box: Shape, name: str) -> None:
    """Refuse a network that cannot process a box of that size.

    The network is run on the smallest image that it can process. The meta device would take the whole box without
    computing anything, but it imports PyTorch's compiler, which takes longer than everything else in loading.

    Raises:
        BadData: names the box.
    """
    try:
        with torch.no_grad():
            network.check_size(torch.empty(1, 1, *box))
            times = [size // divisor for size, divisor in zip(box, network.divisors, strict=True)]
            tokens = math.prod(times)
            if getattr(network, "memory", None) is not None and tokens > _MOST_TOKENS:
                raise BadData("the memory", f"of {tokens} places", "is too large", "use more stages")
            sizes = list(network.divisors)
            sizes[times.index(max(times))] *= min(max(times), 2)  # instance normalisation needs two voxels
            skip = network.shallow(torch.zeros(1, 1, *sizes))
            network.merge(
                skip, UNet.deep(network, network.enter(skip))
            )  # skips the memory: its recall depends on values
    except Exception as error:
        size = "x".join(map(str, box))
        raise _unsound(name, f"describes a network that cannot process a box of {size} voxels") from error


class _Unfilled(TorchFunctionMode):
    """Leaves new parameters without values: it saves time, and a card that describes a huge network costs no memory."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in _FILLS:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def read_tensors(data: bytes) -> dict[str, Tensor]:
    """Read a safetensors file and check that all its tensors are finite.

    Raises:
        BadData: the file is not safetensors, or a tensor is not finite or of a type that weights never have.
    """
    try:
        tensors = load_tensors(data)
    except Exception as error:  # its class depends on the damage
        raise BadData(
            "the weights", "", "are not a safetensors file, or are damaged", "copy both files again"
        ) from error
    for key, tensor in tensors.items():
        if tensor.dtype not in (*_FLOATS, torch.int64):
            raise BadData("the weights", key[:80], f"are of type {tensor.dtype}", "use weights written by insula")
        if not bool(torch.isfinite(tensor.float()).all()):
            raise BadData(
                "the weights", key[:80], "hold values that are not finite", "copy both files again, or train again"
            )
    return tensors


def _check(low: float, value: float, high: float, what: str, name: str) -> None:
    if not low <= value <= high:
        raise _unsound(name, f"has {what} = {value:g} (allowed: {low:g} to {high:g})")


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return value if isinstance(value, list) else []


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unsound(name: str, rule: str) -> BadData:
    return BadData("the card", name, rule, "copy the weights again, or use others")
