"""A network compiled ahead by PyTorch: no compiler at start-up, no Python in the network."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from insula.errors import Unavailable
from insula.infer.deployed import Deployed
from insula.infer.quiet import quiet
from insula.models import UNet
from insula.types import Shape

__all__ = ["compiled_package", "package_run"]


def compiled_package(
    model: UNet, shape: Shape, device: torch.device, *, precision: torch.dtype, temperature: float | None = None,
    about: Mapping[str, str] = {},
) -> bytes:  # fmt: skip
    """The network for one volume of one size, as a package of AOTInductor; half a minute of compiling.

    It runs on processors or GPUs like the one it was made on, in the same version of PyTorch, from Python and C++. Its input and output are float32,
    (1, 1, i, j, k).

    Args:
        model: in evaluation mode; untouched.
        shape: of the volume.
        device: for which.
        precision: of its arithmetic.
        temperature: as `Deployed` takes it.
        about: kept as the package's metadata.

    Raises:
        Unavailable: it could not be compiled, for lack of a compiler or of memory, say.
    """
    network = Deployed(model, temperature, precision).to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    example = torch.zeros(1, 1, *shape, device=device).contiguous(memory_format=torch.channels_last_3d)
    with tempfile.TemporaryDirectory(prefix="insula-") as folder, torch.no_grad(), quiet("torch"):
        path = Path(folder) / "package.pt2"
        program = torch.export.export(network, (example,))
        try:
            torch._inductor.aoti_compile_and_package(
                program, package_path=str(path), inductor_configs={"aot_inductor.metadata": dict(about)}
            )
        except Exception as error:  # of many kinds; a compiler's own
            said = next(iter(str(error).strip().splitlines()), "it does not say why")
            rule = f"could not be compiled ahead ({said[:120]})"
            remedy = "install a C++ compiler" if "Compile" in type(error).__name__ or "compiler" in said else "use PyTorch"  # fmt: skip
            raise Unavailable("the network", type(error).__name__, rule, remedy) from error
        return path.read_bytes()


def package_run(path: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    """A package as a function of an image on its device; only of files that insula made, for a package is a program."""
    number = device.index if device.index is not None else torch.cuda.current_device() if device.type == "cuda" else -1
    loaded = torch._inductor.aoti_load_package(str(path), device_index=number)

    def run(image: Tensor) -> Tensor:
        return loaded(image.to(device).contiguous(memory_format=torch.channels_last_3d))

    return run
