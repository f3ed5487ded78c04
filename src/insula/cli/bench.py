"""`insula bench`: measure the speed of training and prediction on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from insula.cli.bench_predict import predict
from insula.cli.console import table

if TYPE_CHECKING:
    import torch

    from insula.bench import DeviceLimits, StepBench, StreamBench
    from insula.store import CaseSet
    from insula.train import Batch

__all__ = ["COMMANDS"]

_PHANTOMS = 4


def train(
    networks: tuple[str, ...] = (
        "baseline",
        "full",
        "full_recomputed",
        "enhanced",
        "smart",
        "nnunet",
        "segresnet",
        "attention_unet",
        "swin_unetr",
    ),
    compiled: tuple[str, ...] = ("baseline", "nnunet"),
    data: Path | None = None,
    patch: int = 128,
    batch: int = 2,
    steps: int = 30,
    device: str = "auto",
    out: Path = Path("insula-bench.json"),
    debug: bool = False,
) -> int:
    """Compare the training speed of several networks, each alone and with its data pipeline.

    Each network first takes the training step of its own authors on the same batch. Then insula's networks are timed
    with insula's augmentation on the device, and nnU-Net with its own augmentation on the CPU cores. The networks of
    other packages need `pip install 'insula[bench]'`.

    Args:
        networks: Networks to time: baseline, full, full_recomputed, enhanced, smart, nnunet, segresnet, attention_unet,
            swin_unetr.
        compiled: Networks to time compiled as well; this takes minutes each.
        data: Prepared cohort that supplies the patches; phantom heads if not given.
        patch: Patch size in voxels along each axis; divisible by 32, at least 64.
        batch: Patches per step.
        steps: Timed steps, after a few warm-up steps.
        device: Device to time: auto, cpu, cuda or cuda:0.
        out: JSON file for all figures.
        debug: Show a traceback on errors.
    """
    from dataclasses import asdict

    import torch

    from insula.bench import CONTENDERS, bench_steps, bench_streams, limits_of
    from insula.errors import UsageError
    from insula.infer import choose_device

    for flag, names in (("--networks", networks), ("--compiled", compiled)):
        for name in names:
            if name not in CONTENDERS:
                raise UsageError(flag, name, "is not known", f"choose among {', '.join(CONTENDERS)}")
    if patch % 32 or patch < 64:
        raise UsageError("--patch", patch, "is below 64 or not divisible by 32", "use 64, 96 or 128")
    if batch < 1 or steps < 1:
        raise UsageError("--batch, --steps", min(batch, steps), "is below 1", "use 2 and 30")
    chosen_device = choose_device(device)
    cases = _cases(data, patch)
    print(f"{len(cases)} cases, {batch} x {patch}^3, {_name(chosen_device)}", flush=True)
    limits = limits_of(chosen_device)
    facts = {
        "format": "insula-bench/1",
        "device": _name(chosen_device),
        "torch": torch.__version__,
        "patch": patch,
        "batch": batch,
        "limits": asdict(limits),
    }
    _write(out, facts, [], [])  # fail now, not after minutes of timing, if it cannot be written
    fixed_batch = _batch(cases, batch, patch, chosen_device)
    step_results = []
    for result in bench_steps(networks, compiled, fixed_batch, repeats=steps):
        print(f"  {result.title}: {result.why_not or 'timed'}", flush=True)
        step_results.append(result)
    _write(out, facts, step_results, [])
    _show_steps(step_results, limits, voxels=fixed_batch.image.numel(), cuda=chosen_device.type == "cuda")
    streams = list(bench_streams(networks, compiled, cases, size=batch, patch=patch, steps=steps, device=chosen_device))
    _show_streams(streams, voxels=fixed_batch.image.numel(), cuda=chosen_device.type == "cuda")
    _write(out, facts, step_results, streams)
    print(out)
    return 0


def _write(out: Path, facts: Mapping[str, object], steps: list[StepBench], streams: list[StreamBench]) -> None:
    from dataclasses import asdict

    from insula.io import write_json

    write_json(
        out,
        {
            **facts,
            "steps": [_figures(asdict(result)) for result in steps],
            "end_to_end": [_figures(asdict(result)) for result in streams],
        },
    )


def _figures(result: Mapping[str, object]) -> dict[str, object]:
    """Return the figures of a network under the keys of the file's format."""
    return {"says" if key == "description" else key: value for key, value in result.items()}


