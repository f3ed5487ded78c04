"""`insula train`: a recipe and a cohort, or a folder of open data, in; weights out."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional, UseAppendAction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch

    from insula.checkpoint import Weights
    from insula.config import Recipe
    from insula.store import CaseSet, Store
    from insula.synthetic import Sources
    from insula.train.loop import Progress

__all__ = ["train"]


def train(
    recipe: Positional[Path],
    /,
    data: UseAppendAction[tuple[Path, ...]],
    out: Path,
    split: Path | None = None,
    fold: str = "all",
    set: UseAppendAction[tuple[str, ...]] = (),
    from_weights: str | None = None,
    resume: bool = False,
    slurm: str | None = None,
    dry_run: bool = False,
    profile: bool = False,
    debug: bool = False,
) -> int:
    """Train a model on a prepared cohort, or on heads simulated from open data; under `torchrun`, on several GPUs.

    With a split, a fold is judged on whole cases of its test part as it goes (of an inner fold, if the split is nested).
    That chooses what lies in the folder `best`, and nothing else.

    Args:
        recipe: A TOML file, e.g. recipes/baseline.toml.
        data: What `insula cohort prepare` wrote, or a folder of hosts, label maps and lesion masks; both for painted heads too.
        out: Where weights, states and the log go.
        split: A file of `insula cohort split`; without it every case is trained on.
        fold: One of its folds, or all, each into a folder fold0, fold1, ... of --out.
        set: A knob of the recipe, e.g. --set train.steps=100; repeatable.
        from_weights: Fine-tune these (bundled name, folder or file) instead of starting fresh.
        resume: Go on from the newest state in --out.
        slurm: Submit the run instead, e.g. partition=gpu,gpus=4,nodes=2,hours=24; folds become jobs of an array.
        dry_run: Only show what --slurm would submit.
        profile: Only show where the time of a step goes, after a few of them; nothing is written.
        debug: Show a traceback on errors.
    """
    from insula.config import load_recipe
    from insula.errors import UsageError

    chosen = load_recipe(recipe, set)
    if split is None and fold != "all":
        raise UsageError("--fold", fold, "is one of a split, and there is no --split", "name its file")
    if slurm is not None or dry_run:
        return _hand_over(chosen, slurm, split, fold, out, dry_run=dry_run)

    from insula.checkpoint import load_weights
    from insula.infer import choose_device
    from insula.report.follow import write_folds
    from insula.train import World

    start = load_weights(from_weights) if from_weights else None
    device = choose_device(chosen.train.device)
    world = World.join()
    first = world.rank == 0  # the process that writes and speaks
    if first:
        many = f", {world.size} processes" if world.size > 1 else ""
        print(f"reading {', '.join(str(path) for path in data)} ({device}{many}) ...", flush=True)
    if start is not None:
        _ = start.model  # an ensemble is refused before anything is read
    if profile and world.size > 1:
        raise UsageError(
            "--profile", world.size, "processes are more than the one it is of", "start it without torchrun"
        )
    if profile:
        return _show_phases(chosen, next(_parts(data, chosen, split, fold)), start, device)
    begun = time.monotonic()
    for part in _parts(data, chosen, split, fold):
        folder = out / part.name
        if first:
            print(f"{part.says} -> {folder}", flush=True)
        sha = _run(_in_time(chosen, begun), part, folder, start=start, resume=resume, first=first)
        if first:
            print(f"weights: {folder / chosen.name}.safetensors (SHA-256 {sha[:12]}...)", flush=True)
            print(folder / "training.html", flush=True)
            if folder.name.startswith("fold"):
                print(write_folds(folder.parent, chosen.name), flush=True)
    return 0


def _show_phases(recipe: Recipe, part: _Part, start: Weights | None, device: torch.device) -> int:
    """Milliseconds on a GPU, and shares of a step."""
    from insula.cli.console import table
    from insula.train import measure_phases

    found = measure_phases(recipe, part.data, start=start)
    cuda, total = device.type == "cuda", sum(found.phases.values())
    rows = [[name, *([round(ms, 2)] if cuda else []), round(100 * ms / total)] for name, ms in found.phases.items()]
    table(["a step, phase by phase", *(["ms"] if cuda else []), "share [%]"], rows)
    ratio = f"{found.step / total:.2f} times as long"
    print(f"as training takes it, data beside it: {f'{found.step:.2f} ms, ' if cuda else ''}{ratio}")
    return 0


def _hand_over(recipe: Recipe, slurm: str | None, split: Path | None, fold: str, out: Path, *, dry_run: bool) -> int:
    """Submit this very command line, without what the script says itself."""
    import sys

    from insula.cli.split import pick_fold, read_json
    from insula.cohort.split import parse
    from insula.errors import UsageError
    from insula.train.slurm import parse_slurm, script_of, submit

    if slurm is None:
        raise UsageError("--dry-run", "", "shows what --slurm would submit, and there is no --slurm", "add it")
    asked = parse_slurm(slurm)
    processes = asked.nodes * max(asked.gpus, 1)
    for knob in ("batch", "whole_batch") if recipe.train.whole_fraction else ("batch",):
        if (items := getattr(recipe.train, knob)) % processes:
            fitting = -(-items // processes) * processes
            rule = f"cannot be dealt out to {processes} processes"
            raise UsageError(f"train.{knob}", items, rule, f"add --set train.{knob}={fitting}")
    folds = 0
    if split is not None:
        made = parse(read_json(split), name=split.name)
        folds = len(made.folds) if fold == "all" else 0
        for number in _numbers(fold, folds):
            pick_fold(made, number)
    kept = _without(
        sys.argv[1:], {"--out": 1, "--slurm": 1, "--dry-run": 0, "--resume": 0, **({"--fold": 1} if folds else {})}
    )
    text = script_of(asked, [sys.executable, "-m", "insula", *kept], out, name=recipe.name, folds=folds)
    print(text if dry_run else submit(text, out))
    return 0


def _without(arguments: list[str], flags: dict[str, int]) -> list[str]:
    """A command line without some flags and their values, `--flag value` and `--flag=value`."""
    kept, skip = [], 0
    for argument in arguments:
        name, equals, _ = argument.replace("_", "-").partition("=") if argument.startswith("--") else ("", "", "")
        if skip:
            skip -= 1
        elif name in flags:
            skip = 0 if equals else flags[name]
        else:
            kept.append(argument)
    return kept


@dataclass(frozen=True)
class _Part:
    """One run of the command."""

    name: str
    """Of its folder below --out; empty for --out itself."""
    data: CaseSet | Sources
    judge_by: CaseSet | None
    says: str


def _run(recipe: Recipe, part: _Part, out: Path, *, start: Weights | None, resume: bool, first: bool) -> str:
    from insula.cli.console import training
    from insula.io import OutputFolder
    from insula.report.follow import Follower
    from insula.train import train as run

    with ExitStack() as stack:
        folder = stack.enter_context(OutputFolder(out)) if first else out
        report: Callable[[Progress], None] = lambda _: None  # noqa: E731
        if first:
            report = Follower(out, recipe, part.says, stack.enter_context(training(part.name or recipe.name)))
        return run(recipe, part.data, folder, start=start, resume=resume, judge_by=part.judge_by, report=report)


def _in_time(recipe: Recipe, begun: float) -> Recipe:
    """With what is left of the command's minutes."""
    if not recipe.train.minutes:
        return recipe
    left = max(recipe.train.minutes - (time.monotonic() - begun) / 60, 1e-9)
    return replace(recipe, train=replace(recipe.train, minutes=left))


