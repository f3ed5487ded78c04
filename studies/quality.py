"""Train the small network that detects motion and noise, and count its flags: by kind and severity, and on good heads.

    python -m studies.quality draw --data DATA --drawn FILE [--heads 2400]
    python -m studies.quality train --drawn FILE [--out src/insula/contrast/faults.safetensors]
    python -m studies.quality judge --data DATA [--mm 1] [--each 12] [--out studies/results/quality.json]

The network is trained on heads of the training part, drawn at 2 mm. Its thresholds are chosen on hosts of that part
that it was not trained on. It is judged on hosts of the validation and test parts, at 2 mm or, more slowly, at 1 mm;
then each head takes the whole way of a scan.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import save
from scipy.stats import binomtest
from torch import Tensor, nn

from insula.augment import Original
from insula.config import PrepareConfig
from insula.contrast import verdict_of
from insula.contrast.look import look_of_2mm
from insula.contrast.network import FaultNetwork
from insula.contrast.symptoms import measure_symptoms
from insula.geometry import Grid
from insula.io import write_bytes, write_json
from insula.simulate import ScannerLook
from insula.synthetic import Part
from insula.volume import Scan
from studies.arms import sources_of
from studies.contrast import verdict_of_scan
from studies.quality_heads import MOVEMENTS, Quality, draw_head
from studies.rows import table

_SEED = 40_000
_TUNING = 6
"""Every sixth host of the training part is kept to choose the thresholds."""
_CHANGED, _UNCHANGED = 0.35, 0.12
"""A head counts as moved above the first change, and as still below the second; in between it teaches nothing."""
_NOISY, _QUIET = 0.075, 0.045
"""The same for noise."""
_JUDGED: tuple[Part, ...] = ("validation", "test")
_BATCH = 64


class Class(NamedTuple):
    """A row of the table."""

    kind: str
    severity: str
    quality: Callable[[np.random.Generator], Quality]


def _classes() -> list[Class]:
    rows = [
        Class("good", "noise below 0.02", lambda rng: Quality(noise=float(rng.uniform(0, 0.02)))),
        Class("good", "noise 0.02 to 0.04", lambda rng: Quality(noise=float(rng.uniform(0.02, 0.04)))),
    ]
    for movement in MOVEMENTS:
        for severity, low, high in (("mild", 0.15, 0.35), ("moderate", 0.35, 0.65), ("severe", 0.65, 1.0)):

            def moving(
                rng: np.random.Generator, kind: str = movement, span: tuple[float, float] = (low, high)
            ) -> Quality:
                return Quality(movement=kind, strength=float(rng.uniform(*span)), noise=float(rng.uniform(0, 0.04)))

            rows.append(Class(movement, severity, moving))
    for severity, low, high in (("mild", 0.05, 0.08), ("moderate", 0.08, 0.12), ("severe", 0.12, 0.22)):

        def noise(rng: np.random.Generator, span: tuple[float, float] = (low, high)) -> Quality:
            return Quality(noise=float(rng.uniform(*span)))

        def low_signal(rng: np.random.Generator, span: tuple[float, float] = (low, high)) -> Quality:
            return replace(noise(rng, span), bias=float(rng.uniform(0.4, 0.8)), grey_levels=int(rng.integers(6, 17)))

        rows += [Class("noise", severity, noise), Class("noise, shading, few grey levels", severity, low_signal)]
    scanners = Class("good", "as the simulator's scanners", lambda rng: Quality(noise=ScannerLook.sample(rng).noise))
    return [*rows, scanners]


def _any_quality(rng: np.random.Generator) -> Quality:
    """Draw the faults of a head to learn from: movement in half of the heads, noise from none to severe."""
    noise = float(rng.uniform(0, 0.045) if rng.random() < 0.6 else rng.uniform(0.045, 0.22))
    quality = Quality(noise=noise)
    if rng.random() < 0.5:
        quality = replace(quality, movement=str(rng.choice(list(MOVEMENTS))), strength=float(rng.uniform(0.1, 1)))
    if rng.random() < 0.3:
        quality = replace(quality, bias=float(rng.uniform(0.35, 0.8)))
    if rng.random() < 0.15:
        quality = replace(quality, grey_levels=int(rng.integers(6, 33)))
    return quality


def _hosts(arguments: argparse.Namespace, part: Part) -> tuple[Original, ...]:
    hosts = sources_of(arguments.data, part, PrepareConfig().box, arguments.cache).hosts
    return tuple(host for host in hosts if host.labelled and host.tissue is not None)


def draw(arguments: argparse.Namespace) -> None:
    """Draw heads to learn from; the file is written again every 300 heads."""
    hosts = _hosts(arguments, "train")
    begun = time.monotonic()
    symptoms, facts = [], []
    for number in range(arguments.heads):
        place = number % len(hosts)
        rng = np.random.default_rng((_SEED, number))
        quality = _any_quality(rng)
        head = draw_head(hosts[place], quality, _SEED + number, mm=2)
        symptoms.append(measure_symptoms(look_of_2mm(head.image)))
        facts.append([head.change, quality.noise, float(place % _TUNING == 0)])
        if number % 300 == 299 or number + 1 == arguments.heads:
            torch.save((torch.stack(symptoms), torch.tensor(facts)), arguments.drawn[0])
            print(f"{number + 1} heads of {len(hosts)} hosts, {time.monotonic() - begun:.0f} s", flush=True)


def targets_of(facts: Tensor) -> tuple[Tensor, Tensor]:
    """Return targets and weights (n, 2) of motion and noise from (change, noise) of each head."""
    above = facts[:, :2] >= torch.tensor([_CHANGED, _NOISY])
    below = facts[:, :2] <= torch.tensor([_UNCHANGED, _QUIET])
    return above.float(), (above | below).float()


def train(arguments: argparse.Namespace) -> None:
    """Train on the drawn heads, then print for the tuning hosts which threshold flags how many good heads."""
    parts = [torch.load(path) for path in arguments.drawn]
    symptoms, facts = (torch.cat([part[n] for part in parts]) for n in range(2))
    targets, weights = targets_of(facts)
    kept = facts[:, 2] > 0
    torch.manual_seed(0)
    model = FaultNetwork()
    model.middle, model.width = symptoms[~kept].mean(0), symptoms[~kept].std(0).clamp_min(0.01)
    optimiser = torch.optim.AdamW(model.parameters(), lr=arguments.lr, weight_decay=0.3)
    places = (~kept).nonzero()[:, 0]
    for step in range(arguments.steps):
        chosen = places[torch.randint(len(places), (_BATCH,))]
        losses = nn.functional.binary_cross_entropy_with_logits(
            model(symptoms[chosen]), targets[chosen], reduction="none"
        )
        loss = (losses * weights[chosen]).sum() / weights[chosen].sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 500 == 0 or step + 1 == arguments.steps:
            print(f"step {step}: loss {loss:.3f}", flush=True)
    write_bytes(arguments.out, save({name: value.half() for name, value in model.state_dict().items()}))
    model.eval()
    with torch.inference_mode():
        chances = model(symptoms[kept]).sigmoid()
    good = ((targets[kept] == 0) & (weights[kept] > 0)).all(1)
    for place, name in enumerate(("motion", "noise")):
        there = targets[kept][:, place] > 0
        for threshold in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
            flagged = chances[:, place] > threshold
            print(
                f"{name} above {threshold}: {int(flagged[good].sum())} of {int(good.sum())} good, "
                f"{int(flagged[there].sum())} of {int(there.sum())} with it"
            )


def judge(arguments: argparse.Namespace) -> None:
    """Print how many heads of each kind and severity are flagged; write the same as JSON."""
    hosts = [host for part in _JUDGED for host in _hosts(arguments, part)]
    print(f"{len(hosts)} hosts", flush=True)
    rows: list[dict[str, Any]] = []
    for place, (kind, severity, quality) in enumerate(_classes()):
        if arguments.only and not kind.startswith(arguments.only):
            continue
        flags = []
        for number in range(arguments.good if kind == "good" else arguments.each):
            rng = np.random.default_rng((7, place, number))
            host = hosts[(place + number) % len(hosts)]
            head = draw_head(host, quality(rng), 1_000 * place + number, mm=arguments.mm)
            flags.append((*_flags(head.image, arguments.mm), head.change))
        motion, noisy, either = (sum(flag[n] for flag in flags) for n in range(3))
        change = float(np.median([flag[3] for flag in flags]))
        interval = binomtest(int(either), len(flags)).proportion_ci(method="wilson")
        rows.append(
            {
                "kind": kind,
                "severity": severity,
                "n": len(flags),
                "motion": motion,
                "low signal": noisy,
                "either": either,
                "interval": list(interval),
                "change": change,
            }
        )
        print(rows[-1], flush=True)
        write_json(arguments.out, {"hosts": len(hosts), "rows": rows})
    print(_table(rows))


def _flags(image: Tensor, mm: int) -> tuple[bool, bool, bool]:
    """Return whether motion, noise and either is flagged in a head; at 1 mm it takes the whole way of a scan."""
    if mm == 1:
        i, j, k = image.shape
        scan = Scan((1000 * image).numpy(), Grid((i, j, k), np.eye(4)), name="head")
        verdict = verdict_of_scan(scan)
    else:
        verdict = verdict_of(look_of_2mm(image))
    return verdict.motion, verdict.noisy, verdict.motion or verdict.noisy


def _table(rows: Sequence[dict[str, Any]]) -> str:
    cells = []
    for row in rows:
        low, high = row["interval"]
        flagged = f"{row['either']} of {row['n']} [{low:.0%}, {high:.0%}]"
        cells.append([str(row["kind"]), str(row["severity"]), str(row["motion"]), str(row["low signal"]), flagged])
    return table(["head", "severity", "`motion`", "`low-signal`", "either [95 %]"], cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("draw", "train", "judge"))
    parser.add_argument("--data", type=Path, help="the folder of hosts, label maps and outlines")
    parser.add_argument("--cache", type=Path, default=Path("/tmp/insula-sources"))
    parser.add_argument("--drawn", type=Path, nargs="+", help="file of the drawn heads; to train, one or several")
    parser.add_argument("--heads", type=int, default=2400)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--mm", type=int, choices=(1, 2), default=2, help="voxels of the heads to judge [mm]")
    parser.add_argument("--only", default="", help="judge only the kinds that begin so")
    parser.add_argument("--each", type=int, default=12, help="heads of each kind and severity to judge")
    parser.add_argument("--good", type=int, default=60, help="good heads of either noise to judge")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.what == "draw":
        draw(arguments)
    elif arguments.what == "train":
        arguments.out = arguments.out or Path("src/insula/contrast/faults.safetensors")
        train(arguments)
    else:
        arguments.out = arguments.out or Path("studies/results/quality.json")
        judge(arguments)


if __name__ == "__main__":
    main()
