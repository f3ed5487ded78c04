"""`insula train`: train weights from a recipe and a prepared cohort or a folder of open data."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional, UseAppendAction

from insula.cli.console import table, training

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
    """Train a model on a prepared cohort, or on heads simulated from open data; use `torchrun` for several GPUs.

    With a split, each fold is validated during training on whole cases of its test part (of an inner fold, if the split
    is nested). These scores only decide which weights are kept in the folder `best`.

    Args:
        recipe: Recipe in TOML, e.g. recipes/baseline.toml.
        data: Store from `insula cohort prepare`, or a folder of hosts, label maps and lesion masks; give both to add
            painted heads to a cohort.
        out: Folder for weights, training states and the log.
        split: Split file from `insula cohort split`; without it, every case is trained on.
        fold: Number of the fold to train, or all; all writes each fold to its own folder fold0, fold1, ... in --out.
        set: Override one knob of the recipe, e.g. --set train.steps=100; repeatable.
        from_weights: Weights to fine-tune (bundled name, folder or file) instead of starting from scratch.
        resume: Continue from the newest training state in --out.
        slurm: Submit the run to Slurm, e.g. partition=gpu,gpus=4,nodes=2,hours=24; folds become an array of jobs.
        dry_run: Only show what --slurm would submit.
        profile: Only measure where the time of a training step goes, and write nothing.
        debug: Show a traceback on errors.
    """
    from insula.config import load_recipe
    from insula.errors import UsageError

    chosen = load_recipe(recipe, set)
    if split is None and fold != "all":
        raise UsageError("--fold", fold, "needs a split, and there is no --split", "add --split FILE")
    if slurm is not None or dry_run:
        return _hand_over(chosen, slurm, split, fold, out, dry_run=dry_run)

    from insula.checkpoint import load_weights
    from insula.infer import choose_device
    from insula.report.follow import write_folds
    from insula.train import World

    start = load_weights(from_weights) if from_weights else None
    device = choose_device(chosen.train.device)
    world = World.join()
    first = world.rank == 0  # the process that writes and prints
    if first:
        many = f", {world.size} processes" if world.size > 1 else ""
        print(f"reading {', '.join(str(path) for path in data)} ({device}{many}) ...", flush=True)
    if start is not None:
        _ = start.model  # refuses an ensemble before any data are read
    if profile and world.size > 1:
        raise UsageError(
            "--profile", world.size, "processes are too many: it measures one", "start it without torchrun"
        )
    if profile:
        return _show_phases(chosen, next(_parts(data, chosen, split, fold)), start, device)
    begun = time.monotonic()
    for part in _parts(data, chosen, split, fold):
        folder = out / part.name
        if first:
            print(f"{part.summary} -> {folder}", flush=True)
        sha = _run(_in_time(chosen, begun), part, folder, start=start, resume=resume, first=first)
        if first:
            print(f"weights: {folder / chosen.name}.safetensors (SHA-256 {sha[:12]}...)", flush=True)
            print(folder / "training.html", flush=True)
            if folder.name.startswith("fold"):
                print(write_folds(folder.parent, chosen.name), flush=True)
    return 0


def _show_phases(recipe: Recipe, part: _Part, start: Weights | None, device: torch.device) -> int:
    """Print the duration of each phase of a step: milliseconds on a GPU, and shares of the step."""
    from insula.train import measure_phases

    timing = measure_phases(recipe, part.data, start=start)
    cuda, total = device.type == "cuda", sum(timing.phases.values())
    rows = [[name, *([round(ms, 2)] if cuda else []), round(100 * ms / total)] for name, ms in timing.phases.items()]
    table(["phase of a step", *(["ms"] if cuda else []), "share [%]"], rows)
    ratio = f"{timing.step / total:.2f} times as long"
    duration = f"{timing.step:.2f} ms, " if cuda else ""
    print(f"a whole training step, with the next data prepared meanwhile: {duration}{ratio}")
    return 0


def _hand_over(recipe: Recipe, slurm: str | None, split: Path | None, fold: str, out: Path, *, dry_run: bool) -> int:
    """Submit this command line to Slurm, without the flags that the job script sets itself."""
    import sys

    from insula.cli.split import pick_fold, read_json
    from insula.cohort.split import parse
    from insula.errors import UsageError
    from insula.train.slurm import parse_slurm, script_of, submit

    if slurm is None:
        raise UsageError("--dry-run", "", "shows what --slurm would submit, and there is no --slurm", "add --slurm")
    request = parse_slurm(slurm)
    processes = request.nodes * max(request.gpus, 1)
    for knob in ("batch", "whole_batch") if recipe.train.whole_fraction else ("batch",):
        if (items := getattr(recipe.train, knob)) % processes:
            fitting = -(-items // processes) * processes
            rule = f"cannot be dealt out to {processes} processes"
            raise UsageError(f"train.{knob}", items, rule, f"add --set train.{knob}={fitting}")
    folds = 0
    if split is not None:
        parsed_split = parse(read_json(split), name=split.name)
        folds = len(parsed_split.folds) if fold == "all" else 0
        for number in _numbers(fold, folds):
            pick_fold(parsed_split, number)
    kept = _without(
        sys.argv[1:], {"--out": 1, "--slurm": 1, "--dry-run": 0, "--resume": 0, **({"--fold": 1} if folds else {})}
    )
    text = script_of(request, [sys.executable, "-m", "insula", *kept], out, name=recipe.name, folds=folds)
    print(text if dry_run else submit(text, out))
    return 0


def _without(arguments: list[str], flags: dict[str, int]) -> list[str]:
    """Return a command line without the given flags and their values, as `--flag value` or `--flag=value`."""
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
    """One training run of the command: a fold, or the only run."""

    name: str
    """Subfolder of --out; empty for --out itself."""
    data: CaseSet | Sources
    judge_by: CaseSet | None
    summary: str


def _run(recipe: Recipe, part: _Part, out: Path, *, start: Weights | None, resume: bool, first: bool) -> str:
    from insula.io import OutputFolder
    from insula.report.follow import Follower
    from insula.train import train as run

    with ExitStack() as stack:
        folder = stack.enter_context(OutputFolder(out)) if first else out
        report: Callable[[Progress], None] = lambda _: None  # noqa: E731
        if first:
            report = Follower(out, recipe, part.summary, stack.enter_context(training(part.name or recipe.name)))
        return run(recipe, part.data, folder, start=start, resume=resume, judge_by=part.judge_by, report=report)


def _in_time(recipe: Recipe, begun: float) -> Recipe:
    """Return the recipe with the minutes that are left of its time limit, which holds for the whole command."""
    if not recipe.train.minutes:
        return recipe
    left = max(recipe.train.minutes - (time.monotonic() - begun) / 60, 1e-9)
    return replace(recipe, train=replace(recipe.train, minutes=left))


def _parts(data: tuple[Path, ...], recipe: Recipe, split: Path | None, fold: str) -> Iterator[_Part]:
    """Yield the training runs; the data of a fold are read only when its turn comes."""
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
        raise UsageError("--data", names, "has several folders of the same kind", "prepare both cohorts into one store")
    sources = load_sources(others[0], part="train", box=recipe.prepare.box) if others else None
    if not stores:
        assert sources is not None
        if split is not None:
            raise UsageError(
                "--split", split, "needs a prepared cohort, and none is given", "name its store with --data"
            )
        outlines = f"{len(sources.acute)} acute and {len(sources.chronic)} chronic outlines"
        yield _Part("", sources, None, f"{len(sources.hosts)} hosts, {outlines}")
        return
    store = _open(stores[0], recipe)
    if split is None:
        cases = replace(CaseSet.from_store(store), painted_from=sources)
        yield _Part("", cases, None, f"{len(cases)} cases")
        return
    cross_validation = read_split(split, {name: case.subject for name, case in store.cases.items()})
    for number, outer in [
        (number, pick_fold(cross_validation, number)) for number in _numbers(fold, len(cross_validation.folds))
    ]:
        chosen = outer.inner[0] if outer.inner else outer
        cases = replace(CaseSet.from_store(store, chosen.train), painted_from=sources)
        judges = CaseSet.from_store(store, chosen.test)
        judge_count = "1 other" if len(judges) == 1 else f"{len(judges)} others"
        summary = f"fold {number}: {len(cases)} cases, judged on {judge_count}"
        yield _Part(f"fold{number}" if fold == "all" else "", cases, judges, summary)


def _numbers(fold: str, count: int) -> list[int]:
    """Return the numbers of the folds that --fold selects."""
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
        values = ", ".join(f"prepare.{name} {value}" for name, value in knobs.items())
        rule = f"was prepared with {values}, and the recipe differs"
        raise BadData("the store", path.name, rule, "set these in the recipe")
    return store
