"""How much of an ensemble fits into one network: mean of weights, and distillation, against the ensemble itself.

python -m studies.one_model --data DATA --out studies/results/one-model --cases 1000 [--rows longer,distilled]
    [--minutes-each 9] [--compile]
python -m studies.one_model --out studies/results/one-model

Two runs continue from the bundled enhanced weights for the same minutes on the cohort of `studies/zoo.py`: one learns
from the truth alone, one takes half of its loss from the ensemble's answers (recipes/distil.toml). Soups are means of
weights: of each two of these networks and of all three. The figures in the documentation are those of the enhanced
weights and the ensemble bundled before "longer" replaced them (revision 3398fe0). All are judged on heads and outlines
that no network was trained on, at a threshold of a half, and compared with the ensemble and the start, case by case.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

from insula.checkpoint import load_weights, save_weights, soup
from insula.config import Recipe, load_recipe
from insula.io import write_json
from insula.metrics import SIZE_BINS
from studies.rows import compared, difference_cells, lesions_found, mean_dice, median_dice, read_rows, table
from studies.trial import Study, judge, open_study, probe, run_trial, study_arguments
from studies.zoo import SIMULATE

_START, _ALL = "enhanced", "ensemble"
_TRAINED = ("longer", "distilled")
_SOUPS = {
    "start + longer": (_START, "longer"),
    "start + distilled": (_START, "distilled"),
    "longer + distilled": ("longer", "distilled"),
    "all three": (_START, "longer", "distilled"),
}
_LABELS = {
    _START: "enhanced, as bundled: the start",
    "baseline": "baseline, as bundled",
    "smart": "smart, as bundled",
    _ALL: "ensemble of these three",
    "longer": "the start, trained on by the truth",
    "distilled": "the start, trained on by truth and ensemble",
    **{name: f"mean of the weights: {name}" for name in _SOUPS},
}


def main() -> None:
    """Run the missing rows, then print the table."""
    parser = study_arguments(__doc__)
    parser.set_defaults(cases=1000)
    parser.add_argument("--minutes-each", type=float, default=9, help="training time of each of the two runs")
    parser.add_argument("--compile", action="store_true", help="worth it in long runs")
    arguments = parser.parse_args()
    if arguments.data is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        rows = arguments.rows.split(",") if arguments.rows else list(_LABELS)
        study = open_study(arguments, _recipe("longer", arguments))
        for row in rows:
            if not (arguments.out / f"{row}.json").exists():
                _run_row(row, study, arguments)
    print(_table(arguments.out))


def _run_row(row: str, study: Study, arguments: argparse.Namespace) -> None:
    recipe, out = _recipe(row, arguments), arguments.out
    if row in _TRAINED:
        pace = probe(recipe, study, out / "runs" / f"probe-{row}")
        train = replace(recipe.train, steps=round(60_000 * arguments.minutes_each / pace))
        run_trial(row, replace(recipe, train=train), study, out, start=load_weights(_START))
    elif row in _SOUPS:
        weights = soup([load_weights(_named(part, out)) for part in _SOUPS[row]], row.replace(" ", ""))
        write_json(out / f"{row}.json", judge(row, weights, {}, study, []))
        kept = out / "runs" / weights.card.name
        kept.mkdir(parents=True, exist_ok=True)
        save_weights(kept, weights.model, weights.card)
    else:
        weights = load_weights(row)
        write_json(out / f"{row}.json", judge(row, weights, {}, study, []))


def _named(part: str, out: Path) -> str:
    return str(out / "runs" / part / f"{part}.json") if part in _TRAINED else part


def _recipe(row: str, arguments: argparse.Namespace) -> Recipe:
    recipe = load_recipe(Path(__file__).parents[1] / "recipes" / "distil.toml", ())
    train = replace(
        recipe.train,
        compile=arguments.compile,
        focus="lesion",
        seed=arguments.seed,
        save_minutes=4,
        teacher=recipe.train.teacher if row == "distilled" else "",
    )
    return replace(recipe, name=row, train=train, simulate=SIMULATE)


def _table(out: Path) -> str:
    trials = read_rows(out, _LABELS)
    lesions = {name: {"held_out": [c for c in trial["held_out"] if c["voxels"]]} for name, trial in trials.items()}
    with_all = compared(lesions, {name: _ALL for name in trials if name != _ALL})
    with_start = compared(lesions, {name: _START for name in trials if name != _START})
    head = [
        "",
        "networks to run",
        "n",
        "Dice, mean [95 %]",
        "median",
        "against the ensemble",
        "p (Holm)",
        "against the start",
        "p (Holm)",
        *(f"found: {name}" for name in SIZE_BINS),
        "false lesions a case",
        "on its own cases",
    ]
    lines = []
    for name, trial in trials.items():
        cases = lesions[name]["held_out"]
        mean, median = mean_dice(cases), median_dice(cases)
        false = statistics.mean(case["false_lesions"] for case in trial["held_out"])
        own = statistics.mean(case["dice"] for case in trial["train"] if case["voxels"])
        pairs = [cell for side in (with_all, with_start) for cell in difference_cells(side.get(name))]
        lines.append(
            [
                _LABELS[name],
                "3" if name == _ALL else "1",
                str(len(cases)),
                mean.cell(),
                f"{median.value:.3f}",
                *pairs,
                *(lesions_found(cases, (size,)) for size in SIZE_BINS),
                f"{false:.1f}",
                f"{own:.3f}",
            ]
        )
    runs = [
        f"{name}: {trials[name]['recipe']['train']['steps']} steps, {trials[name]['minutes']:.1f} minutes"
        for name in _TRAINED
        if name in trials
    ]
    first: dict[str, Any] = next(iter(trials.values()), {})
    machine = f"{first.get('device')}, torch {first.get('torch')}"
    return "\n".join([table(head, lines), "", f"{'; '.join(runs)}; {machine}."])


if __name__ == "__main__":
    main()
