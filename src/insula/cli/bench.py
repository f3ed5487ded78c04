"""`insula bench`: what insula costs on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.extras import SubcommandApp

from insula.cli.bench_predict import predict

if TYPE_CHECKING:
    import torch

    from insula.bench import Limits, StepBench, StreamBench
    from insula.store import CaseSet
    from insula.train import Batch

__all__ = ["verbs"]

_PHANTOMS = 4


def verbs() -> SubcommandApp:
    """The verbs of `insula bench`."""
    app = SubcommandApp()
    app.command(predict)
    app.command(train)
    return app


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
    """Time a training step of several networks side by side, alone and with the pipeline that feeds it.

    Each network takes its own makers' step on the same batch; then insula's networks are fed by insula's augmentation on the
    device, and nnU-Net's by its own on the CPU's cores. Other packages' networks need `pip install 'insula[bench]'`.

    Args:
        networks: Which: baseline, full, full_recomputed, enhanced, smart, nnunet, segresnet, attention_unet, swin_unetr.
        compiled: Which of them are timed compiled too; that takes minutes each.
        data: A prepared cohort; phantom heads if not given.
        patch: Voxels along each axis of what a step sees; divisible by 32, at least 64.
        batch: Patches a step.
        steps: That are timed, after some to warm up.
        device: auto, cpu, cuda or cuda:0.
        out: All figures.
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
        raise UsageError("--patch", patch, "is not divisible by 32, or below 64", "use 64, 96 or 128")
    if batch < 1 or steps < 1:
        raise UsageError("--batch, --steps", min(batch, steps), "is below 1", "use 2 and 30")
    chosen = choose_device(device)
    cases = _cases(data, patch)
    print(f"{len(cases)} cases, {batch} x {patch}^3, {_name(chosen)}", flush=True)
    limits = limits_of(chosen)
    facts = {
        "format": "insula-bench/1",
        "device": _name(chosen),
        "torch": torch.__version__,
        "patch": patch,
        "batch": batch,
        "limits": asdict(limits),
    }
    _write(out, facts, [], [])  # said before the minutes, not after
    made = _batch(cases, batch, patch, chosen)
    alone = []
    for told in bench_steps(networks, compiled, made, repeats=steps):
        print(f"  {told.title}: {told.why_not or 'timed'}", flush=True)
        alone.append(told)
    _write(out, facts, alone, [])
    _show_steps(alone, limits, voxels=made.image.numel(), cuda=chosen.type == "cuda")
    streams = list(bench_streams(networks, compiled, cases, size=batch, patch=patch, steps=steps, device=chosen))
    _show_streams(streams, voxels=made.image.numel(), cuda=chosen.type == "cuda")
    _write(out, facts, alone, streams)
    print(out)
    return 0


def _write(out: Path, facts: dict[str, Any], steps: list[StepBench], streams: list[StreamBench]) -> None:
    from dataclasses import asdict

    from insula.io import write_json

    write_json(
        out, {**facts, "steps": [asdict(told) for told in steps], "end_to_end": [asdict(told) for told in streams]}
    )


def _name(device: torch.device) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _cases(data: Path | None, patch: int) -> CaseSet:
    """A prepared cohort, or phantoms, each with another lesion."""
    import torch

    from insula.config import PrepareConfig
    from insula.errors import UsageError
    from insula.prepare import normalised
    from insula.simulate.phantom import Sphere, phantom_case, phantom_grid
    from insula.store import CaseSet, Store

    if data is not None:
        cases = CaseSet.from_store(Store(data))
        if min(cases.images[0].shape) < patch:
            raise UsageError("--patch", patch, "is larger than the prepared cases", "take a smaller one")
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
    """The middle of the first cases."""
    import torch

    from insula.train import Batch

    parts = []
    for n in range(size):
        image, mask = cases.images[n % len(cases)], cases.masks[n % len(cases)]
        i, j, k = (slice((m - patch) // 2, (m - patch) // 2 + patch) for m in image.shape)
        parts.append((image[i, j, k].float(), mask[i, j, k].float()))
    image, truth = (torch.stack(part)[:, None].to(device) for part in zip(*parts, strict=True))
    return Batch(image, truth, truth)


def _show_steps(found: list[StepBench], limits: Limits, *, voxels: int, cuda: bool) -> None:
    """Milliseconds on a GPU, multiples of the first network elsewhere; and how far the limits are."""
    from insula.cli.console import table

    timed = [told for told in found if told.cost is not None]
    if not timed:
        return
    first = timed[0].cost
    assert first is not None
    rows = []
    for told in timed:
        cost, work = told.cost, told.work
        assert cost is not None
        arithmetic = 1000 * work.tflop / limits.tflops if work else None
        traffic = 1000 * work.gb / limits.gb_per_s if work else None
        row = [
            told.title,
            round(told.parameters / 1e6, 1),
            round(cost.ms, 1) if cuda else round(cost.ms / first.ms, 2),
        ]
        if cuda:
            row += [round(voxels / cost.ms / 1000, 1), round(cost.gib, 1), round(100 * (cost.busy or 0))]
        row += [round(cost.ms / limit, 1) if limit else None for limit in (arithmetic, traffic)]
        rows.append(row)
    unit = ["step [ms]", "Mvoxel/s", "peak [GiB]", "GPU busy [%]"] if cuda else ["step [x the first]"]
    table(["a step alone", "parameters [M]", *unit, "x its arithmetic", "x its traffic"], rows)
    if cuda:
        print(f"limits measured: {limits.tflops:.3g} TFLOP/s, {limits.gb_per_s:.3g} GB/s")


def _show_streams(found: list[StreamBench], *, voxels: int, cuda: bool) -> None:
    from insula.cli.console import table

    timed = [told for told in found if told.why_not is None]
    for told in found:
        if told.why_not is not None:
            print(f"  {told.says}: {told.why_not}")
    if not timed:
        return
    rows = []
    for told in timed:
        row = [
            told.title,
            round(told.ms, 1) if cuda else round(told.ms / timed[0].ms, 2),
            round(100 * told.waits),
        ]
        rows.append([*row, round(voxels / told.ms / 1000, 1)] if cuda else row)
    unit = "step [ms]" if cuda else "step [x the first]"
    table(["data and augmentation too", unit, "waits for data [%]", *(["Mvoxel/s"] if cuda else [])], rows)
