"""Does a larger network overfit? The baseline's widths scaled, with and without augmentation, on one cohort.

python -m studies.capacity --data DATA --out studies/results/capacity [--rows 1.4M,15.0M+] [--cases 60] [--steps 7500] [--seed 0]
python -m studies.capacity --out studies/results/capacity

With --data it trains what is missing (a GPU, two to three minutes a row). It prints Dice on the training cases and on
held-out ones, and the gap between them, and draws it over the number of parameters. Sixty cases, because a run of minutes
does not see enough of more to learn them by heart.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from insula.config import AttentionUNet, AugmentConfig, Recipe
from insula.report.chart import ACCENT, LESION, chart
from studies.rows import mean_dice, read_rows
from studies.trial import base_recipe, open_study, run_rows, study_arguments

_WIDTHS = {"1.4M": 8, "5.7M": 16, "8.9M": 20, "15.0M": 26}
"""Channels at full resolution, doubled at each of the four stages below."""


def main() -> None:
    """Run what is missing, then print and draw."""
    parser = study_arguments(__doc__)
    parser.set_defaults(cases=60, held_out=60)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.data is not None:
        base = base_recipe(arguments)
        run_rows(_recipes(base), arguments, open_study(arguments, base))
    found = read_rows(arguments.out, [name for size in _WIDTHS for name in (size, f"{size}+")])
    print(_table(found))
    (arguments.out / "capacity.svg").write_text(_draw(found), encoding="utf-8")


def _recipes(base: Recipe) -> dict[str, Recipe]:
    rows = {}
    for size, first in _WIDTHS.items():
        assert isinstance(base.model, AttentionUNet)
        model = replace(base.model, widths=tuple(first * 2**n for n in range(5)))
        rows[size] = replace(base, model=model)
        rows[f"{size}+"] = replace(base, model=model, augment=AugmentConfig())
    return rows


def _gap(trial: dict[str, Any]) -> tuple[Any, Any, float]:
    own, other = (mean_dice([case for case in trial[part] if case["voxels"]]) for part in ("train", "held_out"))
    return own, other, own.value - other.value


def _table(found: dict[str, dict[str, Any]]) -> str:
    lines = [
        "| parameters [M] | augmentation | Dice, training cases | Dice, held-out cases | gap |",
        "|---|---|---|---|---|",
    ]
    for name, trial in found.items():
        own, other, gap = _gap(trial)
        told = "yes" if name.endswith("+") else "no"
        lines.append(f"| {trial['parameters'] / 1e6:.1f} | {told} | {own} | {other} | {gap:+.3f} |")
    return "\n".join(lines)


def _draw(found: dict[str, dict[str, Any]]) -> str:
    with chart() as made:
        for told, colour in ((False, LESION), (True, ACCENT)):
            some = [trial for name, trial in found.items() if name.endswith("+") == told]
            x = [trial["parameters"] / 1e6 for trial in some]
            own, other = zip(*(_gap(trial)[:2] for trial in some), strict=True) if some else ((), ())
            label = "with augmentation" if told else "without"
            made.axes.plot(
                x, [v.value for v in own], marker="o", ms=3, ls="--", color=colour, label=f"{label}, training cases"
            )
            low, high = (
                [0 if v.low is None else abs(v.value - getattr(v, end)) for v in other] for end in ("low", "high")
            )
            made.axes.errorbar(
                x,
                [v.value for v in other],
                yerr=[low, high],
                marker="o",
                ms=3,
                capsize=2,
                color=colour,
                label=f"{label}, held out",
            )
        made.axes.set_xlabel("parameters [M]")
        made.axes.set_ylabel("mean Dice")
        made.axes.set_ylim(0, 1)
        made.axes.legend(fontsize=7)
    return made.svg


if __name__ == "__main__":
    main()
