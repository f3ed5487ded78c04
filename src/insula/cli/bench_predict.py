"""`insula bench predict`: what every set of weights costs and reaches in every engine and precision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

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
    """Segment a cohort in every way: time, memory, Dice, and how far each way is from PyTorch in float32.

    Every way runs in a process of its own. On processors times are multiples of the first, on GPUs milliseconds. A drawing of time against Dice lies
    beside --out.

    Args:
        cohort: A folder with scans and true masks; without it a phantom is timed and nothing scored.
        weights: By name, folder or file.
        ways: Engine and precision, e.g. openvino:bfloat16; all that the device has if not given.
        repeats: Passes that are timed.
        device: auto, cpu, cuda or cuda:N.
        label: The value that is lesion in the true masks, if they hold several.
        out: All figures.
        debug: Show a traceback on errors.
    """
    from dataclasses import asdict

    import torch

    from insula.bench import bench_predict, parse_way
    from insula.checkpoint import load_weights
    from insula.cohort import find_cohort
    from insula.errors import BadData, UsageError
    from insula.infer import choose_device, choose_precision
    from insula.io import write_json, write_text

    if repeats < 1:
        raise UsageError("--repeats", repeats, "is below 1", "use 5")
    where = choose_device(device)
    chosen = ways or _ON[where.type]
    for way in chosen:
        choose_precision(where, parse_way(way)[1])
    for name in weights:
        load_weights(name)  # what is wrong with them is said before the minutes
    entries = [] if cohort is None else find_cohort(cohort, label=label).entries
    if odd := next((one for one in entries if len(one.images) != 1 or len(one.masks) > 1), None):
        raise BadData("the case", odd.case, "has not exactly one scan and one mask", "see `insula cohort check`")
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else "cpu"
    facts: dict[str, Any] = {
        "format": "insula-bench-predict/1",
        "device": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "cases": len(entries),
    }
    found: list[PredictBench] = []
    write_json(out, {**facts, "ways": []})  # said before the minutes, not after
    for told in bench_predict(weights, chosen, entries, device=device, repeats=repeats):
        print(f"  {told.way.weights} {told.way.told}: {told.why_not or 'done'}", flush=True)
        found.append(told)
        write_json(out, {**facts, "ways": [asdict(one) for one in found]})
    _show(found, milliseconds=where.type == "cuda", scored=bool(entries))
    print(out)
    if drawing := _drawing(found, milliseconds=where.type == "cuda"):
        write_text(out.with_suffix(".svg"), drawing)
        print(out.with_suffix(".svg"))
    return 0


def _show(found: list[PredictBench], *, milliseconds: bool, scored: bool) -> None:
    from insula.cli.console import table

    timed = [told for told in found if told.why_not is None]
    if not timed:
        return
    rows = []
    for told in timed:
        row: list[Any] = [
            f"{told.way.weights} {told.way.told}",
            round(told.peak_gib, 2),
            _pace(told.network_s, timed[0].network_s, milliseconds),
            _pace(told.seconds, timed[0].seconds, milliseconds),
            round(told.cold_s / timed[0].cold_s, 2),
        ]
        if scored:
            row += [_dice(told), *_agreement(told)]
        rows.append(row)
    head = ["way", "memory", "network", "with copies", "cold"]
    more = ["Dice, cases with a lesion [95 %]", "p differs", "masks agree: mean, least"]
    table([*head, *(more if scored else [])], rows)
    print(
        f"memory in GiB above the interpreter's; network and copies in {'ms' if milliseconds else 'multiples of the first'}, cold in multiples of the first"
    )
    for told in timed:
        if others := [name for name, case in told.cases.items() if case.precision != told.way.precision]:
            print(
                f"{told.way.weights} {told.way.told}: {len(others)} cases needed another precision: {', '.join(others)}"
            )
    if scored:
        print("p differs: largest difference of probability from PyTorch in float32; masks agree: Dice with its masks")


def _agreement(told: PredictBench) -> tuple[str, str]:
    """Largest difference of probability; mean and least Dice of masks, and whose that is."""
    apart = [case.apart for case in told.cases.values() if case.apart is not None]
    same = {name: case.same for name, case in told.cases.items() if case.same is not None}
    if not apart:
        return "-", "-"
    worst = min(same, key=lambda name: same[name])
    return f"{max(apart):.2g}", f"{sum(same.values()) / len(same):.4f}, {same[worst]:.4f} in {worst}"


def _pace(seconds: float, first: float, milliseconds: bool) -> float:
    return round(1000 * seconds, 2) if milliseconds else round(seconds / first, 2)


def _dice(told: PredictBench) -> str:
    from insula.stats import mean_interval

    scored = [(case.dice, case.centre) for case in told.cases.values() if case.dice is not None]
    if not scored:
        return "-"
    values, centres = zip(*scored, strict=True)
    return mean_interval(values, centres, least=0, most=1).cell(4)


def _drawing(found: list[PredictBench], *, milliseconds: bool) -> str:
    """Time against mean Dice, a mark for each way, as large as its memory; nothing without scores."""
    import statistics

    from matplotlib.colors import to_rgba

    from insula.report.chart import ACCENT, LESION, SOFT, chart

    timed = [told for told in found if any(case.dice is not None for case in told.cases.values())]
    if not timed:
        return ""
    names = list(dict.fromkeys(told.way.weights for told in timed))
    colours = dict(zip(names, (ACCENT, LESION, SOFT, "#b58900", "#6c5ce7") * len(names), strict=False))
    with chart(width=6.4, height=4.2) as made:
        for told in timed:
            mean = statistics.mean(case.dice for case in told.cases.values() if case.dice is not None)
            colour = colours[told.way.weights]
            filled = {"float32": "none", "bfloat16": colour, "float16": to_rgba(colour, 0.35)}[told.way.precision]
            pace = _pace(told.seconds, timed[0].seconds, milliseconds)
            made.axes.scatter(
                pace, mean, s=90 * told.peak_gib, marker=_MARKS[told.way.engine], facecolor=filled, edgecolor=colour
            )
        for name, colour in colours.items():
            made.axes.plot([], [], "-", color=colour, label=name, linewidth=4)
        for engine in dict.fromkeys(told.way.engine for told in timed):
            made.axes.plot([], [], _MARKS[engine], color=SOFT, markerfacecolor="none", label=engine)
        made.axes.set_xscale("log")
        low, high = made.axes.get_xlim()
        ticks = [n * 10**power for power in range(-4, 6) for n in (1, 2, 5) if low <= n * 10**power <= high]
        made.axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        made.axes.set_xticks([], minor=True)
        made.axes.set_xlabel("time of one head [ms]" if milliseconds else "time of one head [x the first]")
        made.axes.set_ylabel("mean Dice")
        made.axes.legend(
            title="empty: float32, full: bfloat16,\npale: float16; area: memory",
            loc="center left",
            bbox_to_anchor=(1, 0.5),
        )
    return made.svg
