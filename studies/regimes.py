"""What a short training is most sensitive to: the baseline on one cohort, one thing changed at a time.

python -m studies.regimes --data DATA --out studies/results/regimes [--rows rate,small_crops] [--steps 7000] [--seed 0]
python -m studies.regimes --out studies/results/regimes

With --data it trains the missing rows (a GPU, one to two minutes a row). Every row is compared with the first, case by
case.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path

from insula.config import AttentionUNet, ModelConfig, PlainUNet, Recipe
from studies.rows import compared, difference_cells, mean_dice, read_rows, table
from studies.trial import base_recipe, open_study, run_rows, step_ms, study_arguments

_LABELS = {
    "start": "four crops of 96^3, rate 2e-3, Dice + 5 x cross-entropy, batch norm",
    "mixed": "a whole head instead in every tenth step",
    "rate": "rate 5e-4",
    "instance": "instance norm",
    "even": "Dice + cross-entropy, as much of either",
    "small_crops": "twelve crops of 64^3",
    "plain": "nnU-Net-style 31 M, rate 1e-3, a third of the steps",
}


def main() -> None:
    """Train the missing rows, then print the table."""
    parser = study_arguments(__doc__)
    parser.set_defaults(steps=7000)
    arguments = parser.parse_args()
    if arguments.data is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        base = base_recipe(arguments)
        run_rows(_recipes(base), arguments, open_study(arguments, base))
    print(_table(arguments.out))


def _recipes(base: Recipe) -> dict[str, Recipe]:
    start = replace(base.train, lr=2e-3, losses=((1.0, "dice"), (5.0, "cross_entropy")), whole_fraction=0.0)
    assert isinstance(base.model, AttentionUNet)
    changes = {
        "start": start,
        "mixed": replace(start, whole_fraction=0.1),
        "rate": replace(start, lr=5e-4),
        "instance": start,
        "even": replace(start, losses=((1.0, "dice"), (1.0, "cross_entropy"))),
        "small_crops": replace(start, batch=12, crop=(64, 64, 64)),
        "plain": replace(start, lr=1e-3, steps=round(0.34 * start.steps)),
    }
    models: dict[str, ModelConfig] = {"instance": replace(base.model, norm="instance"), "plain": PlainUNet()}
    return {name: replace(base, train=change, model=models.get(name, base.model)) for name, change in changes.items()}


def _table(out: Path) -> str:
    trials = read_rows(out, _LABELS)
    pairs = compared(trials, {name: "start" for name in _LABELS if name != "start"})
    head = [
        "",
        "n",
        "Dice, mean [95 %]",
        "against the first row",
        "p (Holm)",
        "over 10 ml",
        "1 to 10 ml",
        "false lesions a case",
        "Dice on its own training cases",
        "a step, data and all [ms]",
    ]
    rows = []
    for name, trial in trials.items():
        cases = [case for case in trial["held_out"] if case["voxels"]]
        mean = mean_dice(cases)
        large, middle = (
            statistics.mean(case["dice"] for case in cases if low < case["voxels"] <= high)
            for low, high in ((10_000, 10**9), (1_000, 10_000))
        )
        cells = [
            _LABELS[name],
            str(len(cases)),
            mean.cell(),
            *difference_cells(pairs.get(name)),
            f"{large:.2f}",
            f"{middle:.2f}",
            f"{statistics.mean(case['false_lesions'] for case in cases):.1f}",
            f"{statistics.mean(case['dice'] for case in trial['train']):.3f}",
            f"{step_ms(trial['losses']):.0f}",
        ]
        rows.append(cells)
    where = sorted({trial["device"] for trial in trials.values()})
    return "\n".join([table(head, rows), "", f"{' and '.join(where)}; not compiled."])


if __name__ == "__main__":
    main()
