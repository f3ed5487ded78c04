"""`insula bench predict`: time, memory and Dice of each set of weights in each engine and precision."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from insula.cli.console import table

if TYPE_CHECKING:
    from insula.bench import PredictBench

__all__ = ["predict"]

_ON = {
    "cpu": ("torch:float32", "torch:bfloat16", "onnxruntime:float32", "openvino:float32", "openvino:bfloat16"),
    "cuda": (
        "torch:float32",
        "torch:bfloat16",
        "torch:float16",
        "aoti:float32",
        "aoti:bfloat16",
        "aoti:float16",
        "tensorrt:float32",
        "tensorrt:float16",
    ),
}
_MARKS = {"torch": "o", "onnxruntime": "s", "openvino": "D", "aoti": "^", "tensorrt": "v"}


def predict(
    cohort: Positional[Path | None] = None,
    /,
    weights: tuple[str, ...] = ("baseline", "enhanced", "smart"),
    ways: tuple[str, ...] = (),
    repeats: int = 5,
    device: str = "auto",
    label: int | None = None,
    out: Path = Path("insula-bench-predict.json"),
    debug: bool = False,
) -> int:
    """Compare engines and precisions: time, memory, Dice, and the difference from PyTorch in float32.

    Each combination runs in its own process. Times are in milliseconds on a GPU, and relative to the first combination
    on a CPU. With a cohort, a plot of Dice against time is written next to --out.

    Args:
        cohort: Folder with scans and true masks; without it, a phantom is timed and nothing is scored.
        weights: Weights to compare: bundled names, folders or files.
        ways: Combinations of engine and precision, e.g. openvino:bfloat16; all that the device supports if not given.
        repeats: Timed passes.
        device: Device to time: auto, cpu, cuda or cuda:N.
        label: Value of the lesion in the true masks, if they contain several labels.
        out: JSON file for all figures.
        debug: Show a traceback on errors.
    """
    from dataclasses import asdict

    import torch

    from insula.bench import bench_predict, parse_combination
    from insula.checkpoint import load_weights
    from insula.cohort import find_cohort
    from insula.errors import BadData, UsageError
    from insula.infer import choose_device, choose_precision
    from insula.io import write_json, write_text

    if repeats < 1:
        raise UsageError("--repeats", repeats, "is below 1", "use 5")
    where = choose_device(device)
    chosen = ways or _ON[where.type]
    for spelling in chosen:
        choose_precision(where, parse_combination(spelling)[1])
    for name in weights:
        load_weights(name)  # report bad weights now, not after minutes of timing
    entries = [] if cohort is None else find_cohort(cohort, label=label).entries
    if odd := next((entry for entry in entries if len(entry.images) != 1 or len(entry.masks) > 1), None):
        raise BadData("the case", odd.case, "does not have exactly one scan and one mask", "see `insula cohort check`")
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else "cpu"
    facts: dict[str, object] = {
        "format": "insula-bench-predict/1",
        "device": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "cases": len(entries),
    }
    results: list[PredictBench] = []
    write_json(out, {**facts, "ways": []})  # fail now, not after minutes of timing, if it cannot be written
    for result in bench_predict(weights, chosen, entries, device=device, repeats=repeats):
        print(f"  {result.combination.weights} {result.combination.spelling}: {result.why_not or 'done'}", flush=True)
        results.append(result)
        write_json(out, {**facts, "ways": [_figures(asdict(result)) for result in results]})
    _show(results, milliseconds=where.type == "cuda", scored=bool(entries))
    print(out)
    if drawing := _drawing(results, milliseconds=where.type == "cuda"):
        write_text(out.with_suffix(".svg"), drawing)
        print(out.with_suffix(".svg"))
    return 0


def _figures(result: Mapping[str, object]) -> dict[str, object]:
    """Return the figures of a combination under the keys of the file's format."""
    return {"way" if key == "combination" else key: value for key, value in result.items()}


