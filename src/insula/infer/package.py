"""A network compiled ahead of time by PyTorch: no compiler at start-up, no Python in the network."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from insula.config import Scaling
from insula.errors import Unavailable
from insula.infer.deployed import Deployed
from insula.infer.quiet import quiet
from insula.models import UNet
from insula.nn import StateSpace
from insula.nn.internals import compile_package, load_package
from insula.types import Shape

__all__ = ["compiled_package", "package_run", "prove", "try_package"]

_TOLERANCE = 0.2
"""Largest accepted mean difference of logits, relative to their mean distance from their mean. Measured: 0.03 in
half precision, 0.7 for a flipped image."""
_TRY = """
import sys
from insula.infer.package import try_package
print(try_package(*sys.argv[1:]))
"""
_TRY_S = 600
_RIGHT = "the same"
_COMPILERS = (signal.SIGSEGV, signal.SIGABRT, signal.SIGILL)


def compiled_package(
    model: UNet,
    shape: Shape,
    device: torch.device,
    *,
    precision: torch.dtype,
    scaling: Scaling | None = None,
    about: Mapping[str, str] = {},
) -> bytes:
    """Compile the network for volumes of one size into an AOTInductor package; takes a minute or two.

    The package runs on processors or GPUs like those it was compiled on, in the same version of PyTorch, from Python
    and C++. Its input is float32, (1, 1, i, j, k); its output is that of `Deployed`. It has been run once, in a
    separate process that a faulty package may crash.

    Args:
        model: in evaluation mode; left unchanged.
        shape: of the volume [voxels].
        device: the device to compile for.
        precision: of its arithmetic.
        scaling: as for `Deployed`.
        about: stored as the package's metadata.

    Raises:
        Unavailable: the network could not be compiled, e.g. for lack of a compiler or of memory; or the package does
            not run, or its output is wrong.
    """
    network = _channels_last(Deployed(model, scaling, precision).to(device))
    image = torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(0)).to(device)
    with tempfile.TemporaryDirectory(prefix="insula-") as folder, torch.no_grad(), quiet("torch"):
        path = Path(folder) / "package.pt2"
        torch.save((image, network(image), scaling is not None), Path(folder) / "example.pt")
        program = torch.export.export(network, (image,))
        try:
            # freezing casts the weights once; on a GPU in half precision it corrupted state spaces' (PyTorch 2.11)
            frozen = not any(isinstance(module, StateSpace) for module in network.modules())
            configs = {"aot_inductor.metadata": dict(about), "freezing": frozen}
            compile_package(program, path, configs)
        except Exception as error:  # compilers raise many classes
            reason = next(iter(str(error).strip().splitlines()), "it does not say why")
            rule = f"could not be compiled ahead ({reason[:120]})"
            remedy = (
                "install a C++ compiler" if "Compile" in type(error).__name__ or "compiler" in reason else "use PyTorch"
            )
            raise Unavailable("the network", type(error).__name__, rule, remedy) from error
        del network, program, image  # frees memory for the second process on the GPU
        torch.cuda.empty_cache()
        prove(path, Path(folder) / "example.pt", device)
        return path.read_bytes()


def package_run(path: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Returns a package as a function of an image on its device.

    A package is a program: load only files that insula wrote.
    """
    package = load_package(path, _device_index(device))

    def run(image: Tensor) -> Tensor:
        [logits] = package([_contiguous(image.to(device))])
        return logits

    return run


def prove(path: Path, example: Path, device: torch.device) -> None:
    """Run a package in a separate process, because a faulty package can crash the process that loads it.

    For example, a compiler that links the C++ library into the package makes such a package.

    Args:
        path: the package.
        example: as for `try_package`.
        device: where it runs.

    Raises:
        Unavailable: the package does not run, or its output is wrong.
    """
    device_name = "cpu" if device.type == "cpu" else f"{device.type}:{_device_index(device)}"
    call = [sys.executable, "-P", "-c", _TRY, str(path), str(example), device_name]
    try:
        process = subprocess.run(
            call,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=_TRY_S,
            check=False,
        )
    except (OSError, TypeError, subprocess.TimeoutExpired) as error:
        rule = f"was compiled, and could not be tried ({type(error).__name__})"
        raise Unavailable("the package", f"for {device_name}", rule, "use PyTorch") from error
    if process.returncode < 0:
        rule = f"was compiled, and ends the program that loads it (signal {-process.returncode})"
        remedy = (
            "try another C++ compiler, e.g. CXX=/usr/bin/g++"
            if -process.returncode in _COMPILERS
            else "see whether memory is short"
        )
        raise Unavailable("the package", f"for {device_name}", rule, f"{remedy}, or use PyTorch")
    verdict = (process.stdout.strip() or process.stderr.strip() or "it does not say why").splitlines()[-1]
    if process.returncode or verdict != _RIGHT:
        raise Unavailable(
            "the package", f"for {device_name}", f"does not run as it should ({verdict[:120]})", "use PyTorch"
        )


def try_package(package: str, example: str, device: str) -> str:
    """Run a package on an image and compare its output with the network's; the process may crash on it.

    Each output is compared by its logits, separately. Lesion probability is 0 outside the brain, which has no logit: it
    is compared where both are above 0, and the brain's own output shows whether both end at the same place.

    Args:
        package: path of the package.
        example: path of the image, the network's output, and whether that is probabilities, written by `torch.save`.
        device: where it runs.

    Returns:
        `the same`, or what is wrong.
    """
    image, wanted, probabilities = torch.load(example, map_location=device, weights_only=True)
    with torch.no_grad():
        result = package_run(Path(package), torch.device(device))(image)
    if result.shape != wanted.shape:
        return f"what it computes has the shape {tuple(result.shape)} instead of {tuple(wanted.shape)}"
    valid = wanted.isfinite()  # noise can overflow float16 where a head does not
    if not result[valid].isfinite().all():
        return "what it computes is not finite"
    if probabilities:
        if wanted.shape[1] > 1:
            valid[:, 0] &= (result[:, 0] > 0) & (wanted[:, 0] > 0)
        result, wanted = (torch.logit(prob, eps=1e-7) for prob in (result, wanted))
    difference = max(
        _difference(result[:, channel][valid[:, channel]], wanted[:, channel][valid[:, channel]])
        for channel in range(wanted.shape[1])
    )
    return _RIGHT if difference < _TOLERANCE else f"what it computes is off by {100 * difference:.0f} %"


def _difference(result: Tensor, wanted: Tensor) -> float:
    """Returns the mean difference, relative to the mean distance of `wanted` from its mean; 0 for empty tensors."""
    spread = (wanted - wanted.mean()).abs().mean() + 1e-6
    return float((result - wanted).abs().mean() / spread) if wanted.numel() else 0.0


def _device_index(device: torch.device) -> int:
    """Returns the index of a GPU; -1 for a processor."""
    if device.type != "cuda":
        return -1
    return torch.cuda.current_device() if device.index is None else device.index


def _channels_last(network: Deployed) -> Deployed:
    """Set the channels-last layout, except for convolutions of a single channel.

    With a single channel both layouts look the same to cuDNN, and AOTInductor chose another layout than cuDNN.
    """
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    for module in network.modules():
        if isinstance(module, nn.Conv3d) and module.in_channels == 1:
            module.weight = nn.Parameter(_contiguous(module.weight.detach()), requires_grad=False)
    return network


def _contiguous(tensor: Tensor) -> Tensor:
    """Returns a tensor with default strides, also along axes of length 1, which `contiguous` may leave alone."""
    return tensor.contiguous().view(-1).view(tensor.shape)
