"""Does the state space scale as promised? Time, and on a GPU memory, against full attention, from 1k to 128k tokens.

python -m studies.state_space [--device cpu] [--most 131072] [--repeats 3] [--out studies/results]

Forward and backward, 8 heads of 32 channels, state 16, one direction. Growth exponents are slopes of straight lines
through the logarithms of the sizes from 8k on: 1 is linear, 2 is quadratic. Attention stops where one run would take
more than a minute. Times are multiples of the smallest scan's on a CPU, milliseconds on a GPU.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from insula.io import write_json
from insula.nn import scan_states
from insula.report.chart import ACCENT, LESION, chart
from studies.clock import machine, seconds_of
from studies.rows import table

_HEADS, _CHANNELS, _STATE = 8, 32, 16
_LINE_FROM = 8192
_MOST_SECONDS = 60.0


def main() -> None:
    """Time both, fit the exponents, print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--most", type=int, default=131_072)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("studies/results"))
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    sizes = [2**n for n in range(10, 31) if 2**n <= arguments.most]
    costs: dict[str, dict[int, tuple[float, float]]] = {"state space": {}, "full attention": {}}
    for name, work in (("state space", _scan), ("full attention", _attend)):
        for size in sizes:
            seconds, gib = _measure(work(size, device), device, arguments.repeats)
            costs[name][size] = (seconds, gib)
            print(f"{name}: {size} tokens done", flush=True)
            if seconds * (4 if name == "full attention" else 2) > _MOST_SECONDS:
                break
    slopes = {
        name: {what: _slope(rows, column) for column, what in enumerate(("time", "memory"))}
        for name, rows in costs.items()
    }
    unit, scale = ("ms", 1e-3) if device.type == "cuda" else ("x", costs["state space"][sizes[0]][0])
    lines = []
    for size in sizes:
        both = [costs[name].get(size) for name in costs]
        cells = [f"{row[0] / scale:.1f}" if row else "-" for row in both] + [
            f"{row[1]:.2f}" if row and row[1] else "-" for row in both
        ]
        lines.append([str(size), *cells])
    print("\n" + table(["tokens", *(f"{name} [{kind}]" for kind in (unit, "GiB") for name in costs)], lines))
    for name, some in slopes.items():
        print(f"{name}: " + ", ".join(f"{what} grows with exponent {value}" for what, value in some.items() if value))
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out / "state_space.json", {**machine(device), "measured": costs, "exponents": slopes})
    (arguments.out / "state_space.svg").write_text(_draw(costs, unit, scale), encoding="utf-8")


def _leaf(size: int, width: int, device: torch.device) -> Tensor:
    return torch.randn(1, size, _HEADS, width, device=device, requires_grad=True)


def _scan(size: int, device: torch.device) -> Callable[[], None]:
    value, write, read = (_leaf(size, n, device) for n in (_CHANNELS, _STATE, _STATE))
    decay = -torch.rand(1, size, _HEADS, device=device)

    def once() -> None:
        scan_states(value, decay, write, read).sum().backward()

    return once


def _attend(size: int, device: torch.device) -> Callable[[], None]:
    query, key, value = (_leaf(size, _CHANNELS, device) for _ in range(3))

    def once() -> None:
        q, k, v = (x.transpose(1, 2) for x in (query, key, value))
        F.scaled_dot_product_attention(q, k, v).sum().backward()

    return once


def _measure(work: Callable[[], None], device: torch.device, repeats: int) -> tuple[float, float]:
    """Median seconds, and the peak of memory above its level before [GiB]; 0 on a CPU, where it is not measured."""
    work()
    before = torch.cuda.memory_allocated() if device.type == "cuda" else 0
    seconds, peak = seconds_of(work, device, warm=0, repeats=repeats)
    return statistics.median(seconds), (peak - before) / 2**30


def _slope(rows: dict[int, tuple[float, float]], column: int) -> float | None:
    points = [(size, row[column]) for size, row in rows.items() if size >= _LINE_FROM and row[column] > 0]
    if len(points) < 2:
        return None
    x, y = np.log(np.array(points)).T
    return round(float(np.polyfit(x, y, 1)[0]), 2)


def _draw(costs: dict[str, dict[int, tuple[float, float]]], unit: str, scale: float) -> str:
    with chart() as figure:
        for (name, rows), colour in zip(costs.items(), (ACCENT, LESION), strict=True):
            figure.axes.plot(
                list(rows), [row[0] / scale for row in rows.values()], marker="o", ms=3, color=colour, label=name
            )
        figure.axes.set_xscale("log", base=2)
        figure.axes.set_yscale("log")
        figure.axes.set_xlabel("tokens")
        figure.axes.set_ylabel(f"forward and backward [{unit}]")
        figure.axes.legend()
    return figure.svg


if __name__ == "__main__":
    main()
