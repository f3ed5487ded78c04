"""The benchmark measures what it says; what cannot be timed says why."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path

import pytest
import torch

from insula.bench import CONTENDERS, StepBench, bench_steps, bench_streams, cost_of, limits_of
from insula.bench.cost import work_of
from insula.store import CaseSet
from insula.train import Batch

_CPU = torch.device("cpu")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the packages of others."""
    for package in ("monai", "dynamic_network_architectures", "batchgeneratorsv2"):
        monkeypatch.setitem(sys.modules, package, None)


def _cases() -> CaseSet:
    generator = torch.Generator().manual_seed(0)
    images = tuple(torch.rand(64, 64, 64, generator=generator).half() for _ in range(2))
    masks = tuple(image > 0.99 for image in images)
    return CaseSet(names=("a", "b"), images=images, masks=masks, fingerprint="noise")


def _batch() -> Batch:
    cases = _cases()
    image, truth = cases.images[0][:32, :32, :32].float(), cases.masks[0][:32, :32, :32].float()
    return Batch(image[None, None], truth[None, None], -torch.ones_like(truth)[None, None])


def test_work_is_counted_forward_and_backward() -> None:
    a, b = torch.randn(8, 16, requires_grad=True), torch.randn(16, 4, requires_grad=True)
    work = work_of(lambda: (a @ b).sum().backward())
    product = 2 * 8 * 16 * 4
    assert work.tflop * 1e12 == pytest.approx(3 * product)  # one forward, one for each gradient
    least = 4 * (8 * 16 + 16 * 4 + 8 * 4) * 3
    assert least <= work.gb * 1e9 < 2 * least


def test_limits_and_costs_are_measured() -> None:
    limits = limits_of(_CPU)
    assert limits.tflops > 0
    assert limits.gb_per_s > 0
    x = torch.randn(256, 256)
    small, large = (
        cost_of(lambda n=n: [x @ x for _ in range(n)], _CPU, repeats=5)  # type: ignore[misc]
        for n in (1, 60)
    )
    assert large.ms > small.ms
    assert small.busy is None


def test_a_network_is_timed_and_one_that_is_not_installed_says_so(bare: None) -> None:
    timed, missing = bench_steps(["baseline", "segresnet"], [], _batch(), repeats=1)
    assert timed.cost is not None
    assert timed.cost.ms > 0
    assert timed.work is not None
    assert 5.6e6 < timed.parameters < 5.7e6
    assert missing.cost is None
    assert "insula[bench]" in str(missing.why_not)


@pytest.mark.long
def test_recomputation_is_timed_and_costs_a_forward_pass_more() -> None:
    plain, lean = bench_steps(["full", "full_recomputed"], [], _batch(), repeats=1)
    assert plain.parameters == lean.parameters
    assert plain.work is not None
    assert lean.work is not None
    assert 1.2 < lean.work.tflop / plain.work.tflop < 1.4  # three passes' arithmetic, and four


@pytest.mark.long
def test_a_pipeline_is_timed_beside_its_step(bare: None) -> None:
    names = ["baseline", "nnunet", "segresnet"]
    ours, theirs = bench_streams(names, [], _cases(), size=1, patch=32, steps=1, device=_CPU)  # MONAI has no pipeline
    assert ours.ms > 0
    assert 0 <= ours.waits <= 1
    assert "batchgeneratorsv2" in str(theirs.why_not)


def test_the_file_of_all_figures_keeps_its_keys(tmp_path: Path) -> None:
    from insula.cli.bench import _write

    _write(tmp_path / "bench.json", {}, [StepBench("baseline", "half resolution inside", False)], [])
    (step,) = json.loads((tmp_path / "bench.json").read_text())["steps"]
    assert list(step) == ["name", "says", "compiled", "why_not", "parameters", "cost", "work"]


def test_what_the_command_line_names_is_known_here() -> None:
    from insula.cli.bench import train

    assert set(inspect.signature(train).parameters["networks"].default) == set(CONTENDERS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--networks", "nope"], "nope is not known"),
        (["--patch", "40"], "not divisible by 32"),
        (["--batch", "0"], "below 1"),
    ],
)
def test_wrong_words_are_refused_at_once(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from insula.cli.app import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["insula", "bench", "train", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
