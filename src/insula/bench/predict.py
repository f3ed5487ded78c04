"""Benchmarks cost and accuracy of segmentation: weights by engine and precision, each in its own process."""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch

from insula.checkpoint import Weights, load_weights
from insula.cohort import Entry
from insula.config import Precision, SegmentConfig
from insula.errors import InsulaError, UsageError
from insula.infer import (
    InferFacts,
    choose_device,
    choose_engine,
    engine_precision,
    engine_run,
    infer_mean,
    settle,
)
from insula.io import read_mask, read_scan
from insula.metrics import dice_score
from insula.predict import Result, segment
from insula.prepare import prepare
from insula.simulate import phantom_case
from insula.volume import Scan

__all__ = ["Agreement", "Combination", "PredictBench", "bench_predict", "parse_combination"]

_EXACT = "torch:float32"
_COMPUTES: dict[str, tuple[Precision, ...]] = {
    "torch": ("float32", "bfloat16", "float16"),
    "aoti": ("float32", "bfloat16", "float16"),
    "tensorrt": ("float32", "float16"),
    "openvino": ("float32", "bfloat16"),
    "onnxruntime": ("float32",),
}


@dataclass(frozen=True)
class Combination:
    """One set of weights in one engine and precision."""

    weights: str
    engine: str
    precision: Precision

    @property
    def spelling(self) -> str:
        """Engine and precision as `parse_combination` reads them."""
        return f"{self.engine}:{self.precision}"


@dataclass(frozen=True)
class Agreement:
    """How well the mask of one case agrees with the truth and with PyTorch in float32."""

    dice: float | None
    """Dice with the truth; None without a truth, and for controls."""
    apart: float | None
    """Largest difference in probability from PyTorch in float32; None if that could not run."""
    same: float | None
    """Dice of the mask with that of PyTorch in float32; None if that could not run."""
    precision: str
    """Precision of the computation."""
    centre: str = "unknown"
    """Centre of the case."""


@dataclass(frozen=True)
class PredictBench:
    """Cost and results of one combination."""

    combination: Combination
    parameters: int = 0
    cold_s: float = 0.0
    """First pass: from weights on disk and a loaded scan to probabilities; one-time compilation is not included."""
    seconds: float = 0.0
    """Median of further passes over the same head, from the prepared image in host memory to probabilities there."""
    network_s: float = 0.0
    """Median time of the networks alone, from an image to logits, both on the device."""
    peak_gib: float = 0.0
    """Peak memory. On a CPU: above that of the interpreter with insula imported and a scan loaded. On a GPU: that of
    PyTorch, without what other packages or TensorRT allocate themselves."""
    cases: dict[str, Agreement] = field(default_factory=dict)
    """Agreement of each case of the cohort."""
    why_not: str | None = None
    """Why it could not run; None if it did."""


def parse_combination(text: str) -> tuple[str, Precision]:
    """Parse `engine:precision`.

    Raises:
        UsageError: the text is not such a pair, or the engine does not support the precision.
    """
    engine, _, precision = text.partition(":")
    if engine not in _COMPUTES or precision not in _COMPUTES["torch"]:
        pair = f"one of {', '.join(_COMPUTES)}, a colon and a precision, e.g. openvino:bfloat16"
        raise UsageError("`ways`", text, "is not an engine and a precision", f"write {pair}")
    for supported in _COMPUTES[engine]:
        if supported == precision:
            return engine, supported
    available = " or ".join(f"{engine}:{supported}" for supported in _COMPUTES[engine])
    raise UsageError(
        "`ways`", text, f"is not available, because {engine} does not compute in {precision}", f"write {available}"
    )


def bench_predict(
    weights: Sequence[str], ways: Sequence[str], entries: Sequence[Entry], *, device: str = "auto", repeats: int = 5
) -> Iterator[PredictBench]:
    """Benchmark each combination in turn; PyTorch in float32 runs first for each set of weights, as the reference.

    Args:
        weights: names or paths for `load_weights`.
        ways: engines and precisions, in the form for `parse_combination`.
        entries: cases with one scan each, and a truth if available; if empty, a phantom is timed and nothing is scored.
        device: name for `choose_device`.
        repeats: number of timed passes.
    """
    with tempfile.TemporaryDirectory(prefix="insula-") as folder:
        for name in weights:
            kept = Path(tempfile.mkdtemp(dir=folder))
            for spelling in dict.fromkeys((_EXACT, *ways)):
                combination = Combination(name, *parse_combination(spelling))
                # compile once in another process, because that takes memory that running does not
                measure = partial(_measure, combination, device=device, kept=kept)
                first = (
                    _apart(combination, partial(measure, entries=(), repeats=0))
                    if combination.engine != "torch"
                    else None
                )
                measure_all = partial(measure, entries=tuple(entries), repeats=repeats)
                yield first if first and first.why_not else _apart(combination, measure_all)


