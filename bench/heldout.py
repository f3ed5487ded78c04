"""Dice on simulated heads whose hosts and lesion outlines were never trained on.

python bench/heldout.py DATA [--cases 60] [--weights baseline] [--out bench/results/heldout.json]
"""

from __future__ import annotations

import argparse
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from insula.checkpoint import Weights, load_weights
from insula.cohort import load_sources
from insula.config import Recipe
from insula.geometry import Grid
from insula.io import write_json
from insula.metrics import bootstrap, dice_score
from insula.predict import segment
from insula.train import HeadStream
from insula.volume import Scan

_SEED = 2026
_BINS_ML = ((0.0, 1.0), (1.0, 10.0), (10.0, 50.0), (50.0, float("inf")))


def main() -> None:
    """Simulate, segment with the whole product path, score, print a table, write everything down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--weights", default="baseline")
    parser.add_argument("--out", type=Path, default=Path("bench/results/heldout.json"))
    arguments = parser.parse_args()
    recipe = Recipe(name="heldout")
    weights = load_weights(arguments.weights)
    sources = load_sources(arguments.data, part="test", box=recipe.prepare.box)
    stream = HeadStream(sources, recipe, device=torch.device("cpu"))
    cases = [_case(stream, weights, number) for number in range(arguments.cases)]
    summary = _summary(cases)
    print(
        f"{len(sources.hosts)} hosts, {len(sources.acute)} acute and {len(sources.chronic)} chronic outlines of the test part; all simulated\n"
    )
    print("| simulated, held out | n | Dice mean [95 %] | Dice median [95 %] |\n|---|---|---|---|")
    for name, row in summary["dice"].items():
        print(f"| {name} | {row['n']} | {row['mean']} | {row['median']} |")
    controls = summary["controls"]
    print(
        f"\ncontrols: n = {controls['n']}, false-positive volume median {controls['median_ml']} ml, largest {controls['max_ml']} ml"
    )
    print(f"volume error, absolute, median: {summary['volume_error_ml']['median']} ml")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    facts = {
        "machine": _machine(),
        "torch": torch.__version__,
        "weights_sha256": weights.sha256,
        "sources_sha256": sources.fingerprint,
    }
    write_json(arguments.out, {**facts, "summary": summary, "cases": cases})


def _case(stream: HeadStream, weights: Weights, number: int) -> dict[str, Any]:
    head = stream.head(_SEED, number)
    truth = head.truth.numpy() > 0.5
    scan = Scan(head.image.numpy(), Grid(truth.shape, np.eye(4)), name=f"heldout-{number:03d}")
    result = segment(scan, weights=weights)
    case = {
        "case": number, "phase": head.phase, "truth_ml": float(truth.sum()) / 1000, "predicted_ml": result.volume_ml,
        "dice": dice_score(result.mask.voxels, truth),
    }  # fmt: skip
    print(case, file=sys.stderr, flush=True)
    return case


def _summary(cases: list[dict[str, Any]]) -> dict[str, Any]:
    lesions = [case for case in cases if case["phase"] != "control"]
    groups = {"all with a lesion": lesions}
    groups |= {phase: [c for c in lesions if c["phase"] == phase] for phase in ("chronic", "acute")}
    groups |= {f"{low:g} to {high:g} ml": [c for c in lesions if low <= c["truth_ml"] < high] for low, high in _BINS_ML}
    false = [case["predicted_ml"] for case in cases if case["phase"] == "control"]
    errors = [abs(case["predicted_ml"] - case["truth_ml"]) for case in lesions]
    return {
        "dice": {name: _row([case["dice"] for case in group]) for name, group in groups.items()},
        "controls": {
            "n": len(false), "median_ml": round(float(np.median(false)), 3) if false else None,
            "max_ml": round(max(false), 3) if false else None,
        },
        "volume_error_ml": {"n": len(errors), "median": round(float(np.median(errors)), 2) if errors else None},
    }  # fmt: skip


def _row(dice: list[float]) -> dict[str, Any]:
    if not dice:
        return {"n": 0, "mean": "none", "median": "none"}
    mean, median = bootstrap(dice), bootstrap(dice, "median")
    return {"n": len(dice)} | {
        name: f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"
        for name, value in (("mean", mean), ("median", median))
    }


def _machine() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
