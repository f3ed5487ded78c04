"""Why the state-space block's depth-wise convolution is a dense one on a GPU: both, side by side, in one run.

python -m studies.depthwise [--repeats 10]

Forward and backward in bfloat16 at the sizes of the smart model's two coarsest stages. Needs a GPU.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from insula.nn.state_space import DepthwiseConv

_SIZES = ((160, (24, 28, 22)), (352, (12, 14, 11)))


def main() -> None:
    """Measure both forms and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("there is no GPU here")
    print(
        f"{torch.cuda.get_device_name()}\n\n| channels | grid | depth-wise kernel [ms] | dense kernel [ms] |\n|---|---|---|---|"
    )
    for channels, grid in _SIZES:
        x = torch.randn(1, channels, *grid, device="cuda").contiguous(memory_format=torch.channels_last_3d)
        x.requires_grad_()
        layer = DepthwiseConv(channels).cuda()
        both = [_time(form, x, arguments.repeats) for form in (lambda y, m=layer: nn.Conv3d.forward(m, y), layer)]
        print(f"| {channels} | {'x'.join(map(str, grid))} | {both[0]:.2f} | {both[1]:.2f} |")


def _time(layer: Callable[[Tensor], Tensor], x: Tensor, repeats: int) -> float:
    def once() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            y = layer(x)
        y.float().sum().backward()

    for _ in range(3):
        once()
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(repeats):
        once()
    torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - begun) / repeats


if __name__ == "__main__":
    main()