def _name(device: torch.device) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _cases(data: Path | None, patch: int) -> CaseSet:
    """Load the prepared cohort; without one, build phantoms with different lesions."""
    import torch

    from insula.config import PrepareConfig
    from insula.errors import UsageError
    from insula.prepare import normalised
    from insula.simulate.phantom import Sphere, phantom_case, phantom_grid
    from insula.store import CaseSet, Store

    if data is not None:
        cases = CaseSet.from_store(Store(data))
        if min(cases.images[0].shape) < patch:
            raise UsageError("--patch", patch, "is larger than the prepared cases", "use a smaller one")
        return cases
    box = tuple(max(n, patch) for n in (192, 224, 176))
    i, j, k = box
    images, masks = [], []
    for n in range(_PHANTOMS):
        lesion = Sphere((-40.0 + 20 * n, -10.0, 18.0), 6.0 + 3 * n)
        case = phantom_case(phantom_grid(shape=(i, j, k)), (lesion,), seed=n)
        images.append(normalised(torch.tensor(case.scan.image), PrepareConfig()).half())
        masks.append(torch.tensor(case.truth.voxels).bool())
    names = tuple(f"phantom{n}" for n in range(_PHANTOMS))
    return CaseSet(names=names, images=tuple(images), masks=tuple(masks), fingerprint="phantoms")


def _batch(cases: CaseSet, size: int, patch: int, device: torch.device) -> Batch:
    """Return a batch of the central patches of the first cases, repeated if there are too few."""
    import torch

    from insula.train import Batch

    parts = []
    for n in range(size):
        image, mask = cases.images[n % len(cases)], cases.masks[n % len(cases)]
        i, j, k = (slice((m - patch) // 2, (m - patch) // 2 + patch) for m in image.shape)
        parts.append((image[i, j, k].float(), mask[i, j, k].float()))
    image, truth = (torch.stack(part)[:, None].to(device) for part in zip(*parts, strict=True))
    return Batch(image, truth, truth)


def _show_steps(results: list[StepBench], limits: DeviceLimits, *, voxels: int, cuda: bool) -> None:
    """Print milliseconds on a GPU, multiples of the first network elsewhere, and the ratio to the device's limits."""
    timed = [result for result in results if result.cost is not None]
    if not timed:
        return
    first = timed[0].cost
    assert first is not None
    rows = []
    for result in timed:
        cost, work = result.cost, result.work
        assert cost is not None
        arithmetic = 1000 * work.tflop / limits.tflops if work else None
        traffic = 1000 * work.gb / limits.gb_per_s if work else None
        row = [
            result.title,
            round(result.parameters / 1e6, 1),
            round(cost.ms, 1) if cuda else round(cost.ms / first.ms, 2),
        ]
        if cuda:
            row += [round(voxels / cost.ms / 1000, 1), round(cost.gib, 1), round(100 * (cost.busy or 0))]
        row += [round(cost.ms / limit, 1) if limit else None for limit in (arithmetic, traffic)]
        rows.append(row)
    unit = ["step [ms]", "Mvoxel/s", "peak [GiB]", "GPU busy [%]"] if cuda else ["step [x the first]"]
    table(["step alone", "parameters [M]", *unit, "x compute limit", "x bandwidth limit"], rows)
    if cuda:
        print(f"measured limits: {limits.tflops:.3g} TFLOP/s, {limits.gb_per_s:.3g} GB/s")


def _show_streams(results: list[StreamBench], *, voxels: int, cuda: bool) -> None:
    timed = [result for result in results if result.why_not is None]
    for result in results:
        if result.why_not is not None:
            print(f"  {result.description}: {result.why_not}")
    if not timed:
        return
    rows = []
    for result in timed:
        row = [
            result.title,
            round(result.ms, 1) if cuda else round(result.ms / timed[0].ms, 2),
            round(100 * result.waits),
        ]
        rows.append([*row, round(voxels / result.ms / 1000, 1)] if cuda else row)
    unit = "step [ms]" if cuda else "step [x the first]"
    table(["with data and augmentation", unit, "waits for data [%]", *(["Mvoxel/s"] if cuda else [])], rows)


COMMANDS: dict[str, Callable[..., int]] = {"predict": predict, "train": train}
"""The commands of `insula bench`."""
