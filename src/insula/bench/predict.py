"""What segmenting costs and what it reaches: every set of weights in every engine and precision, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

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

__all__ = ["PredictBench", "SeenCase", "Way", "bench_predict", "parse_way"]

_EXACT = "torch:float32"
_COMPUTES: dict[str, tuple[Precision, ...]] = {
    "torch": ("float32", "bfloat16", "float16"),
    "aoti": ("float32", "bfloat16", "float16"),
    "tensorrt": ("float32", "float16"),
    "openvino": ("float32", "bfloat16"),
    "onnxruntime": ("float32",),
}


@dataclass(frozen=True)
class Way:
    """One set of weights in one engine and precision."""

    weights: str
    engine: str
    precision: Precision

    @property
    def told(self) -> str:
        """As the command line writes it."""
        return f"{self.engine}:{self.precision}"


@dataclass(frozen=True)
class SeenCase:
    """One case of the cohort, in one way."""

    dice: float | None
    """Against the truth; None without one, and of a control."""
    apart: float | None
    """Largest difference of probability from PyTorch in float32; None if that could not be run."""
    same: float | None
    """Dice of the mask with that of PyTorch in float32; as before."""
    precision: str
    """What it was computed in."""
    centre: str = "unknown"
    """Where it comes from."""


@dataclass(frozen=True)
class PredictBench:
    """What one way costs and gives."""

    way: Way
    parameters: int = 0
    cold_s: float = 0.0
    """From weights on disk and a scan that was read to its probabilities; what is compiled once has been."""
    seconds: float = 0.0
    """Median of further passes over the same head, from the prepared image in the computer's memory to probabilities there."""
    network_s: float = 0.0
    """Of that, the networks: from an image on the device to logits on it; median."""
    peak_gib: float = 0.0
    """Of the processor's memory above what the interpreter has with insula imported and a scan read, or of PyTorch's on the GPU: what a package or TensorRT
    takes for itself there is not in it."""
    cases: dict[str, SeenCase] = field(default_factory=dict)
    why_not: str | None = None
    """What kept it from running."""


def parse_way(text: str) -> tuple[str, Precision]:
    """Engine and precision from `engine:precision`.

    Raises:
        UsageError: not such a pair.
    """
    engine, _, precision = text.partition(":")
    if engine not in _COMPUTES or precision not in _COMPUTES["torch"]:
        raise UsageError("--ways", text, "is not an engine and a precision", "write e.g. openvino:bfloat16")
    for one in _COMPUTES[engine]:
        if one == precision:
            return engine, one
    there = " or ".join(f"{engine}:{one}" for one in _COMPUTES[engine])
    raise UsageError("--ways", text, f"is not there, {engine} does not compute in {precision}", f"write {there}")


def bench_predict(
    weights: Sequence[str], ways: Sequence[str], entries: Sequence[Entry], *, device: str = "auto", repeats: int = 5
) -> Iterator[PredictBench]:
    """Each way after the other; of each set of weights PyTorch in float32 first, for the others are compared with it.

    Args:
        weights: as `load_weights` takes them.
        ways: engine and precision, as `parse_way` takes them.
        entries: cases with one scan each, and a truth if there is one; without any, a phantom is timed and nothing scored.
        device: as `choose_device` takes it.
        repeats: passes that are timed.
    """
    with tempfile.TemporaryDirectory(prefix="insula-") as folder:
        for name in weights:
            kept = Path(tempfile.mkdtemp(dir=folder))
            for told in dict.fromkeys((_EXACT, *ways)):
                way = Way(name, *parse_way(told))
                # what is compiled once is, elsewhere: it takes memory that running does not
                first = _apart(way, (), device, 0, kept) if way.engine != "torch" else None
                yield first if first and first.why_not else _apart(way, tuple(entries), device, repeats, kept)


def _apart(way: Way, *rest: Any) -> PredictBench:
    """In a process of its own, so that the peak of memory is its own."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(send, way, *rest))
    process.start()
    send.close()
    try:
        found: PredictBench = receive.recv()
    except EOFError:
        process.join()
        return PredictBench(way, why_not=f"its process ended with {process.exitcode}")
    process.join()
    return found


def _work(send: Any, way: Way, *rest: Any) -> None:
    try:
        send.send(_measure(way, *rest))
    except InsulaError as error:
        send.send(PredictBench(way, why_not=str(error)))


def _measure(way: Way, entries: tuple[Entry, ...], device: str, repeats: int, kept: Path) -> PredictBench:
    config = SegmentConfig(device=device, engine=way.engine, precision=way.precision, passes="whole")  # type: ignore[arg-type]
    where, cold = choose_device(device), 0.0
    scan = read_scan(entries[0].image) if entries else phantom_case().scan
    before, begun = _resident(), time.perf_counter()
    loaded = load_weights(way.weights)
    image = prepare(scan, loaded.card.prepare).image
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        _, facts = infer_mean(loaded.networks, image, config)
        settle(where)
        if (reason := _otherwise(facts, way, where)) is not None:
            return PredictBench(way, why_not=reason)
        times.append(time.perf_counter() - started)
        cold = (time.perf_counter() - begun) if len(times) == 1 else cold
    peak = _peak(where, before)
    found = PredictBench(
        way=way,
        cold_s=cold,
        seconds=statistics.median(times[1:] or times),
        peak_gib=peak,
        network_s=_networks_alone(loaded, way, image.to(where), repeats) if repeats else 0.0,
        parameters=sum(p.numel() for network, _ in loaded.networks for p in network.parameters()),
    )
    return replace(
        found, cases={entry.case: _see(entry, loaded, config, kept, exact=way.told == _EXACT) for entry in entries}
    )


def _otherwise(facts: InferFacts, way: Way, device: torch.device) -> str | None:
    """How a pass was not what was asked for, if it was not."""
    if facts.precision != way.precision:
        return facts.why if facts.engine != way.engine else f"this network is computed in {facts.precision} there"
    if (facts.device, facts.passes) != (str(device), "whole"):
        return f"{facts.why}; it was computed on {facts.device}, {facts.passes}"
    return None


@torch.inference_mode()
def _networks_alone(loaded: Weights, way: Way, image: torch.Tensor, repeats: int) -> float:
    i, j, k = image.shape[2:]
    engine = choose_engine(way.engine, image.device)
    wanted = getattr(torch, way.precision)
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


def _see(entry: Entry, loaded: Weights, config: SegmentConfig, kept: Path, *, exact: bool) -> SeenCase:
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
    return SeenCase(dice, apart, same, result.provenance["inference"]["precision"], entry.centre)


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
