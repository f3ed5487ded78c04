"""One training run and its scores: the unit that the ablation, the capacity study and others consist of.

A trial trains a recipe on a simulated cohort with the product's own trainer, segments that cohort and a held-out one
(other hosts, other outlines), scores every case and writes one JSON. The cost of a model (step, whole volume, memory)
is measured separately, once for each model. A trial that has its JSON is not run again, so an interrupted study
resumes.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from insula.checkpoint import Weights, load_weights
from insula.config import AugmentConfig, Recipe, load_recipe, to_dict
from insula.infer import choose_device
from insula.io import write_json
from insula.losses import compound
from insula.metrics import SIZE_BINS, dice_score, match_lesions, size_bin
from insula.models import build_model, probabilities
from insula.report import current_lines, read_log
from insula.store import CaseSet
from insula.synthetic import Part, load_sources
from insula.train import HeadStream, train
from insula.train.loop import Progress
from insula.train.teacher import Teacher
from insula.types import Shape
from studies.clock import machine, seconds_of, training_step
from studies.windows import windowed_logits

NO_AUGMENTATION = AugmentConfig(deform_fraction=0, scan_fraction=0, strip_fraction=0, graft_fraction=0)
_COHORT_SEED = 655
_EMA = 0.995  # suits a short run
_WARM, _TIMED = 5, 15
_STEADY = 5  # reports of twenty steps
_SETTLED_STEPS, _SETTLED_SECONDS = 1000, 60.0
_LEAST_STEPS = 300  # a run logs every twentieth step, and its pace is read from the last fifth of them


@dataclass(frozen=True)
class Study:
    """Cohorts and device that all trials of a study share."""

    train: CaseSet
    held_out: CaseSet
    device: torch.device
    windows: bool = False
    """Judge held-out cases in windows of the crops' size too, which takes as long as training."""

    @property
    def seen(self) -> CaseSet:
        """The training cases to judge: as many as there are held-out ones."""
        n, cases = len(self.held_out), self.train
        return replace(cases, names=cases.names[:n], images=cases.images[:n], masks=cases.masks[:n])

    @property
    def fingerprint(self) -> str:
        """Fingerprint of both cohorts."""
        return f"{self.train.fingerprint}; {self.held_out.fingerprint}"


