"""Does the review score put failed results first? Simulated heads, a third of them with a planted fault.

    python -m studies.review --data DATA --out FOLDER [--parts validation,test] [--cases 60] [--weights smart]
    python -m studies.review --out FOLDER [--parts validation,test] [--signals]

A result fails if its Dice is below 0.5 or, in a head without a lesion, if it marks more than 1 ml. Each case is kept in
FOLDER, so an interrupted study resumes, and another score needs no new segmentation: without --data, only the tables
are printed and FOLDER/review.json is written. The score's weights were chosen on the validation part (--signals).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from scipy import ndimage

from insula.checkpoint import Weights, load_weights
from insula.config import PrepareConfig, SegmentConfig
from insula.errors import BadData
from insula.io import read_mask, read_scan, write_json
from insula.metrics import dice_score
from insula.predict import CaseRecord, Result, refusal, review_score, segment, to_record
from insula.synthetic import CaseSpec, Part, Sources, load_sources, plan_cohort, write_case
from insula.volume import Mask
from studies.planted import FAULTS, FaultKind, Head, plant
from studies.ranking import area, area_interval, found
from studies.rows import table

_SEED = 2608
_PARTS: tuple[Part, ...] = ("validation", "test")
_CONTROLS = 0.2
_PAINTED = 1 / 3
"""Share of cases from label maps; their hosts add to the few people that were scanned."""
_FAULTY = 1 / 3
_LEAST_DICE, _MOST_FALSE_ML = 0.5, 1.0
_SHARES = (0.1, 0.2, 0.3, 0.5)
_SURFACE_MM = 3.0


class Planned(NamedTuple):
    """A case before it is simulated."""

    name: str
    spec: CaseSpec
    fault: FaultKind | None


def plan(sources: Sources, part: Part, count: int) -> list[Planned]:
    """The cases of a part: every host has a scanner of its own, and every third case a fault, each kind as often."""
    seed = _SEED + _PARTS.index(part)
    rng = np.random.default_rng(seed)
    planned = []
    painted = round(count * _PAINTED)
    for source, cases in (("scanned", count - painted), ("painted", painted)):
        hosts = tuple(host for host in sources.hosts if host.labelled and (host.image is None) == (source == "painted"))
        if hosts and cases >= len(hosts):
            some = {part: replace(sources, hosts=hosts)}
            specs = plan_cohort(some, cases=cases, sites=len(hosts), controls=_CONTROLS, seed=seed)
            planned += [Planned(f"{source}-{spec.subject}", spec, None) for spec in specs]
    faulty = rng.permutation(len(planned))[: round(len(planned) * _FAULTY)]
    for place, number in enumerate(faulty.tolist()):
        planned[number] = planned[number]._replace(fault=FAULTS[place % len(FAULTS)])
    return planned


def segment_case(planned: Planned, part: Part, weights: Weights) -> dict[str, Any]:
    """Simulate and segment a case; the record, and what the truth says about the mask."""
    with tempfile.TemporaryDirectory() as folder:
        write_case(planned.spec, Path(folder))
        scan_path, truth_path, brain_path = (
            next(Path(folder).rglob(name)) for name in ("*_T1w.nii.gz", "*T1lesion_mask.nii.gz", "*brain_mask.nii.gz")
        )
        scan = replace(read_scan(scan_path, name=planned.name), file=None)
        truth, brain = read_mask(truth_path), read_mask(brain_path)
    head = Head(scan, Mask(truth.voxels, scan.grid), Mask(brain.voxels, scan.grid))
    if planned.fault is not None:
        head = plant(planned.fault, head, np.random.default_rng((*planned.spec.key, 2)))
    row: dict[str, Any] = {
        "case": planned.name,
        "part": part,
        "host": planned.spec.host.name,
        "fault": planned.fault,
        "truth_ml": (int(head.truth.voxels.sum()) + head.lost) * head.truth.grid.voxel_ml,
    }
    try:
        config = SegmentConfig(device="cpu", assume_t1w=planned.fault == "contrast")
        result = segment(head.scan, config, weights=weights)
    except BadData as error:
        return {**row, "record": refusal(planned.name, error)}
    return {**row, "dice": _dice(head, result.mask), "record": to_record(result), "surface": surface_share(result)}


def surface_share(result: Result) -> float | None:
    """Share of the mask within 3 mm of the brain mask's surface; None for an empty mask or without a brain."""
    if result.brain is None or not result.mask.voxels.any():
        return None
    spacing_mm = result.mask.grid.spacing_mm
    voxels = np.argwhere(result.mask.voxels)
    margins = [int(np.ceil(_SURFACE_MM / mm)) + 1 for mm in spacing_mm]
    at = tuple(
        slice(max(0, int(low) - margin), int(high) + margin + 1)
        for low, high, margin in zip(voxels.min(0), voxels.max(0), margins, strict=True)
    )
    depth_mm = ndimage.distance_transform_edt(np.pad(result.brain.voxels[at], 1, mode="edge"), sampling=spacing_mm)
    return float((depth_mm[1:-1, 1:-1, 1:-1][result.mask.voxels[at]] <= _SURFACE_MM).mean())