def _apart(combination: Combination, measure: Callable[[], PredictBench]) -> PredictBench:
    """Measure in a separate process, so that the peak memory is its own."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(send, combination, measure))
    process.start()
    send.close()
    try:
        result: PredictBench = receive.recv()
    except EOFError:
        process.join()
        return PredictBench(combination, why_not=f"its process ended with exit code {process.exitcode}")
    process.join()
    return result


def _work(send: Connection, combination: Combination, measure: Callable[[], PredictBench]) -> None:
    try:
        send.send(measure())
    except InsulaError as error:
        send.send(PredictBench(combination, why_not=str(error)))


def _measure(
    combination: Combination, entries: tuple[Entry, ...], device: str, repeats: int, kept: Path
) -> PredictBench:
    config = SegmentConfig(
        device=device,
        engine=combination.engine,  # type: ignore[arg-type]
        precision=combination.precision,
        passes="whole",
    )
    where, cold = choose_device(device), 0.0
    scan = read_scan(entries[0].image) if entries else phantom_case().scan
    before, begun = _resident(), time.perf_counter()
    loaded = load_weights(combination.weights)
    image = prepare(scan, loaded.card.prepare).image
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        _, facts = infer_mean(loaded.networks, image, config)
        settle(where)
        if (reason := _otherwise(facts, combination, where)) is not None:
            return PredictBench(combination, why_not=reason)
        times.append(time.perf_counter() - started)
        cold = (time.perf_counter() - begun) if len(times) == 1 else cold
    peak = _peak(where, before)
    result = PredictBench(
        combination=combination,
        cold_s=cold,
        seconds=statistics.median(times[1:] or times),
        peak_gib=peak,
        network_s=_networks_alone(loaded, combination, image.to(where), repeats) if repeats else 0.0,
        parameters=sum(p.numel() for network, _ in loaded.networks for p in network.parameters()),
    )
    return replace(
        result,
        cases={
            entry.case: _compare(entry, loaded, config, kept, exact=combination.spelling == _EXACT) for entry in entries
        },
    )


def _otherwise(facts: InferFacts, combination: Combination, device: torch.device) -> str | None:
    """Return how a pass differed from the request, or None if it did not."""
    if facts.precision != combination.precision:
        return (
            facts.why
            if facts.engine != combination.engine
            else f"this engine computes the network in {facts.precision}"
        )
    if (facts.device, facts.passes) != (str(device), "whole"):
        return f"{facts.why}; it was computed on {facts.device}, {facts.passes}"
    return None


@torch.inference_mode()
def _networks_alone(loaded: Weights, combination: Combination, image: torch.Tensor, repeats: int) -> float:
    i, j, k = image.shape[2:]
    engine = choose_engine(combination.engine, image.device)
    wanted = getattr(torch, combination.precision)
    runs = [
        engine_run(network, engine, (i, j, k), engine_precision(engine, wanted, network), image.device)
        for network, _ in loaded.networks
    ]
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        for run in runs:
            run(image)
        settle(image.device)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def _compare(entry: Entry, loaded: Weights, config: SegmentConfig, kept: Path, *, exact: bool) -> Agreement:
    scan: Scan = read_scan(entry.image)
    result: Result = segment(scan, config, weights=loaded)
    path, apart, same = kept / f"{entry.case}.npz", None, None
    if exact:
        np.savez(path, prob=result.prob, mask=result.mask.voxels)
    if path.exists():
        with np.load(path) as held:
            apart, same = float(np.abs(held["prob"] - result.prob).max()), dice_score(held["mask"], result.mask.voxels)
    truth = read_mask(entry.mask).onto(scan.grid, what=f"the mask of {entry.case}").voxels if entry.masks else None
    dice = None if truth is None or not truth.any() else dice_score(truth, result.mask.voxels)
    return Agreement(dice, apart, same, str(result.provenance["inference"]["precision"]), entry.centre)


def _resident() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


def _peak(device: torch.device, before: int) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        peak = next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):  # not Linux
        peak = _resident()
    return max(peak - before, 0) / 2**30
