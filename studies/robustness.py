"""Dice, and how often volume intervals hold, on worse scans: noise, bias, thick slices, coarse voxels, tilt, no skull.

python -m studies.robustness --data DATA --out studies/results/robustness [--weights baseline,enhanced,smart]
    [--cases 24] [--only noise,"slices 5 mm"]
python -m studies.robustness --out studies/results/robustness

Simulated heads of the test part, each with a lesion, are segmented as they are and after every degradation; head and
lesion stay the same, so differences are paired. Every degradation has a file of its own, so an interrupted study
resumes. Without --data, it only prints the table and draws the figure.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch

from insula.augment.levels import find_levels
from insula.checkpoint import Weights, load_weights
from insula.cohort import Entry, each, find_cohort, processors
from insula.config import PrepareConfig, SegmentConfig
from insula.evaluate import HOPED
from insula.geometry import Grid, resample
from insula.io import read_mask, read_scan, write_json
from insula.metrics import dice_score
from insula.predict import segment
from insula.report.chart import ACCENT, LESION, SOFT, chart
from insula.simulate import ScannerLook, scan_with
from insula.stats import Difference, difference_of, mean_interval
from insula.synthetic import load_sources, plan_cohort, write_case
from insula.volume import Mask, Scan
from studies.rows import table

_SEED = 13
_AS_IS = "as it is"
Seen: TypeAlias = tuple[Scan, Mask]
_Anonymised: TypeAlias = Literal["no", "deface", "strip"]
_ANONYMISED: tuple[tuple[_Anonymised, str], ...] = (
    ("no", "skull and face there"),
    ("deface", "face gone"),
    ("strip", "skull gone"),
)


def main() -> None:
    """Segment every head under every condition that is missing, then print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", default="baseline,enhanced,smart")
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--only", default="", help="degradations or kinds of them, joined by commas; default: all")
    arguments = parser.parse_args()
    if arguments.data is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        only = set(filter(None, arguments.only.split(",")))
        for weights in arguments.weights.split(","):
            loaded = load_weights(weights)
            for name, seen in _conditions(arguments.data, arguments.out, arguments.cases):
                if not only or name == _AS_IS or only & {name, name.split()[0]}:
                    entries = _cohort(arguments.data, arguments.out / "heads", arguments.cases, None)
                    _judge(loaded, name, seen, arguments.out, {entry.case: entry.centre for entry in entries})
    print(_table(arguments.out))


def _conditions(data: Path, out: Path, cases: int) -> Iterator[tuple[str, Callable[[], Iterator[Seen]]]]:
    """Every condition by name, with an iterator over the heads under it."""
    plain = partial(_heads, data, out / "heads", cases, None)
    yield _AS_IS, plain
    for anonymised, name in _ANONYMISED:
        yield name, partial(_heads, data, out / anonymised, cases, anonymised)
    for noise in (0.03, 0.06, 0.1, 0.15):
        yield f"noise {noise:g}", partial(_each, plain, partial(scanned, ScannerLook(noise=noise, seed=1)))
    for bias in (0.2, 0.4, 0.6):
        yield f"bias {bias:g}", partial(_each, plain, partial(scanned, ScannerLook(bias=bias, seed=1)))
    for thick in (3.0, 5.0, 7.0):
        yield f"slices {thick:g} mm", partial(_each, plain, partial(scanned, ScannerLook(slice_mm=thick)))
    for thick in (1.0, 5.0):
        look = ScannerLook(spin_echo=1, slice_mm=thick)
        yield f"spin echo {thick:g} mm", partial(_each, plain, partial(scanned, look))
    for spacing in (0.7, 1.5, 2.0, 3.0):
        yield f"voxels {spacing:g} mm", partial(_each, plain, partial(coarser, spacing))
    for degrees in (10.0, 20.0, 30.0):
        yield f"tilt {degrees:g} degrees", partial(_each, plain, partial(tilted, degrees))


def _heads(data: Path, folder: Path, cases: int, anonymised: _Anonymised | None) -> Iterator[Seen]:
    """Cases of the cohort that have a lesion."""
    for entry in _cohort(data, folder, cases, anonymised):
        truth = read_mask(entry.mask)
        if truth.voxels.any():
            yield read_scan(entry.image, name=entry.case), Mask(truth.voxels, truth.grid)


@cache  # reading the sources takes as long as a whole condition
def _cohort(data: Path, folder: Path, cases: int, anonymised: _Anonymised | None) -> tuple[Entry, ...]:
    """The cohort, simulated unless the folder has it; `anonymised` applies to every site, None keeps the site's own."""
    test = load_sources(data, part="test", box=PrepareConfig().box)
    specs = plan_cohort({"test": test}, cases=cases, sites=min(5, len(test.site_hosts)), controls=0, seed=_SEED)
    if anonymised is not None:
        specs = [replace(spec, site=replace(spec.site, anonymised=anonymised)) for spec in specs]
    for _ in each(partial(write_case, folder=folder), specs, jobs=processors()):
        pass
    return tuple(find_cohort(folder).entries)


def _each(heads: Callable[[], Iterator[Seen]], change: Callable[[Seen], Seen]) -> Iterator[Seen]:
    return map(change, heads())


def scanned(look: ScannerLook, seen: Seen) -> Seen:
    """The head after a second scanner.

    White matter is taken as the 90th percentile of the non-zero voxels; for a spin echo, whose contrast depends on it,
    as `find_levels` measures it.
    """
    scan, truth = seen
    image = torch.from_numpy(np.array(scan.image, np.float32, order="C"))  # a scan is read-only
    if look.spin_echo:
        levels = find_levels(image)
        white = levels.air + levels.width
    else:
        white = float(np.percentile(scan.image[scan.image > 0], 90))
    return replace(scan, image=(scan_with(image, look, white=white) * white).numpy()), truth