def failed(row: Mapping[str, Any]) -> bool:
    """Whether a result is a failure, by the truth."""
    if row["truth_ml"]:
        return bool(row["dice"] < _LEAST_DICE)
    return bool(row["record"]["volume_ml"] > _MOST_FALSE_ML)


def _dice(head: Head, mask: Mask) -> float:
    """Dice with the whole lesion, also with what the scan no longer shows."""
    if not head.lost:
        return dice_score(head.truth.voxels, mask.voxels)
    both = int((head.truth.voxels & mask.voxels).sum())
    return 2 * both / (int(head.truth.voxels.sum()) + head.lost + int(mask.voxels.sum()))


def _probability(row: Mapping[str, Any], *, empty: float) -> float:
    """The mean probability, lowest first; an empty mask has none and counts as `empty`."""
    mean = row["record"]["confidence"]["mean_probability"]
    return -(empty if mean is None else float(mean))


def _warnings(row: Mapping[str, Any]) -> float:
    return float(sum(flag["severity"] == "warning" for flag in row["record"]["flags"]))


_ORDERS: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "review score": lambda row: review_score(cast(CaseRecord, row["record"])).score,
    "mean probability, empty masks first": partial(_probability, empty=0.0),
    "mean probability, empty masks last": partial(_probability, empty=1.0),
    "number of warnings": _warnings,
}


def _doubt(row: Mapping[str, Any]) -> float:
    """Mean probability that a lesion is not real, over the mask's volume."""
    lesions = row["record"]["lesions"]
    volume_ml = sum(lesion["volume_ml"] for lesion in lesions)
    return 1 - sum((lesion["confidence"] or 0) * lesion["volume_ml"] for lesion in lesions) / volume_ml


def _other_side(row: Mapping[str, Any]) -> float:
    sides = row["record"]["sides"]
    return float(min(sides.values()) / (sum(sides.values()) or 1)) if sides else 0.0


_SINGLE: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "review score": _ORDERS["review score"],
    "mean probability": partial(_probability, empty=0.0),
    "small volume": lambda row: -float(row["record"]["volume_ml"]),
    "probability that the lesions are real (left out)": _doubt,
    "lesions on both sides (left out)": _other_side,
    "number of lesions (left out)": lambda row: float(row["record"]["lesion_count"]),
    "share within 3 mm of the brain's surface (left out)": lambda row: float(row.get("surface") or 0),
}


def _orders(done: Sequence[Mapping[str, Any]]) -> tuple[str, dict[str, Any]]:
    """How soon each order finds the failures among results; one of them at least is a failure."""
    failures, hosts = np.array([failed(row) for row in done]), [row["host"] for row in done]
    orders = {name: np.array([order(row) for row in done]) for name, order in _ORDERS.items()}
    orders["random order"] = np.zeros(len(done))
    ours, cells = orders["review score"], []
    facts: dict[str, Any] = {}
    for name, scores in orders.items():
        curve, value = found(failures, scores), area(failures, scores)
        ends = area_interval(failures, scores, hosts)
        at = {f"{share:.0%}": float(curve[max(1, round(share * len(done))) - 1]) for share in _SHARES}
        facts[name] = {"found": at, "area": value, "interval": ends}
        lead = "-"
        if name != "review score":
            gain, more = area(failures, ours) - value, area_interval(failures, ours, hosts, less=scores)
            facts[name] |= {"score's gain": gain, "interval of the gain": more}
            lead = f"{gain:+.3f} [{more[0]:+.3f}, {more[1]:+.3f}]"
        figures = f"{value:.3f} [{ends[0]:.3f}, {ends[1]:.3f}]"
        cells.append([name, *(f"{share:.0%}" for share in at.values()), figures, lead])
    text = table(["looked at first", *(f"{s:.0%}" for s in _SHARES), "area [95 %]", "score's gain"], cells)
    return f"{text}\n\nbest possible area: {1 - failures.mean() / 2:.3f}\n", facts


