"""What normalisation costs: memory and time of a training step on a whole volume, side by side.

python -m studies.norms [--box 192 224 176] [--compile] [--repeats 10] [--device cuda] [--out FILE]

The baseline with each normalisation everywhere, and with none at full resolution (as in the recipes): forward, loss,
backward and optimiser, batch 1, bfloat16 autocast on a GPU. All run in one process, each after the memory of the last
is freed. Times are multiples of the first row on a CPU, milliseconds on a GPU; peak memory is a GPU's.
"""

from __future__ import annotations

import argparse
import gc
import statistics
from pathlib import Path
from typing import Any, get_args

import torch

from insula.config import AttentionUNet
from insula.config.models import Norm
from insula.io import write_json
from insula.losses import compound
from insula.models import build_model
from studies.clock import machine, seconds_of, training_step
from studies.rows import table


def main() -> None:
    """Time every combination, print a table and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--box", type=int, nargs=3, default=[192, 224, 176])
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=Path("studies/results/norms.json"))
    arguments = parser.parse_args()
    rows = []
    for norm in get_args(Norm):
        for full in dict.fromkeys((norm, "none")):
            rows.append(_measure(AttentionUNet(norm=norm, full_norm=full, stem="full"), arguments))
            print(f"norm {norm}, at full resolution {full}: done", flush=True)
    cuda = arguments.device.startswith("cuda")
    unit, scale = ("ms", 1e-3) if cuda else ("x", rows[0]["seconds"] or 1.0)
    lines = []
    for row in rows:
        step = "out of memory" if row["seconds"] is None else f"{row['seconds'] / scale:.1f}"
        memory = "-" if row["gib"] is None else f"{row['gib']:.2f}"
        lines.append([row["norm"], row["full_norm"], memory, step])
    print("\n" + table(["norm", "at full resolution", "peak memory [GiB]", f"step [{unit}]"], lines))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out, {**machine(torch.device(arguments.device)), "box": arguments.box, "rows": rows})


def _measure(config: AttentionUNet, arguments: argparse.Namespace) -> dict[str, Any]:
    device = torch.device(arguments.device)
    row: dict[str, Any] = {"norm": config.norm, "full_norm": config.full_norm, "seconds": None, "gib": None}
    gc.collect()
    try:
        row["seconds"], peak = _step_cost(config, arguments, device)
    except torch.OutOfMemoryError:
        return row
    if device.type == "cuda":
        row["gib"] = peak / 2**30
    return row


def _step_cost(config: AttentionUNet, arguments: argparse.Namespace, device: torch.device) -> tuple[float, int]:
    torch.manual_seed(0)
    model = build_model(config).to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    run = torch.compile(model) if arguments.compile else model
    image = torch.randn(1, 1, *arguments.box, device=device).contiguous(memory_format=torch.channels_last_3d)
    step, _ = training_step(model, run, compound([(1.0, "dice"), (1.0, "cross_entropy")]), image, (image > 2).float())
    warm = 3 if device.type == "cuda" else 1
    times, peak = seconds_of(step, device, warm=warm, repeats=arguments.repeats)
    return statistics.median(times), peak


if __name__ == "__main__":
    main()
