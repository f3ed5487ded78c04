"""From a file to a written mask and page in a fresh process: how the time divides into parts, for every engine.

python -m studies.cold SCAN [--weights enhanced] [--repeats 5] [--engines torch,torch:tiled,openvino]

The parts are the steps of `insula segment`, in its order and by its functions. Every run is a process of its own, whose
peak memory covers everything it does. The graphs of engines are built beforehand; `torch:tiled` is --low-memory.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias, cast

from studies.rows import table

_Engine: TypeAlias = Literal["auto", "torch", "onnxruntime", "openvino", "aoti", "tensorrt"]
_PARTS = (
    "interpreter and imports",
    "weights",
    "reading",
    "preparing",
    "network",
    "deciding",
    "mask, map and record",
    "page",
)


def main() -> None:
    """Run the engines in turn, repeatedly; print the share of each part and the ratio of the whole."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", type=Path)
    parser.add_argument("--weights", default="enhanced")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--engines", default="torch,torch:tiled,openvino")
    parser.add_argument("--child", nargs=2, metavar=("ENGINE", "STARTED"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(_time_parts(arguments.scan, arguments.weights, *arguments.child)))
        return
    runs: dict[str, list[list[float]]] = {engine: [] for engine in arguments.engines.split(",")}
    for turn in range(arguments.repeats + 1):
        for engine, kept in runs.items():
            command = [
                sys.executable,
                "-m",
                "studies.cold",
                str(arguments.scan),
                "--weights",
                arguments.weights,
                "--child",
                engine,
            ]
            done = subprocess.run([*command, str(time.time())], stdout=subprocess.PIPE, text=True, check=True)
            if turn:  # the first one makes graphs and warms the disk
                kept.append(json.loads(done.stdout.splitlines()[-1]))
    peak = {engine: max(run.pop() for run in kept) for engine, kept in runs.items()}
    whole = {engine: statistics.median(sum(run) for run in kept) for engine, kept in runs.items()}
    first = next(iter(whole.values()))
    print(f"worst of all runs: {max(sum(run) for kept in runs.values() for run in kept):.1f} s", file=sys.stderr)
    rows = [
        [
            engine,
            f"{peak[engine]:.2f}",
            f"{whole[engine] / first:.2f}",
            *(f"{100 * statistics.median(run[n] for run in kept) / whole[engine]:.0f} %" for n in range(len(_PARTS))),
        ]
        for engine, kept in runs.items()
    ]
    print(table(["engine", "peak memory [GiB]", "whole, x the first", *_PARTS], rows))


def _time_parts(path: Path, weights: str, engine: str, started: str) -> list[float]:
    """Seconds of each part in this process, followed by its peak memory [GiB]."""
    from insula.checkpoint import load_weights
    from insula.config import SegmentConfig
    from insula.predict import open_scan, result_paths

    segmenting, reporting = import_module("insula.predict.segmentation"), import_module("insula.report.case")
    preparing, network, writing = (
        _clocked(module, name)
        for module, name in ((segmenting, "prepare"), (segmenting, "infer_mean"), (reporting, "write_result"))
    )
    imports = time.time() - float(started)
    name, _, tiled = engine.partition(":")
    config = SegmentConfig(device="cpu", engine=cast(_Engine, name), passes="tiled" if tiled else "auto")
    with tempfile.TemporaryDirectory() as folder:
        marks = [time.perf_counter()]
        loaded = load_weights(weights)
        marks.append(time.perf_counter())
        scan, source = open_scan(path, name="scan", frame=None, series=None, assume_orientation=None)
        marks.append(time.perf_counter())
        result = segmenting.segment(scan, config, weights=loaded)
        marks.append(time.perf_counter())
        reporting.write_case(result, result_paths(Path(folder), "scan"), source=source)
        marks.append(time.perf_counter())
    loading, reading, segment, case = (after - before for before, after in itertools.pairwise(marks))
    inside = sum(preparing), sum(network), sum(writing)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return [
        imports,
        loading,
        reading,
        inside[0],
        inside[1],
        segment - inside[0] - inside[1],
        inside[2],
        case - inside[2],
        peak,
    ]


def _clocked(module: ModuleType, name: str) -> list[float]:
    """Wrap a function of a module so that it appends the seconds of every call to the returned list."""
    seconds: list[float] = []
    function = getattr(module, name)

    def clocked(*arguments: Any, **options: Any) -> Any:
        begun = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            seconds.append(time.perf_counter() - begun)

    setattr(module, name, clocked)
    return seconds


if __name__ == "__main__":
    main()
