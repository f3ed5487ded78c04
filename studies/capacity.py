"""Does a larger network overfit? The baseline's widths scaled, with and without augmentation, on one cohort.

python -m studies.capacity --data DATA --out studies/results/capacity [--rows 1.4M,15.0M+] [--cases 60] [--steps 7500]
python -m studies.capacity --out studies/results/capacity

With --data it trains the missing rows (a GPU, two to three minutes a row). It prints Dice on the training cases, Dice
on held-out cases and the gap between them, and plots both against the number of parameters. The cohort has sixty cases,
because a run of minutes is too short to memorise more.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from insula.config import AttentionUNet, AugmentConfig, Recipe
from insula.report.chart import ACCENT, LESION, chart
from insula.stats import Interval
from studies.rows import mean_dice, read_rows, table
from studies.trial import base_recipe, open_study, run_rows, study_arguments

_WIDTHS = {"1.4M": 8, "5.7M": 16, "8.9M": 20, "15.0M": 26}
"""Channels at full resolution, doubled at each of the four stages below."""


def main() -> None:
    """Train the missing rows, then print the table and draw the figure."""
    parser = study_arguments(__doc__)
    parser.set_defaults(cases=60, held_out=60)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.data is not None:
        base = base_recipe(arguments)
        run_rows(_recipes(base), arguments, open_study(arguments, base))
    trials = read_rows(arguments.out, [name for size in _WIDTHS for name in (size, f"{size}+")])
    print(_table(trials))
    (arguments.out / "capacity.svg").write_text(_draw(trials), encoding="utf-8")


def _recipes(base: Recipe) -> dict[str, Recipe]:
    rows = {}
    for size, first in _WIDTHS.items():
        assert isinstance(base.model, AttentionUNet)
        model = replace(base.model, widths=tuple(first * 2**n for n in range(5)))
        rows[size] = replace(base, model=model)
        rows[f"{size}+"] = replace(base, model=model, augment=AugmentConfig())
    return rows


def _gap(trial: dict[str, Any]) -> tuple[Interval, Interval, float]:
    own, other = (mean_dice([case for case in trial[part] if case["voxels"]]) for part in ("train", "held_out"))
    return own, other, own.value - other.value


def _table(trials: dict[str, dict[str, Any]]) -> str:
    head = ["parameters [M]", "augmentation", "Dice, training cases", "Dice, held-out cases", "gap"]
    rows = []
    for name, trial in trials.items():
        own, other, gap = _gap(trial)
        augmented = "yes" if name.endswith("+") else "no"
        rows.append([f"{trial['parameters'] / 1e6:.1f}", augmented, str(own), str(other), f"{gap:+.3f}"])
    return table(head, rows)


def _draw(trials: dict[str, dict[str, Any]]) -> str:
    with chart() as figure:
        for augmented, colour in ((False, LESION), (True, ACCENT)):
            some = [trial for name, trial in trials.items() if name.endswith("+") == augmented]
            x = [trial["parameters"] / 1e6 for trial in some]
            own, other = zip(*(_gap(trial)[:2] for trial in some), strict=True) if some else ((), ())
            label = "with augmentation" if augmented else "without"
            figure.axes.plot(
                x, [v.value for v in own], marker="o", ms=3, ls="--", color=colour, label=f"{label}, training cases"
            )
            low, high = (
                [0 if v.low is None else abs(v.value - getattr(v, end)) for v in other] for end in ("low", "high")
            )
            figure.axes.errorbar(
                x,
                [v.value for v in other],
                yerr=[low, high],
                marker="o",
                ms=3,
                capsize=2,
                color=colour,
                label=f"{label}, held out",
            )
        figure.axes.set_xlabel("parameters [M]")
        figure.axes.set_ylabel("mean Dice")
        figure.axes.set_ylim(0, 1)
        figure.axes.legend(fontsize=7)
    return figure.svg


if __name__ == "__main__":
    main()
