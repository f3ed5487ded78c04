"""What the models reach when each is trained for the same GPU minutes on one large simulated cohort.

python -m studies.zoo --data DATA --out studies/results/zoo [--rows baseline,smart] [--train-minutes 7] [--start FOLDER] [--compile] [--sitting 8]
python -m studies.zoo --out studies/results/zoo

With --data it trains what is missing (a GPU), from the weights NAME.json in the folder --start if given, and leaves the weights in the
folder runs. With --sitting it stops after so many minutes and goes on when called again. The models are those of `recipes/`;
beside them stands nnU-Net's plain network of 31 M. Judged on heads and outlines that none has seen, at a threshold of a half; every
row is compared with another of ours and with the 31 M network, case by case. With --bundled it judges the bundled weights of the rows instead
of training: on the very cohort that their cards name, or not at all.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from insula.checkpoint import load_weights
from insula.config import AttentionUNet, PlainUNet, Recipe, SimulateConfig, load_recipe
from insula.errors import Preempted
from insula.io import write_json
from insula.metrics import SIZE_BINS
from studies.rows import compared, lesions_found, mean_dice, median_dice, read_rows, told
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
_SAYS = {
    "baseline": "baseline (`attention_unet`)",
    "enhanced": "enhanced (`se_unet`)",
    "smart": "smart (`mamba_unet`)",
    "fine": "baseline with a stage at full resolution",
    "large": "15 M (`swin_unet`)",
    "large-finetune": "15 M, fine-tuned",
    "plain": "nnU-Net-style 31 M (`plain_unet`)",
}
_ABOVE = {"enhanced": "baseline", "smart": "enhanced", "fine": "baseline", "large": "smart", "large-finetune": "large"}
"""What each row is compared with, beside the 31 M network."""
_AFTER = {"large-finetune": "large"}
"""Rows that go on from the weights of another, with a third of its minutes, as their recipe has a third of the steps."""


def main() -> None:
    """Run what is missing, then print the table."""
    parser = study_arguments(__doc__)
    parser.set_defaults(cases=600)
    parser.add_argument("--train-minutes", type=float, default=7, help="of the steps of every row")
    parser.add_argument("--bundled", action="store_true", help="judge the bundled weights of these rows, train nothing")
    parser.add_argument("--start", type=Path, help="a folder of weights to go on from")
    parser.add_argument("--compile", action="store_true", help="pays in long runs")
    parser.add_argument("--sitting", type=float, default=0, help="minutes of training in this call; 0 for no limit")
    arguments = parser.parse_args()
    if arguments.data is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        rows = arguments.rows.split(",") if arguments.rows else list(_SAYS)
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
    """The bundled weights on both cohorts; of their training, what their card says."""
    weights = load_weights(row)
    told = weights.card.provenance
    if told["cases_sha256"] != study.train.fingerprint:
        sys.exit(f"{row} was trained on another cohort than this one; --cases {told['cases']}?")
    found = judge(row, weights, told["recipe"], study, [])
    return found | {"before": trained_before(told)}


def _recipe(row: str, arguments: argparse.Namespace) -> Recipe:
    """As in `recipes/`, compiled only if asked, with crops around small lesions as well as large ones, and on this cohort."""
    path = Path(__file__).parents[1] / "recipes" / f"{_RECIPES.get(row, 'cohort')}.toml"
    recipe = load_recipe(path, ())
    train = replace(recipe.train, compile=arguments.compile, focus="lesion", seed=arguments.seed, save_minutes=4)
    if row == "plain":
        train = replace(train, batch=4, crop=(96, 96, 96), lr=1e-3)
    model = {"plain": PlainUNet(), "fine": AttentionUNet(norm="batch")}.get(row, recipe.model)
    return replace(recipe, name=row, model=model, train=train, simulate=SIMULATE)


def _table(out: Path) -> str:
    found = read_rows(out, _SAYS)
    lesions = {name: {"held_out": [c for c in trial["held_out"] if c["voxels"]]} for name, trial in found.items()}
    above = compared(lesions, _ABOVE)
    plain = compared(lesions, {name: "plain" for name in found if name != "plain"})
    lines = [
        "| | parameters [M] | steps | minutes | n | Dice, mean [95 %] | median | against | difference | p (Holm) | against the 31 M network | p (Holm) | "
        f"{' | '.join(f'found: {name}' for name in SIZE_BINS)} | false lesions a case | controls: false volume, median, most [ml] | on its own cases |",
        f"|{'---|' * (15 + len(SIZE_BINS))}",
    ]
    for name, trial in found.items():
        cases = lesions[name]["held_out"]
        mean, median = mean_dice(cases), median_dice(cases)
        false = statistics.mean(case["false_lesions"] for case in trial["held_out"])
        controls = [case["predicted"] / 1000 for case in trial["held_out"] if not case["voxels"]]
        pairs = [cell for side in (above, plain) for cell in told(side.get(name))]
        volumes = f"{statistics.median(controls):.2f}, {max(controls):.1f} (n = {len(controls)})" if controls else "-"
        own = statistics.mean(case["dice"] for case in trial["train"] if case["voxels"])
        before = trial.get("before", {"steps": 0, "minutes": 0})
        steps, minutes = before["steps"] + trial["recipe"]["train"]["steps"], before["minutes"] + trial["minutes"]
        cells = [
            _SAYS[name],
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
        lines.append(f"| {' | '.join(cells)} |")
    if found:
        one = next(iter(found.values()))
        heads = len({case["host"] for case in one["held_out"]})
        paces = ", ".join(f"{name} {step_ms(trial['losses']):.0f}" for name, trial in found.items() if trial["losses"])
        lines += [
            "",
            f"{one['cases']} simulated heads to train on, augmented; {len(one['held_out'])} held out, of {heads} other heads, controls among them; "
            f"threshold 0.5; a step with its data takes [ms]: {paces}; seed {one['recipe']['train']['seed']}, {one['device']}, torch {one['torch']}.",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