def study_arguments(about: str | None) -> argparse.ArgumentParser:
    """The command-line options that studies share."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, help="the folder of hosts, label maps and outlines; without it, only the table"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--rows", help="names of the rows to run, joined by commas; default: all")
    parser.add_argument("--minutes", type=float, default=math.inf, help="start no row that would end later than this")
    parser.add_argument("--steps", type=_steps, default=7500)
    parser.add_argument("--cases", type=int, default=300, help="number of cases to train on")
    parser.add_argument(
        "--held-out", type=int, default=100, help="number of cases to judge on; as many training cases are judged"
    )
    parser.add_argument(
        "--whole", type=float, default=0.0, help="share of steps that train on a whole head instead of crops"
    )
    parser.add_argument(
        "--windows", action="store_true", help="judge held-out cases in windows of the crops' size as well"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    return parser


def _steps(text: str) -> int:
    if int(text) < _LEAST_STEPS:
        raise argparse.ArgumentTypeError(f"at least {_LEAST_STEPS}, or there is no time of a step to be read off")
    return int(text)


def base_recipe(arguments: argparse.Namespace) -> Recipe:
    """The baseline on a cohort, without augmentation, for the study's steps and seed.

    It differs from the recipe in its four larger crops a step, in not being compiled (compiling takes longer than it
    saves here), and in a cohort like ATLAS: mostly chronic lesions, real heads, few controls.
    """
    recipe = load_recipe(Path(__file__).parents[1] / "recipes" / "cohort.toml", ())
    options = replace(
        recipe.train,
        steps=arguments.steps,
        seed=arguments.seed,
        device=arguments.device,
        batch=4,
        crop=(96, 96, 96),
        whole_fraction=arguments.whole,
        lr=5e-4,
        losses=((1.0, "dice"), (1.0, "cross_entropy")),
        ema=_EMA,
        save_minutes=1e9,
        compile=False,
    )
    simulate = replace(
        recipe.simulate,
        chronic_fraction=0.9,
        control_fraction=0.05,
        painted_fraction=0.0,
        small_fraction=0.25,
        most_lesions=3,
        further_lesion_fraction=0.25,
        blend_fraction=0.3,
        shift_mm=14,
    )
    return replace(recipe, name="baseline", train=options, simulate=simulate, augment=NO_AUGMENTATION)


def open_study(arguments: argparse.Namespace, recipe: Recipe) -> Study:
    """Simulate both cohorts; equal arguments give equal cohorts."""
    device = choose_device(arguments.device)
    training = _cohort(arguments.data, "train", arguments.cases, recipe, device)
    held_out = _cohort(arguments.data, "test", arguments.held_out, recipe, device)
    return Study(training, held_out, device, windows=arguments.windows)


def _cohort(data: Path, part: Part, count: int, recipe: Recipe, device: torch.device) -> CaseSet:
    sources = load_sources(data, part=part, box=recipe.prepare.box)
    return HeadStream(sources, recipe, device=device).cases(count, seed=_COHORT_SEED)


def run_trial(
    name: str, recipe: Recipe, study: Study, out: Path, *, start: Weights | None = None, sitting: float = 0.0
) -> dict[str, Any]:
    """Train and score a recipe, or read the result of an earlier call.

    With a `sitting`, training stops after that many minutes (Preempted) and the next call resumes it.
    """
    path = out / f"{name}.json"
    if path.exists():
        trial = json.loads(path.read_text(encoding="utf-8"))
        if (trial.get("recipe"), trial.get("cohorts")) != (to_dict(recipe), study.fingerprint):
            sys.exit(f"{path} was run with other settings; take another --out")
        return trial
    folder = out / "runs" / name
    if sitting:
        folder.mkdir(parents=True, exist_ok=True)
    else:
        _empty(folder)
    print(f"{name}: {recipe.train.steps} steps ...", flush=True)
    in_parts = replace(recipe, train=replace(recipe.train, minutes=sitting))
    train(in_parts, study.train, folder, start=start, resume=bool(sitting))
    weights = load_weights(str(folder / f"{recipe.name}.json"))
    trial = judge(
        name, weights, to_dict(recipe), study, _losses(folder), window=recipe.train.crop if study.windows else None
    )
    if start is not None:
        trial["before"] = trained_before({"started_from": start.card.provenance})
    write_json(path, trial)
    _forget()
    mean = statistics.mean(case["dice"] for case in trial["held_out"])
    own = statistics.mean(case["dice"] for case in trial["train"])
    print(f"{name}: {trial['minutes']:.1f} min, held-out Dice {mean:.3f}, train {own:.3f}", flush=True)
    return trial


def trained_before(provenance: Mapping[str, Any]) -> dict[str, float]:
    """Total steps and minutes of the runs that a run was continued from."""
    totals = {"steps": 0, "minutes": 0.0}
    while provenance := provenance.get("started_from", {}):
        totals = {key: totals[key] + provenance.get(key, 0) for key in totals}
    return totals


def judge(
    name: str,
    weights: Weights,
    recipe: dict[str, Any],
    study: Study,
    losses: list[list[float]],
    *,
    window: Shape | None = None,
) -> dict[str, Any]:
    """Scores of trained weights on the training and the held-out cohort; minutes from the log, or else from the card.

    For an ensemble, the mean of its networks is judged; it has no training time, and takes no windows.
    """
    for network, _ in weights.networks:
        network.to(study.device).eval()
    single = len(weights.networks) == 1
    answer = partial(lesion_answer, weights.model) if single else _mean_answer(Teacher(weights, study.device))
    return {
        "name": name,
        "cases": len(study.train),
        "recipe": recipe,
        "cohorts": study.fingerprint,
        "losses": losses,
        "minutes": losses[-1][2] / 60 if losses else weights.card.provenance.get("minutes", 0.0),
        "parameters": sum(p.numel() for network, _ in weights.networks for p in network.parameters()),
        **machine(study.device),
        "train": score(answer, study.seen, study.device),
        "held_out": score(answer, study.held_out, study.device, window=window),
    }


def _mean_answer(ensemble: Teacher) -> Callable[[Tensor], Tensor]:
    def answer(image: Tensor) -> Tensor:
        return ensemble(image, torch.bfloat16 if image.is_cuda else torch.float32) - 0.5

    return answer


def _losses(folder: Path) -> list[list[float]]:
    """Step, loss and elapsed seconds of every twentieth step whose loss was finite, over all sittings."""
    lines = current_lines(read_log(folder))
    return [[line["step"], loss, round(line["seconds"], 2)] for line in lines if (loss := line["loss"]) is not None]


def _empty(folder: Path) -> None:
    """An empty folder for a run, without the remains of an interrupted one."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def step_ms(losses: list[list[float]]) -> float:
    """Median milliseconds of a step with its data, from a log of (step, loss, seconds); the slow start is left out."""
    paces = [(t - s) / (n - m) for (m, _, s), (n, _, t) in pairwise(losses)]
    return 1000 * statistics.median(paces[1:])


class _Steady(Exception):
    """Stops a run whose pace is known."""


def probe(recipe: Recipe, study: Study, folder: Path) -> float:
    """Milliseconds of a step once its pace has settled: after a thousand steps, or a minute of them.

    The first few hundred steps have to measure cases they meet for the first time, and are far slower. The result is
    stored in the folder and read from there by later calls.
    """
    kept = folder / "pace.json"
    if kept.exists():
        return json.loads(kept.read_text(encoding="utf-8"))["step_ms"]
    losses: list[list[float]] = []

    def report(progress: Progress) -> None:
        losses.append([progress.step, progress.loss, progress.seconds])
        settled = progress.step >= _SETTLED_STEPS or progress.seconds - losses[0][2] > _SETTLED_SECONDS
        if settled and len(losses) > _STEADY:
            raise _Steady

    _empty(folder)
    with suppress(_Steady):
        train(recipe, study.train, folder, report=report)
    pace = step_ms(losses[-1 - _STEADY :])
    write_json(kept, {"step_ms": pace})
    return pace