def coarser(spacing_mm: float, seen: Seen) -> Seen:
    old = seen[0].grid
    factor = spacing_mm / np.array(old.spacing_mm)
    i, j, k = (max(1, round(n / f)) for n, f in zip(old.shape, factor, strict=True))
    return _resampled(seen, Grid((i, j, k), old.affine @ np.diag([*factor, 1.0])))


def tilted(degrees: float, seen: Seen) -> Seen:
    """The head nods: the image rotates about the left-right axis through its centre; the header stays the same."""
    old = seen[0].grid
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn, middle = np.eye(4), np.eye(4)
    turn[1:3, 1:3] = [[c, -s], [s, c]]
    middle[:3, 3] = (np.array(old.shape) - 1) / 2
    grid = Grid(old.shape, old.affine @ middle @ turn @ np.linalg.inv(middle))
    scan, truth = _resampled(seen, grid)
    return replace(scan, grid=old), Mask(truth.voxels, old)


def _resampled(seen: Seen, grid: Grid) -> Seen:
    scan, truth = seen
    image = resample(scan.image.astype(np.float32), scan.grid, grid)
    mask = resample(truth.voxels.astype(np.float32), truth.grid, grid) > 0.5
    return replace(scan, image=np.clip(image, 0, None), grid=grid), Mask(mask, grid)


def _judge(
    weights: Weights, name: str, seen: Callable[[], Iterator[Seen]], out: Path, centres: Mapping[str, str]
) -> None:
    path = out / f"{weights.card.name} {name}.json"
    if path.exists():
        return
    config = SegmentConfig(device="cpu", assume_t1w=True)  # refusals are counted by `studies.contrast`
    dice: dict[str, float] = {}
    held: dict[str, bool] = {}
    for scan, truth in seen():
        result = segment(scan, config, weights=weights)
        dice[scan.name] = dice_score(truth.voxels, result.mask.voxels)
        if (interval := replace(result, flags=()).volume_interval_ml) is not None:  # of a spin echo too
            held[scan.name] = interval[0] <= truth.volume_ml <= interval[1]
    row = {"weights": weights.card.name, "way": name, "dice": dice, "held": held}
    write_json(path, row | {"centres": {case: centres[case] for case in dice}})
    print(f"{weights.card.name}: {name}: {statistics.mean(dice.values()):.3f}", flush=True)


def _table(out: Path) -> str:
    """The table, a row for every condition; also writes the figure."""
    scores: dict[str, dict[str, dict[str, float]]] = {}
    held: dict[tuple[str, str], str] = {}
    centres: dict[str, str] = {}
    order = [_AS_IS, *(name for name, _ in _conditions(Path(), Path(), 1) if name != _AS_IS)]
    for path in sorted(out.glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        scores.setdefault(record["weights"], {})[record["way"]] = record["dice"]
        if there := record.get("held"):
            held[record["weights"], record["way"]] = f"{sum(there.values())} of {len(there)}"
        centres |= record.get("centres", dict.fromkeys(record["dice"], "unknown"))  # an earlier record
    conditions = [condition for condition in order if any(condition in some for some in scores.values())]
    changes = {
        (name, condition): difference_of(
            [some[condition][case] - some[_AS_IS][case] for case in some[condition]],
            [centres[case] for case in some[condition]],
            hoped=HOPED,
            reach=1,
        )
        for name, some in scores.items()
        for condition in conditions
        if condition in some and condition != _AS_IS
    }
    rows = [
        [condition, *(_cell(some, condition, centres, changes.get((name, condition))) for name, some in scores.items())]
        for condition in conditions
    ]
    count = len(next(iter(scores.values()))[_AS_IS])
    (out / "robustness.svg").write_text(_draw(scores, conditions), encoding="utf-8")
    return (
        table(("mean Dice (change)", *scores), rows)
        + f"\n\nn = {count}, of {len(set(centres.values()))} centres; in brackets the mean paired change against "
        f"`{_AS_IS}` with its 95 % interval.\n\n"
        + table(
            ("volume intervals that hold", *scores),
            [[condition, *(held.get((name, condition), "-") for name in scores)] for condition in conditions],
        )
    )


def _cell(
    some: dict[str, dict[str, float]], condition: str, centres: Mapping[str, str], change: Difference | None
) -> str:
    if condition not in some:
        return "-"
    mean = mean_interval(list(some[condition].values()), [centres[case] for case in some[condition]], least=0, most=1)
    return mean.cell() if change is None else f"{mean.value:.3f} ({change.mean.figures(signed=True)})"


def _draw(scores: dict[str, dict[str, dict[str, float]]], conditions: list[str]) -> str:
    with chart(width=6.4, height=0.24 * len(conditions) + 0.8) as figure:
        for colour, (name, some) in zip((ACCENT, LESION, SOFT), scores.items(), strict=False):
            there = [condition for condition in conditions if condition in some]
            means = [statistics.mean(some[condition].values()) for condition in there]
            figure.axes.plot(
                means,
                [conditions.index(condition) for condition in there],
                "o",
                color=colour,
                label=name,
                markersize=4,
                alpha=0.8,
            )
        figure.axes.set_yticks(range(len(conditions)), conditions)
        figure.axes.invert_yaxis()
        figure.axes.set_xlim(left=0)
        figure.axes.set_xlabel("mean Dice")
        figure.axes.legend()
    return figure.svg


if __name__ == "__main__":
    main()
