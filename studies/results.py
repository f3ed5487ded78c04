"""The tables of docs/concepts/results.md, from the output of `insula evaluate`.

python -m studies.results EVALUATION/evaluation.json [OTHER/evaluation.json]

With a second evaluation (the same subjects under other conditions) it prints the Dice of both side by side, paired.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from insula.evaluate import HOPED
from insula.stats import Interval, difference_of
from studies.rows import corrected_p, table

_METRICS = {
    "dice": ("Dice", 3),
    "f1_any": ("lesion F1, one voxel", 3),
    "f1_iou25": ("lesion F1, IoU 0.25", 3),
    "hd95_mm": ("HD95 [mm]", 1),
    "volume_difference_ml": ("volume error [ml]", 1),
    "pr_auc": ("PR-AUC", 3),
}
_STRATA = ("all", "chronicity", "lesion voxels", "centre")


def main() -> None:
    """Read one or two evaluations and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("other", type=Path, nargs="?")
    arguments = parser.parse_args()
    evaluation = json.loads(arguments.evaluation.read_text(encoding="utf-8"))
    if evaluation["format"] != "insula-evaluation/2" or evaluation["preset"]["name"] != "full":
        raise SystemExit(f"{arguments.evaluation} is not of this insula's preset full: evaluate again")
    sets = evaluation["sets"]
    print(
        "\n\n".join(
            [
                _overall(sets),
                _sizes(sets),
                _strata(sets),
                _controls(sets),
                _pairs(evaluation["comparisons"], evaluation["hoped_difference"]),
            ]
        )
    )
    if arguments.other is not None:
        print("\n" + _side_by_side(sets, json.loads(arguments.other.read_text(encoding="utf-8"))["sets"]))


def _overall(sets: dict[str, Any]) -> str:
    """Mean with interval and median of every metric, over cases with a lesion; calibration."""
    rows = []
    for metric, (title, digits) in _METRICS.items():
        own = [_row(results, metric) for results in sets.values()]
        apart = [f", undefined in {row['undefined']}" if row["undefined"] else "" for row in own]
        means = [_interval(row["mean"], digits) + text for row, text in zip(own, apart, strict=True)]
        rows.append([f"{title}, mean [95 %]", *means])
        rows.append([f"{title}, median", *(_interval(row["median"], digits) for row in own)])
    errors = [results["calibration_error"] for results in sets.values()]
    rows.append(
        [
            "expected calibration error",
            *("-" if error is None else f"{error:.3f}" for error in errors),
        ]
    )
    counts = [results["volume_intervals"] for results in sets.values()]
    rows.append(["volume intervals that hold", *(f"{count['hold']} of {count['of']}" for count in counts)])
    first = _row(next(iter(sets.values())), "dice")["mean"]
    return table((f"cases with a lesion, n = {first['n']} of {first['centres']} centres", *sets), rows)


def _sizes(sets: dict[str, Any]) -> str:
    """Share of true lesions of each size that were touched (matched), and false lesions a case."""
    bins = [row["bin"] for row in next(iter(sets.values()))["lesions_by_size"]]
    rows = []
    for place, name in enumerate(bins):
        some = [results["lesions_by_size"][place] for results in sets.values()]
        rows.append(
            [
                f"{name} voxels (n = {some[0]['lesions']})",
                *(f"{_share(row['recall_any'])} ({_share(row['recall_iou25'])})" for row in some),
            ]
        )
    false = [statistics.mean(_false_lesions(case) for case in results["cases"]) for results in sets.values()]
    rows.append(["false lesions a case", *(f"{count:.1f}" for count in false)])
    return table(("lesions touched (matched)", *sets), rows)


def _false_lesions(case: dict[str, Any]) -> int:
    return sum(not lesion["touches"] for lesion in case["predicted_lesions"])


def _strata(sets: dict[str, Any]) -> str:
    """Mean Dice in every stratum."""
    rows = []
    for row in next(iter(sets.values()))["summary"]:
        if row["metric"] == "dice" and row["stratum"] in _STRATA:
            same = [_row(results, "dice", row["stratum"], row["group"]) for results in sets.values()]
            label = "with a lesion" if row["stratum"] == "all" else f"{row['stratum']}: {row['group']}"
            rows.append([label, str(row["n"]), *(_interval(results["mean"], 3) for results in same)])
    return table(("Dice", "n", *sets), rows)


def _controls(sets: dict[str, Any]) -> str:
    rows = []
    for name, results in sets.items():
        volumes = [case["predicted_ml"] for case in results["cases"] if not case["truth_voxels"]]
        if volumes:
            clean = sum(volume == 0 for volume in volumes)
            rows.append([name, f"{clean} of {len(volumes)}", f"{statistics.mean(volumes):.2f}", f"{max(volumes):.2f}"])
    return table(("controls", "empty masks", "false volume, mean [ml]", "most [ml]"), rows)


def _pairs(comparisons: Sequence[dict[str, Any]], hoped: float) -> str:
    rows = []
    for comparison in comparisons:
        difference = comparison["difference"]
        if comparison["primary"] and difference is not None and difference["p"] is not None:
            mean = Interval(**difference["mean"])
            power = "-" if difference["power"] is None else f"{100 * difference['power']:.0f} %"
            cells = [
                f"{comparison['second']} - {comparison['first']}",
                _METRICS.get(comparison["metric"], (comparison["metric"],))[0],
                f"{comparison['n']} of {mean.centres}",
                mean.figures(signed=True),
            ]
            rows.append([*cells, f"{difference['p']:.2g}", f"{comparison['p_holm']:.2g}", power])
    head = ("paired", "metric", "cases of centres", "difference [95 %]", "p", "p (Holm)", f"power for {hoped:g}")
    return table(head, rows)


def _side_by_side(first: dict[str, Any], second: dict[str, Any]) -> str:
    """Dice of cases with a lesion in both evaluations, and their paired difference."""
    rows, changes = [], {}
    for name in first:
        before, after = (
            {case["case"]: case for case in side[name]["cases"] if case["truth_voxels"]} for side in (first, second)
        )
        both = [(before[case], after[case]["metrics"]["dice"]) for case in before if case in after]
        change = [there - here["metrics"]["dice"] for here, there in both]
        changes[name] = difference_of(change, [here["centre"] for here, _ in both], hoped=HOPED, reach=1)
        means = [
            statistics.mean(side) for side in ([here["metrics"]["dice"] for here, _ in both], [b for _, b in both])
        ]
        rows.append([name, str(len(both)), *(f"{mean:.3f}" for mean in means), changes[name].mean.figures(signed=True)])
    p = corrected_p(changes)
    cells = [[*row, f"{p[row[0]]:.2g}" if row[0] in p else "-"] for row in rows]
    return table(("Dice", "n", "here", "there", "difference [95 %]", "p (Holm)"), cells)


def _row(results: dict[str, Any], metric: str, stratum: str = "all", group: str = "with a lesion") -> dict[str, Any]:
    return next(
        row for row in results["summary"] if (row["metric"], row["stratum"], row["group"]) == (metric, stratum, group)
    )


def _interval(record: dict[str, Any] | None, digits: int) -> str:
    return "-" if record is None else Interval(**record).cell(digits)


def _share(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


if __name__ == "__main__":
    main()