def forward(model: nn.Module, image: Tensor) -> Tensor:
    """Logits of one normalised volume, as training computes them."""
    with torch.autocast(image.device.type, dtype=torch.bfloat16, enabled=image.device.type == "cuda"):
        return model(image.contiguous(memory_format=torch.channels_last_3d)).float()


def lesion_answer(model: nn.Module, image: Tensor) -> Tensor:
    """Positive where a network sees a lesion, within the brain if it has that output."""
    return probabilities(forward(model, image))[:, :1] - 0.5


def score(
    answer: Callable[[Tensor], Tensor], cases: CaseSet, device: torch.device, *, window: Shape | None = None
) -> list[dict[str, Any]]:
    """Dice and detected lesions by size, lesion being where the answer is above 0; with a `window`, in windows too."""

    def case_row(n: int, predicted: np.ndarray, in_windows: np.ndarray | None = None) -> dict[str, Any]:
        truth = cases.masks[n].cpu().numpy()
        match = match_lesions(truth, predicted)
        by_size = {name: [0, 0] for name in SIZE_BINS}
        for size, touched in zip(match.truth_sizes.tolist(), match.truth_touched.tolist(), strict=True):
            by_size[size_bin(size)][0] += touched
            by_size[size_bin(size)][1] += 1
        return {
            "case": cases.names[n],
            "host": cases.names[n].partition(" ")[2],
            "voxels": int(truth.sum()),
            "predicted": int(predicted.sum()),
            "dice": dice_score(truth, predicted),
            "dice_windows": None if in_windows is None else dice_score(truth, in_windows),
            "f1_any": match.f1_any,
            "found": by_size,
            "false_lesions": int((~match.predicted_touched).sum()),
        }

    with ThreadPoolExecutor(8) as pool, torch.inference_mode():
        jobs = []
        for n, image in enumerate(cases.images):
            whole = image.to(device).float()[None, None]
            answers = [answer(whole)]
            if window is not None:
                answers.append(windowed_logits(answer, whole, window))
            jobs.append(pool.submit(case_row, n, *((logits[0, 0] > 0).cpu().numpy() for logits in answers)))
        return [job.result() for job in jobs]


def measure_cost(name: str, recipe: Recipe, study: Study, out: Path) -> dict[str, Any]:
    """Milliseconds of a training step without its data and of inference, and the peak memory of each [GiB].

    Measured on a whole volume, bfloat16 on a GPU, not compiled.
    """
    path = out / f"cost-{name}.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    device = study.device
    torch.manual_seed(0)
    model = build_model(recipe.model).to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    image = study.train.images[0].to(device).float()[None, None].contiguous(memory_format=torch.channels_last_3d)
    truth = study.train.masks[0].to(device).float()[None, None]
    step, optimiser = training_step(model, model.outputs, compound(recipe.train.losses), image, truth)
    step_ms, step_gib = _time(step, study)
    optimiser.zero_grad(set_to_none=True)
    optimiser.state.clear()  # inference holds neither gradients nor moments
    model.eval()

    def volume() -> None:
        with torch.inference_mode():
            forward(model, image)

    volume_ms, volume_gib = _time(volume, study)
    cost = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "step_ms": step_ms,
        "step_gib": step_gib,
        "volume_ms": volume_ms,
        "volume_gib": volume_gib,
        **machine(device),
    }
    write_json(path, cost)
    print(
        f"{name}: step {step_ms:.1f} ms, {step_gib:.2f} GiB; volume {volume_ms:.1f} ms, {volume_gib:.2f} GiB",
        flush=True,
    )
    return cost


def _forget() -> None:
    """Drop compiled code: torch keeps it for a few networks only, and every study has more."""
    torch.compiler.reset()
    gc.collect()


def _time(work: Callable[[], None], study: Study) -> tuple[float, float]:
    cuda = study.device.type == "cuda"
    gc.collect()
    times, peak = seconds_of(work, study.device, warm=_WARM if cuda else 1, repeats=_TIMED if cuda else 1)
    cohorts = sum(x.nbytes for cases in (study.train, study.held_out) for x in (*cases.images, *cases.masks))
    return 1000 * statistics.median(times), (peak - cohorts) / 2**30 if cuda else 0.0


def run_rows(rows: Mapping[str, Recipe], arguments: argparse.Namespace, study: Study) -> None:
    """Run the rows named in the arguments; start none that would not end within `--minutes`."""
    begun, longest = time.monotonic(), 0.0
    for name in arguments.rows.split(",") if arguments.rows else rows:
        if time.monotonic() - begun + longest > 60 * arguments.minutes:
            print(f"{name} is left for another time", flush=True)
            continue
        started = time.monotonic()
        run_trial(name, rows[name], study, arguments.out)
        longest = max(longest, time.monotonic() - started)
