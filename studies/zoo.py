"""What the models reach when each is trained for the same GPU minutes on one large simulated cohort.

python -m studies.zoo --data DATA --out studies/results/zoo [--rows baseline,smart] [--train-minutes 7]
    [--start FOLDER] [--compile] [--sitting 8]
python -m studies.zoo --out studies/results/zoo

With --data it trains the missing rows (a GPU), from the weights NAME.json in the folder --start if given, and leaves
the weights in OUT/runs. With --sitting it stops after so many minutes and resumes in the next call. The models are
those of `recipes/`, beside nnU-Net's plain network of 31 M. They are judged on heads and outlines that none was trained
on, at a threshold of a half; every row is compared with another of ours and with the 31 M network, case by case. With
--bundled it judges the bundled weights instead of training; the cohort must be the one that their cards name.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from insula.checkpoint import load_weights
from insula.config import AttentionUNet, ModelConfig, PlainUNet, Recipe, SimulateConfig, load_recipe
from insula.errors import Preempted
from insula.io import write_json
from insula.metrics import SIZE_BINS
from studies.rows import compared, difference_cells, lesions_found, mean_dice, median_dice, read_rows, table
from studies.trial import Study, judge, open_study, probe, run_trial, step_ms, study_arguments, trained_before

SIMULATE = SimulateConfig(
    control_fraction=0.1,
    chronic_fraction=0.9,
    painted_fraction=0.25,
    blend_fraction=0.3,
    small_fraction=0.35,
    most_lesions=4,
    further_lesion_fraction=0.35,
    shift_mm=10,
)
_RECIPES = {
    "baseline": "cohort",
    "enhanced": "enhanced",
    "smart": "smart",
    "fine": "cohort",
    "large": "large",
    "large-finetune": "large-finetune",
}
_LABELS = {
    "baseline": "baseline (`attention_unet`)",
    "enhanced": "enhanced (`se_unet`)",
    "smart": "smart (`mamba_unet`)",
    "fine": "baseline with a stage at full resolution",
    "large": "15 M (`swin_unet`)",
    "large-finetune": "15 M, fine-tuned",
    "plain": "nnU-Net-style 31 M (`plain_unet`)",
}
_ABOVE = {"enhanced": "baseline", "smart": "enhanced", "fine": "baseline", "large": "smart", "large-finetune": "large"}
"""The row that each row is compared with, beside the 31 M network."""
_AFTER = {"large-finetune": "large"}
"""Rows that continue from another's weights for a third of the minutes, as their recipe has a third of the steps."""


def main() -> None:
    """Run the missing rows, then print the table."""
    parser = study_arguments(__doc__)
    parser.set_defaults(cases=600)
    parser.add_argument("--train-minutes", type=float, default=7, help="training time of every row")
    parser.add_argument("--bundled", action="store_true", help="judge the bundled weights of the rows; train nothing")
    parser.add_argument("--start", type=Path, help="folder of weights to continue from")
    parser.add_argument("--compile", action="store_true", help="worth it in long runs")
    parser.add_argument("--sitting", type=float, default=0, help="minutes of training in this call; 0: no limit")
    arguments = parser.parse_args()
    if arguments.data is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        rows = arguments.rows.split(",") if arguments.rows else list(_LABELS)
        study = open_study(arguments, _recipe("baseline", arguments))
        for row in rows:
            recipe = _recipe(row, arguments)
            if arguments.bundled:
                write_json(arguments.out / f"{row}.json", _bundled(row, study))
            elif not (arguments.out / f"{row}.json").exists():
                before = _AFTER.get(row)
                pace = probe(recipe, study, arguments.out / "runs" / f"probe-{before or row}")
                minutes = arguments.train_minutes / (3 if before else 1)
                recipe = replace(recipe, train=replace(recipe.train, steps=round(60_000 * minutes / pace)))
                start = (
                    arguments.out / "runs" / before / before if before else arguments.start and arguments.start / row
                )
                weights = load_weights(f"{start}.json") if start else None
                try:
                    run_trial(row, recipe, study, arguments.out, start=weights, sitting=arguments.sitting)
                except Preempted as stopped:
                    print(f"{row}: {stopped}", flush=True)
    print(_table(arguments.out))


