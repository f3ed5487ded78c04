"""Train the small network that recognises the kind of image, and judge it: wrong refusals and missed ones, by kind.

    python -m studies.contrast train --data DATA [--heads 6000] [--out src/insula/contrast/kinds.safetensors]
    python -m studies.contrast judge --data DATA [--heads 1700] [--real FOLDER] [--cohort FOLDER] [--out FILE]

Both draw their heads with `insula.contrast.paint` from the hosts and label maps of a part: the training part to train,
validation and test to judge. `--real` adds the files of a folder, named KIND_whatever.nii.gz after `Kind`
(t1w_1.nii.gz, flair_x.nii.gz); they take the whole way of a scan. `--cohort` adds the heads of a simulated cohort, as
they are and after the strongest degradations of `studies.robustness`.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save
from scipy.stats import binomtest
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from insula.augment import Original
from insula.cohort import find_cohort
from insula.config import PrepareConfig
from insula.contrast import Kind, KindNetwork, look_at, verdict_of
from insula.contrast.judge import LEAST_T1W, Verdict
from insula.contrast.kinds import NAMES, T1W_KINDS
from insula.contrast.look import look_of_2mm
from insula.contrast.paint import draw
from insula.contrast.spoil import BOX
from insula.errors import BadData
from insula.infer import choose_device
from insula.io import read_mask, read_scan, write_bytes, write_json
from insula.prepare import prepare
from insula.simulate import ScannerLook
from insula.synthetic.sources import Part
from insula.volume import Scan
from studies.arms import cached, sources_of
from studies.robustness import Seen, coarser, scanned, tilted

_T1W_SHARE = 0.3
_HARD = (Kind.T1W_AGENT, Kind.FLAIR, Kind.FA, Kind.ANGIOGRAPHY, Kind.INV1, Kind.T1_MAP)
"""Kinds that look most like T1w."""
_MOVED = 0.2, 0.45
"""Share of heads with motion: when judging, and when training."""
_HOSTS: tuple[Original, ...] = ()
_MOVES = _MOVED[0]
_COARSE = 0.15
"""Share of training batches that are blurred along one axis or all."""
_BLURS = (3, 3, 3), (3, 1, 1), (1, 3, 1), (1, 1, 3)
_KEPT = 0.998
"""What the averaged weights keep of themselves in a step."""


WORST: dict[str, Callable[[Seen], Seen]] = {
    "simulated heads": lambda seen: seen,
    "simulated heads, noise 0.15 of white matter": partial(scanned, ScannerLook(noise=0.15, seed=1)),
    "simulated heads, bias 0.6": partial(scanned, ScannerLook(bias=0.6, seed=1)),
    "simulated heads, slices of 7 mm": partial(scanned, ScannerLook(slice_mm=7.0)),
    "simulated heads, a spin echo in slices of 5 mm": partial(scanned, ScannerLook(spin_echo=1, slice_mm=5.0)),
    "simulated heads, voxels of 3 mm": partial(coarser, 3.0),
    "simulated heads, tilted by 30 degrees": partial(tilted, 30.0),
}


def plan(count: int, *, hard: int = 1) -> list[Kind]:
    """The kind of each head: three in ten T1w, the others equally often, hard kinds `hard` times as often."""
    others = [kind for kind in Kind if kind is not Kind.T1W for _ in range(hard if kind in _HARD else 1)]
    return [Kind.T1W if n % 10 < 10 * _T1W_SHARE else others[n % len(others)] for n in range(count)]


def _begin(hosts: tuple[Original, ...], teach: bool) -> None:
    global _HOSTS, _MOVES
    _HOSTS, _MOVES = hosts, _MOVED[teach]
    torch.set_num_threads(1)


def _draw(job: tuple[int, Kind]) -> tuple[np.ndarray, int, bool]:
    seed, kind = job
    drawn = draw(_HOSTS[seed % len(_HOSTS)], kind, seed, moves=_MOVES)
    return look_of_2mm(drawn.image).half().numpy(), int(kind), drawn.ellipsoids


def heads(
    hosts: tuple[Original, ...], count: int, *, seed: int, workers: int, hard: int = 0, until: float = math.inf
) -> tuple[Tensor, Tensor, Tensor]:
    """Looks (n, i, j, k), half precision, the kinds (n,), and whether they show ellipsoids and no head (n,).

    With `hard`, heads to train on: hard kinds that many times as often, and more motion.
    """
    jobs = [(seed + n, kind) for n, kind in enumerate(plan(count, hard=max(hard, 1)))]
    looks = torch.empty(count, *BOX, dtype=torch.half)
    targets: list[int] = []
    ellipsoids: list[bool] = []
    with ProcessPoolExecutor(workers, initializer=_begin, initargs=(hosts, hard > 0)) as pool:
        for look, kind, made_up in pool.map(_draw, jobs, chunksize=20):
            looks[len(targets)] = torch.from_numpy(look)
            targets.append(kind)
            ellipsoids.append(made_up)
            if time.monotonic() > until:
                pool.shutdown(wait=False, cancel_futures=True)
                break
    return looks[: len(targets)], torch.tensor(targets), torch.tensor(ellipsoids)


def batches(looks: Tensor, targets: Tensor, steps: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Random batches: shifted by up to 8 mm, some blurred, grey levels scaled by about a tenth, half mirrored."""
    for step in range(steps):
        chosen = torch.randint(len(looks), (size,))
        x = looks[chosen].float()
        x = torch.roll(x, torch.randint(-4, 5, (3,)).tolist(), dims=(1, 2, 3))
        if float(torch.rand(())) < _COARSE:
            width = _BLURS[int(torch.randint(len(_BLURS), ()))]
            x = nn.functional.avg_pool3d(x, width, 1, [n // 2 for n in width])
        scale, offset = (torch.randn(size, 1, 1, 1).to(x.device) for _ in range(2))
        x = x * (1 + 0.1 * scale).clamp(0.7, 1.3) + 0.1 * offset
        yield (x.flip(1) if step % 2 else x), targets[chosen]


def train(arguments: argparse.Namespace) -> None:
    sources = sources_of(arguments.data, "train", PrepareConfig().box, arguments.cache)
    begun = time.monotonic()
    drawing = partial(
        heads,
        sources.hosts,
        arguments.heads,
        seed=arguments.seed,
        workers=arguments.workers,
        hard=arguments.hard,
        until=begun + 60 * arguments.minutes,
    )
    looks, targets, _ = cached(arguments.drawn, drawing) if arguments.drawn else drawing()
    print(f"{len(looks)} heads of {len(sources.hosts)} hosts drawn in {time.monotonic() - begun:.0f} s", flush=True)
    torch.manual_seed(0)
    device = choose_device(arguments.device)
    looks, targets, model = looks.to(device), targets.to(device), KindNetwork().to(device)
    if arguments.start is not None:
        model.load_state_dict({name: value.float() for name, value in load_file(arguments.start).items()})
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(_KEPT))
    optimiser = torch.optim.AdamW(model.parameters(), lr=arguments.lr, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, arguments.lr, total_steps=arguments.steps)
    for step, (x, target) in enumerate(batches(looks, targets, arguments.steps, arguments.batch)):
        logits = model(x)
        loss = nn.functional.cross_entropy(logits, target, label_smoothing=0.02)
        group = torch.isin(torch.arange(len(Kind)), torch.tensor([int(kind) for kind in T1W_KINDS])).to(device)
        lead = logits[:, group].logsumexp(1) - logits[:, ~group].logsumexp(1)
        loss = loss + nn.functional.binary_cross_entropy_with_logits(lead, group[target].float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        averaged.update_parameters(model)
        if step % 100 == 0 or step + 1 == arguments.steps:
            right = (logits.argmax(1) == target).float().mean()
            print(f"step {step}: loss {loss:.3f}, right {right:.2f} ({time.monotonic() - begun:.0f} s)", flush=True)
    write_bytes(arguments.out, save({name: value.half().cpu() for name, value in averaged.module.state_dict().items()}))


def judge(arguments: argparse.Namespace) -> None:
    """Print, for every kind, the number of heads drawn and refused; write the same as JSON.

    Ellipsoids, which no scanner has seen, are counted for themselves.
    """
    rows: dict[str, dict[str, object]] = {}
    parts: tuple[Part, ...] = ("validation", "test")
    hosts = tuple(
        h for part in parts for h in sources_of(arguments.data, part, PrepareConfig().box, arguments.cache).hosts
    )
    drawing = partial(heads, hosts, arguments.heads, seed=10_000_000 + arguments.seed, workers=arguments.workers)
    looks, targets, ellipsoids = cached(arguments.drawn, drawing) if arguments.drawn else drawing()
    with torch.inference_mode():
        chances = torch.tensor([verdict_of(look.float()).t1w for look in looks])
    for kind in Kind:
        row(NAMES[kind], rows, chances[(targets == kind) & ~ellipsoids])
    t1w = torch.isin(targets, torch.tensor([int(kind) for kind in T1W_KINDS]))
    row("all T1-weighted heads", rows, chances[t1w & ~ellipsoids])
    row("all others", rows, chances[~t1w & ~ellipsoids])
    row("ellipsoids, T1-weighted", rows, chances[t1w & ellipsoids])
    row("ellipsoids, other kinds", rows, chances[~t1w & ellipsoids])
    if arguments.cohort:
        cohort_rows(arguments.cohort, rows)
    if arguments.real:
        rows["real"] = dict(real(arguments.real))
    write_json(arguments.out, {"hosts": len(hosts), "rows": rows})


def row(name: str, rows: dict[str, dict[str, object]], chances: Tensor) -> None:
    """Print one row of the table, and put it with all probabilities among the rows."""
    count, refused = len(chances), int((chances < LEAST_T1W).sum())
    low, high = binomtest(refused, count).proportion_ci(method="wilson")
    rows[name] = {"n": count, "refused": refused, "interval": [low, high], "t1w": sorted(chances.tolist())}
    print(f"| {name} | {count} | {refused}: {refused / count:.1%} [{low:.1%}, {high:.1%}] |")


def cohort_rows(folder: Path, rows: dict[str, dict[str, object]]) -> None:
    """Judge the heads of a simulated cohort on the whole way of a scan: as they are, and at their worst."""
    entries = find_cohort(folder).entries
    for name, change in WORST.items():
        chances = []
        for entry in entries:
            scan, _ = change((read_scan(entry.image, name=entry.case), read_mask(entry.mask)))
            chances.append(verdict_of_scan(scan).t1w)
        row(name, rows, torch.tensor(chances))


def verdict_of_scan(scan: Scan) -> Verdict:
    """Judge a scan on the whole way that scans take."""
    config = PrepareConfig()
    return verdict_of(look_at(scan, prepare(scan, config), config))


def real(folder: Path) -> Iterator[tuple[str, object]]:
    """Verdicts on real files, read and prepared like any scan."""
    for path in sorted(folder.glob("*.nii*")):
        try:
            verdict = verdict_of_scan(read_scan(path))
            refused = ", refused" if verdict.refused else ""
            words = f"{NAMES[verdict.kind]} ({verdict.chance:.2f}), T1w {verdict.t1w:.3f}{refused}"
        except BadData as error:
            words = f"refused before: {error}"
        print(f"{path.name:50} {words}")
        yield path.name, words


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "judge"))
    parser.add_argument("--data", type=Path, required=True, help="the folder of hosts, label maps and outlines")
    parser.add_argument("--cache", type=Path, default=Path("/tmp/insula-sources"))
    parser.add_argument("--heads", type=int)
    parser.add_argument("--steps", type=int, default=4500)
    parser.add_argument("--batch", type=int, default=16, help="heads of a training step")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0, help="seed of the first head, to judge counted from 10 million")
    parser.add_argument("--hard", type=int, default=2, help="how many times as often hard kinds are trained on")
    parser.add_argument("--start", type=Path, help="weights to continue from")
    parser.add_argument("--minutes", type=float, default=math.inf, help="time limit of drawing")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--drawn", type=Path, help="file that keeps the drawn heads for another run")
    parser.add_argument("--real", type=Path, help="folder of files KIND_whatever.nii.gz")
    parser.add_argument("--cohort", type=Path, help="folder of a simulated cohort")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.hard < 1:
        parser.error("--hard is under 1")
    if arguments.what == "train":
        arguments.heads = arguments.heads or 6000
        arguments.out = arguments.out or Path("src/insula/contrast/kinds.safetensors")
        train(arguments)
    else:
        arguments.heads = arguments.heads or 1700
        arguments.out = arguments.out or Path("studies/results/contrast.json")
        judge(arguments)


if __name__ == "__main__":
    main()