def _parts(data: tuple[Path, ...], recipe: Recipe, split: Path | None, fold: str) -> Iterator[_Part]:
    """What to train on, run by run; a fold is read when it is its turn."""
    from insula.cli.split import pick_fold, read_split
    from insula.errors import UsageError
    from insula.store import CaseSet
    from insula.synthetic import load_sources

    if not data:
        raise UsageError("--data", "", "is missing", "name a prepared cohort, or a folder of open data")
    stores = [path for path in data if (path / "store.json").exists()]
    others = [path for path in data if path not in stores]
    if len(stores) > 1 or len(others) > 1:
        names = ", ".join(str(path) for path in data)
        raise UsageError("--data", names, "is more than one of a kind", "prepare both cohorts into one store")
    sources = load_sources(others[0], part="train", box=recipe.prepare.box) if others else None
    if not stores:
        assert sources is not None
        if split is not None:
            raise UsageError(
                "--split", split, "is of a cohort, and no prepared one is given", "name its store with --data"
            )
        outlines = f"{len(sources.acute)} acute and {len(sources.chronic)} chronic outlines"
        yield _Part("", sources, None, f"{len(sources.hosts)} hosts, {outlines}")
        return
    store = _open(stores[0], recipe)
    if split is None:
        cases = replace(CaseSet.from_store(store), painted_from=sources)
        yield _Part("", cases, None, f"{len(cases)} cases")
        return
    made = read_split(split, {name: case.subject for name, case in store.cases.items()})
    for number, outer in [(number, pick_fold(made, number)) for number in _numbers(fold, len(made.folds))]:
        chosen = outer.inner[0] if outer.inner else outer
        cases = replace(CaseSet.from_store(store, chosen.train), painted_from=sources)
        judges = CaseSet.from_store(store, chosen.test)
        told = "1 other" if len(judges) == 1 else f"{len(judges)} others"
        says = f"fold {number}: {len(cases)} cases, judged on {told}"
        yield _Part(f"fold{number}" if fold == "all" else "", cases, judges, says)


def _numbers(fold: str, count: int) -> list[int]:
    """The folds that --fold means."""
    from insula.errors import UsageError

    if fold == "all":
        return list(range(count))
    if not fold.isdecimal():
        raise UsageError("--fold", fold, "is neither a number nor `all`", "e.g. --fold 0")
    return [int(fold)]


def _open(path: Path, recipe: Recipe) -> Store:
    from insula.errors import BadData
    from insula.store import Store

    store = Store(path)
    if store.prepare != recipe.prepare:
        knobs = {name: value for name, value in vars(store.prepare).items() if value != getattr(recipe.prepare, name)}
        told = ", ".join(f"prepare.{name} {value}" for name, value in knobs.items())
        rule = f"was prepared with {told}, and the recipe says otherwise"
        raise BadData("the store", path.name, rule, "set these in the recipe")
    return store