def _bundled(row: str, study: Study) -> dict[str, Any]:
    """Scores of the bundled weights on both cohorts; recipe and training time come from their card."""
    weights = load_weights(row)
    provenance = weights.card.provenance
    if provenance["cases_sha256"] != study.train.fingerprint:
        sys.exit(f"{row} was trained on another cohort than this one; --cases {provenance['cases']}?")
    trial = judge(row, weights, provenance["recipe"], study, [])
    return trial | {"before": trained_before(provenance)}


def _recipe(row: str, arguments: argparse.Namespace) -> Recipe:
    """Recipe of `recipes/` on this study's cohort, with crops around small lesions as well as large ones."""
    path = Path(__file__).parents[1] / "recipes" / f"{_RECIPES.get(row, 'cohort')}.toml"
    recipe = load_recipe(path, ())
    train = replace(recipe.train, compile=arguments.compile, focus="lesion", seed=arguments.seed, save_minutes=4)
    if row == "plain":
        train = replace(train, batch=4, crop=(96, 96, 96), lr=1e-3)
    models: dict[str, ModelConfig] = {"plain": PlainUNet(), "fine": AttentionUNet(stem="full")}
    return replace(recipe, name=row, model=models.get(row, recipe.model), train=train, simulate=SIMULATE)


def _table(out: Path) -> str:
    trials = read_rows(out, _LABELS)
    lesions = {name: {"held_out": [c for c in trial["held_out"] if c["voxels"]]} for name, trial in trials.items()}
    above = compared(lesions, _ABOVE)
    plain = compared(lesions, {name: "plain" for name in trials if name != "plain"})
    head = [
        "",
        "parameters [M]",
        "steps",
        "minutes",
        "n",
        "Dice, mean [95 %]",
        "median",
        "against",
        "difference",
        "p (Holm)",
        "against the 31 M network",
        "p (Holm)",
        *(f"found: {name}" for name in SIZE_BINS),
        "false lesions a case",
        "controls: false volume, median, most [ml]",
        "on its own cases",
    ]
    rows = []
    for name, trial in trials.items():
        cases = lesions[name]["held_out"]
        mean, median = mean_dice(cases), median_dice(cases)
        false = statistics.mean(case["false_lesions"] for case in trial["held_out"])
        controls = [case["predicted"] / 1000 for case in trial["held_out"] if not case["voxels"]]
        pairs = [cell for side in (above, plain) for cell in difference_cells(side.get(name))]
        volumes = f"{statistics.median(controls):.2f}, {max(controls):.1f} (n = {len(controls)})" if controls else "-"
        own = statistics.mean(case["dice"] for case in trial["train"] if case["voxels"])
        before = trial.get("before", {"steps": 0, "minutes": 0})
        steps, minutes = before["steps"] + trial["recipe"]["train"]["steps"], before["minutes"] + trial["minutes"]
        cells = [
            _LABELS[name],
            f"{trial['parameters'] / 1e6:.1f}",
            str(steps),
            f"{minutes:.1f}",
            str(len(cases)),
            mean.cell(),
            f"{median.value:.3f}",
            _ABOVE.get(name, "-"),
            *pairs,
            *(lesions_found(cases, (size,)) for size in SIZE_BINS),
            f"{false:.1f}",
            volumes,
            f"{own:.3f}",
        ]
        rows.append(cells)
    lines = [table(head, rows)]
    if trials:
        first = next(iter(trials.values()))
        heads = len({case["host"] for case in first["held_out"]})
        paces = ", ".join(f"{name} {step_ms(trial['losses']):.0f}" for name, trial in trials.items() if trial["losses"])
        lines += [
            "",
            f"{first['cases']} simulated heads to train on, augmented; {len(first['held_out'])} held out, of {heads} "
            f"other heads, controls among them; threshold 0.5; a step with its data takes [ms]: {paces}; seed "
            f"{first['recipe']['train']['seed']}, {first['device']}, torch {first['torch']}.",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