def _show(results: list[PredictBench], *, milliseconds: bool, scored: bool) -> None:
    timed = [result for result in results if result.why_not is None]
    if not timed:
        return
    rows = []
    for result in timed:
        row: list[object] = [
            f"{result.combination.weights} {result.combination.spelling}",
            round(result.peak_gib, 2),
            _pace(result.network_s, timed[0].network_s, milliseconds),
            _pace(result.seconds, timed[0].seconds, milliseconds),
            round(result.cold_s / timed[0].cold_s, 2),
        ]
        if scored:
            row += [_dice(result), *_agreement(result)]
        rows.append(row)
    head = ["combination", "memory", "network", "with copies", "cold"]
    more = ["Dice, cases with a lesion [95 %]", "p differs", "masks agree: mean, lowest"]
    table([*head, *(more if scored else [])], rows)
    unit = "ms" if milliseconds else "multiples of the first"
    print(
        f"memory in GiB, without the interpreter's own; network and with copies in {unit}, "
        "cold (first pass) in multiples of the first"
    )
    for result in timed:
        if others := [name for name, case in result.cases.items() if case.precision != result.combination.precision]:
            count = f"{len(others)} cases needed another precision"
            print(f"{result.combination.weights} {result.combination.spelling}: {count}: {', '.join(others)}")
    if scored:
        print("p differs: largest difference in probability from PyTorch in float32; masks agree: Dice with its masks")


def _agreement(result: PredictBench) -> tuple[str, str]:
    """Return the largest difference in probability, and the mean and lowest Dice of the masks, with the lowest case."""
    apart = [case.apart for case in result.cases.values() if case.apart is not None]
    same = {name: case.same for name, case in result.cases.items() if case.same is not None}
    if not apart:
        return "-", "-"
    worst = min(same, key=lambda name: same[name])
    return f"{max(apart):.2g}", f"{sum(same.values()) / len(same):.4f}, {same[worst]:.4f} in {worst}"


def _pace(seconds: float, first: float, milliseconds: bool) -> float:
    return round(1000 * seconds, 2) if milliseconds else round(seconds / first, 2)


def _dice(result: PredictBench) -> str:
    from insula.stats import mean_interval

    scored = [(case.dice, case.centre) for case in result.cases.values() if case.dice is not None]
    if not scored:
        return "-"
    values, centres = zip(*scored, strict=True)
    return mean_interval(values, centres, least=0, most=1).cell(4)


def _drawing(results: list[PredictBench], *, milliseconds: bool) -> str:
    """Return an SVG of mean Dice against time, with marks as large as the memory used; empty without scores."""
    import statistics

    from matplotlib.colors import to_rgba

    from insula.report.chart import ACCENT, LESION, SOFT, chart

    timed = [result for result in results if any(case.dice is not None for case in result.cases.values())]
    if not timed:
        return ""
    names = list(dict.fromkeys(result.combination.weights for result in timed))
    colours = dict(zip(names, (ACCENT, LESION, SOFT, "#b58900", "#6c5ce7") * len(names), strict=False))
    with chart(width=6.4, height=4.2) as drawing:
        for result in timed:
            mean = statistics.mean(case.dice for case in result.cases.values() if case.dice is not None)
            colour = colours[result.combination.weights]
            filled = {"float32": "none", "bfloat16": colour, "float16": to_rgba(colour, 0.35)}[
                result.combination.precision
            ]
            pace = _pace(result.seconds, timed[0].seconds, milliseconds)
            drawing.axes.scatter(
                pace,
                mean,
                s=90 * result.peak_gib,
                marker=_MARKS[result.combination.engine],
                facecolor=filled,
                edgecolor=colour,
            )
        for name, colour in colours.items():
            drawing.axes.plot([], [], "-", color=colour, label=name, linewidth=4)
        for engine in dict.fromkeys(result.combination.engine for result in timed):
            drawing.axes.plot([], [], _MARKS[engine], color=SOFT, markerfacecolor="none", label=engine)
        drawing.axes.set_xscale("log")
        low, high = drawing.axes.get_xlim()
        ticks = [n * 10**power for power in range(-4, 6) for n in (1, 2, 5) if low <= n * 10**power <= high]
        drawing.axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        drawing.axes.set_xticks([], minor=True)
        drawing.axes.set_xlabel("time of one head [ms]" if milliseconds else "time of one head [x the first]")
        drawing.axes.set_ylabel("mean Dice")
        drawing.axes.legend(
            title="empty: float32, full: bfloat16,\npale: float16; area: memory",
            loc="center left",
            bbox_to_anchor=(1, 0.5),
        )
    return drawing.svg
