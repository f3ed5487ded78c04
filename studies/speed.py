"""A whole brain through several networks, side by side, each in a process of its own: memory, and time as a ratio.

python -m studies.speed [--repeats 3] [--out studies/results/speed.json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from insula.checkpoint import load_weights
from insula.config import AttentionUNet, ModelConfig, PlainUNet, SegmentConfig
from insula.infer import choose_precision, infer, precision_name
from insula.io import write_json
from insula.models import build_model
from studies.rows import table

_BOX = (192, 224, 176)
_FIRST = "baseline"
_MOST_GIB = 6.0


def _ours(config: ModelConfig | str, **options: Any) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """A network with bundled weights by name, or of a configuration with random weights."""
    model = (load_weights(config).model if isinstance(config, str) else build_model(config)).eval()
    return model, lambda image: infer(model, image, SegmentConfig(device="cpu", **options))[0].lesion


def _theirs(model: nn.Module, *, half: bool) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    model.eval()

    def once(image: Tensor) -> Tensor:
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            return model(image)

    return model, once


def _segresnet(*, half: bool) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    from monai.networks.nets.segresnet import SegResNet

    return _theirs(SegResNet(spatial_dims=3, init_filters=16, in_channels=1, out_channels=1), half=half)


def _monai_unet(*, half: bool) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    from monai.networks.nets.unet import UNet

    model = UNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=1,
        channels=(16, 32, 64, 128, 256),
        strides=(2, 2, 2, 2),
        num_res_units=2,
    )
    return _theirs(model, half=half)


def _nnunet_style(*, half: bool) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    from monai.inferers.utils import sliding_window_inference
    from monai.networks.nets.dynunet import DynUNet

    model = DynUNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=1,
        kernel_size=[3] * 6,
        strides=[1, 2, 2, 2, 2, 2],
        upsample_kernel_size=[2] * 5,
        filters=[32, 64, 128, 256, 320, 320],
        norm_name="instance",
    ).eval()
    _, once = _theirs(model, half=half)

    def tiled(image: Tensor) -> Tensor:
        windows = sliding_window_inference(image, (128, 128, 128), 1, once, overlap=0.5, mode="gaussian")
        return cast(Tensor, windows)  # of a network with one output

    return model, tiled


CONTENDERS: dict[str, Callable[[], tuple[nn.Module, Callable[[Tensor], Tensor]]]] = {
    _FIRST: lambda: _ours(_FIRST),
    "baseline, float32": lambda: _ours(_FIRST, precision="float32"),
    "baseline, tiled": lambda: _ours(_FIRST, passes="tiled"),
    "enhanced": lambda: _ours("enhanced"),
    "enhanced, float32": lambda: _ours("enhanced", precision="float32"),
    "enhanced, ONNX Runtime": lambda: _ours("enhanced", engine="onnxruntime"),
    "enhanced, OpenVINO, float32": lambda: _ours("enhanced", engine="openvino", precision="float32"),
    "enhanced, OpenVINO": lambda: _ours("enhanced", engine="openvino"),
    "smart": lambda: _ours("smart"),
    "attention_unet, a stage at full resolution": lambda: _ours(AttentionUNet(norm="instance", stem="full")),
    "plain_unet, one pass": lambda: _ours(PlainUNet()),
    "MONAI SegResNet, bfloat16": lambda: _segresnet(half=True),
    "MONAI SegResNet, float32": lambda: _segresnet(half=False),
    "MONAI UNet, bfloat16": lambda: _monai_unet(half=True),
    "MONAI UNet, float32": lambda: _monai_unet(half=False),
    "nnU-Net-style DynUNet, 128^3 windows, 50 % overlap, bfloat16": lambda: _nnunet_style(half=True),
    "nnU-Net-style DynUNet, 128^3 windows, 50 % overlap, float32": lambda: _nnunet_style(half=False),
}


def _time_contender(name: str) -> None:
    """Time one contender in a process of its own, so that the peak of memory is its own."""
    torch.manual_seed(0)
    model, run = CONTENDERS[name]()
    image = torch.randn(1, 1, *_BOX)
    if "DynUNet" not in name:  # one-off costs; the graph of an engine has a fixed size
        run(image if "ONNX" in name or "OpenVINO" in name else torch.randn(1, 1, 64, 64, 64))
    start = time.perf_counter()
    run(image)
    seconds = time.perf_counter() - start
    peak = next(
        int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    parameters = sum(p.numel() for p in model.parameters())
    print(json.dumps({"seconds": seconds, "peak_gib": peak / 2**20, "parameters": parameters}))


def main() -> None:
    """Run all contenders in rotation; print ratios, write all results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("studies/results/speed.json"))
    parser.add_argument("--child", metavar="NAME", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        _time_contender(arguments.child)
        return
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    for _ in range(arguments.repeats):
        for name, results in runs.items():
            print(f"{name} ...", file=sys.stderr, flush=True)
            done = subprocess.run(
                [sys.executable, "-m", "studies.speed", "--child", name], stdout=subprocess.PIPE, text=True, check=True
            )
            results.append(json.loads(done.stdout.splitlines()[-1]))
    first = statistics.median(run["seconds"] for run in runs[_FIRST])
    precision = precision_name(choose_precision(torch.device("cpu"), "auto"))
    box, threads = "x".join(map(str, _BOX)), torch.get_num_threads()
    print(f"one volume of {box}, {threads} CPU threads; auto precision here is {precision}\n")
    rows = []
    for name, results in runs.items():
        peak = max(run["peak_gib"] for run in results)
        ratio = statistics.median(run["seconds"] for run in results) / first
        rows.append([name, f"{results[0]['parameters'] / 1e6:.1f}", f"{peak:.1f}", f"{ratio:.1f}"])
    print(table(["network", "parameters [M]", "peak memory [GiB]", "time, as a multiple of the first"], rows))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(
        arguments.out,
        {"threads": threads, "precision": precision, "torch": torch.__version__, "runs": runs},
    )
    worst = max(run["peak_gib"] for name in (_FIRST, "baseline, float32") for run in runs[name])
    if worst > _MOST_GIB:
        sys.exit(f"peak memory {worst:.1f} GiB is over {_MOST_GIB} GiB")


if __name__ == "__main__":
    main()
