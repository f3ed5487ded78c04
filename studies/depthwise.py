"""Why the state-space block computes its depth-wise convolution with a dense kernel on a GPU: both timed in one run.

python -m studies.depthwise [--repeats 10]

Forward and backward in bfloat16 at the sizes of the smart model's two coarsest stages. Needs a GPU.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from insula.bench import cost_of
from insula.nn.state_space import DepthwiseConv
from studies.rows import table

_SIZES = ((160, (24, 28, 22)), (352, (12, 14, 11)))


def main() -> None:
    """Time both forms and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("there is no GPU here")
    print(f"{torch.cuda.get_device_name()}\n")
    rows = []
    for channels, grid in _SIZES:
        x = torch.randn(1, channels, *grid, device="cuda").contiguous(memory_format=torch.channels_last_3d)
        x.requires_grad_()
        layer = DepthwiseConv(channels).cuda()
        both = [_milliseconds(form, x, arguments.repeats) for form in (partial(nn.Conv3d.forward, layer), layer)]
        rows.append([str(channels), "x".join(map(str, grid)), *(f"{ms:.2f}" for ms in both)])
    print(table(["channels", "grid", "depth-wise kernel [ms]", "dense kernel [ms]"], rows))


def _milliseconds(layer: Callable[[Tensor], Tensor], x: Tensor, repeats: int) -> float:
    def once() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            y = layer(x)
        y.float().sum().backward()

    return cost_of(once, x.device, repeats=repeats).ms


if __name__ == "__main__":
    main()