def _report(part: str, rows: list[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    done = [row for row in rows if row["record"]["outcome"] == "done"]
    bad = [row for row in done if failed(row)]
    faulty = [row for row in done if row["fault"] is not None]
    plain = [row for row in done if row["fault"] is None]
    text, facts = _orders(done)
    lines = [
        f"{part}: {len(rows)} cases of {len({row['host'] for row in rows})} hosts, {len(rows) - len(done)} refused, "
        f"{len(done)} segmented; {len(bad)} failures, {sum(map(failed, faulty))} of them among {len(faulty)} with a "
        f"planted fault\n",
        text,
    ]
    if any(map(failed, plain)):
        text, facts["without a fault"] = _orders(plain)
        lines += [f"without a planted fault: {len(plain)} results, {sum(map(failed, plain))} failures\n", text]
    ranked = sorted(done, key=lambda row: -_ORDERS["review score"](row))
    early = [row for row in ranked[: len(ranked) // 2] if failed(row)]
    kinds = []
    for fault in (None, *FAULTS):
        some = [row for row in rows if row["fault"] == fault]
        refused = sum(row["record"]["outcome"] == "refused" for row in some)
        counts = (sum(row["fault"] == fault for row in group) for group in (bad, early))
        kinds.append([fault or "none", *map(str, (len(some), refused, *counts))])
    lines.append(table(["fault", "cases", "refused", "failures", "of them in the first half"], kinds) + "\n")
    return "\n".join(lines), {"cases": len(rows), "segmented": len(done), "failures": len(bad), **facts}


def _signals(rows: list[dict[str, Any]]) -> str:
    """How often each reason is given, among failures and among the others."""
    done = [row for row in rows if row["record"]["outcome"] == "done"]
    count: dict[str, list[int]] = {}
    for row in done:
        for reason in review_score(cast(CaseRecord, row["record"])).reasons:
            count.setdefault(reason, [0, 0])[failed(row)] += 1
    ranked = sorted(count.items(), key=lambda item: -sum(item[1]))
    reasons = table(["reason", "failures", "others"], [[name, str(bad), str(good)] for name, (good, bad) in ranked])
    marked = [row for row in done if row["record"]["lesions"]]
    failures, hosts = np.array([failed(row) for row in marked]), [row["host"] for row in marked]
    areas = []
    for name, order in _SINGLE.items():
        scores = np.array([order(row) for row in marked])
        low, high = area_interval(failures, scores, hosts)
        areas.append([name, f"{area(failures, scores):.3f} [{low:.3f}, {high:.3f}]"])
    return f"{reasons}\n\n{table([f'alone, {len(marked)} results with a lesion', 'area [95 %]'], areas)}\n"


def _cases(folder: Path, part: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((folder / part).glob("*.json"))]


def _missing(planned: Sequence[Planned], folder: Path) -> Iterator[tuple[Planned, Path]]:
    for one in planned:
        path = folder / f"{one.name}.json"
        if not path.exists():
            yield one, path


def main() -> None:
    """Segment what is missing, then print a table for each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", default="validation,test")
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--weights", default="smart")
    parser.add_argument("--signals", action="store_true", help="count each reason among failures and others")
    arguments = parser.parse_args()
    parts = cast(list[Part], arguments.parts.split(","))
    if arguments.data is not None:
        weights = load_weights(arguments.weights)
        for part in parts:
            sources = load_sources(arguments.data, part=part, box=PrepareConfig().box)
            (arguments.out / part).mkdir(parents=True, exist_ok=True)
            for planned, path in _missing(plan(sources, part, arguments.cases), arguments.out / part):
                row = segment_case(planned, part, weights)
                write_json(path, row)
                print(part, planned.name, planned.fault, row.get("dice"), flush=True)
    facts = {}
    for part in parts:
        text, facts[part] = _report(part, rows := _cases(arguments.out, part))
        print(text)
        if arguments.signals:
            print(_signals(rows))
    write_json(arguments.out / "review.json", facts)


if __name__ == "__main__":
    main()
