"""A network compiled ahead by PyTorch: no compiler at start-up, no Python in the network."""

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
from insula.types import Shape

__all__ = ["compiled_package", "package_run", "prove", "try_package"]

_APART = 0.2
"""Mean difference of logits, as a part of their mean distance from their mean; seen: 0.03 in half precision, 0.7 where the image was turned."""
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
    """The network for one volume of one size, as a package of AOTInductor; a minute or two of compiling.

    It runs on processors or GPUs like the one it was made on, in the same version of PyTorch, from Python and C++. Its input is float32, (1, 1, i, j, k),
    its output as `Deployed` gives it. It has been run once, in a process of its own: what a compiler got wrong ends that one.

    Args:
        model: in evaluation mode; untouched.
        shape: of the volume.
        device: for which.
        precision: of its arithmetic.
        scaling: as `Deployed` takes it.
        about: kept as the package's metadata.

    Raises:
        Unavailable: it could not be compiled, for lack of a compiler or of memory, say; or it does not run, or gives something else.
    """
    network = _laid_out(Deployed(model, scaling, precision).to(device))
    image = torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(0)).to(device)
    with tempfile.TemporaryDirectory(prefix="insula-") as folder, torch.no_grad(), quiet("torch"):
        path = Path(folder) / "package.pt2"
        torch.save((image, network(image), scaling is not None), Path(folder) / "example.pt")
        program = torch.export.export(network, (image,))
        try:
            # weights as they are used, cast once; in half precision on a GPU that gave state spaces wrong ones (PyTorch 2.11)
            frozen = not any(isinstance(module, StateSpace) for module in network.modules())
            configs = {"aot_inductor.metadata": dict(about), "freezing": frozen}
            torch._inductor.aoti_compile_and_package(program, package_path=str(path), inductor_configs=configs)
        except Exception as error:  # of many kinds; a compiler's own
            said = next(iter(str(error).strip().splitlines()), "it does not say why")
            rule = f"could not be compiled ahead ({said[:120]})"
            remedy = (
                "install a C++ compiler" if "Compile" in type(error).__name__ or "compiler" in said else "use PyTorch"
            )
            raise Unavailable("the network", type(error).__name__, rule, remedy) from error
        del network, program, image  # there are two processes on the GPU now
        torch.cuda.empty_cache()
        prove(path, Path(folder) / "example.pt", device)
        return path.read_bytes()


def package_run(path: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    """A package as a function of an image on its device; only of files that insula made, for a package is a program."""
    # `torch._inductor.aoti_load_package` would import the compiler, and run it to compare this machine with the package's: seconds, half a minute on some machines
    loader = torch._C._aoti.AOTIModelPackageLoader(str(path), "model", False, 1, _number(device))

    def run(image: Tensor) -> Tensor:
        logits: Tensor
        [logits] = loader.boxed_run([_plain(image.to(device))])
        return logits

    return run


def prove(path: Path, example: Path, device: torch.device) -> None:
    """Try a package in a process of its own: a compiler that links the C++ library into it, say, makes one that ends its program.

    Args:
        path: the package.
        example: as `try_package` takes it.
        device: where.

    Raises:
        Unavailable: it does not run, or gives something else.
    """
    where = "cpu" if device.type == "cpu" else f"{device.type}:{_number(device)}"
    call = [sys.executable, "-P", "-c", _TRY, str(path), str(example), where]
    try:
        done = subprocess.run(
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
        raise Unavailable("the package", f"for {where}", rule, "use PyTorch") from error
    if done.returncode < 0:
        rule = f"was compiled, and ends the program that loads it (signal {-done.returncode})"
        remedy = (
            "try another C++ compiler, e.g. CXX=/usr/bin/g++"
            if -done.returncode in _COMPILERS
            else "see whether memory is short"
        )
        raise Unavailable("the package", f"for {where}", rule, f"{remedy}, or use PyTorch")
    said = (done.stdout.strip() or done.stderr.strip() or "it does not say why").splitlines()[-1]
    if done.returncode or said != _RIGHT:
        raise Unavailable("the package", f"for {where}", f"does not run as it should ({said[:120]})", "use PyTorch")


def try_package(package: str, example: str, device: str) -> str:
    """Run a package on an image and compare with what the network said; by a process that may end on it.

    Each output is judged on its own, by its logits. Lesion probability is 0 outside the brain, which has no logit: it is compared where both give
    some, and the brain's own output shows whether both end at the same place.

    Args:
        package: its file.
        example: image, answer, and whether that is probabilities, as `torch.save` writes them.
        device: where.

    Returns:
        That it computes the same, or what is wrong.
    """
    image, wanted, probabilities = torch.load(example, map_location=device, weights_only=True)
    with torch.no_grad():
        found = package_run(Path(package), torch.device(device))(image)
    if found.shape != wanted.shape:
        return f"what it computes has the shape {tuple(found.shape)} instead of {tuple(wanted.shape)}"
    there = wanted.isfinite()  # noise may be too much for float16 where a head is not
    if not found[there].isfinite().all():
        return "what it computes is not finite"
    if probabilities:
        if wanted.shape[1] > 1:
            there[:, 0] &= (found[:, 0] > 0) & (wanted[:, 0] > 0)
        found, wanted = (torch.logit(one, eps=1e-7) for one in (found, wanted))
    apart = max(_apart(found[:, n][there[:, n]], wanted[:, n][there[:, n]]) for n in range(wanted.shape[1]))
    return _RIGHT if apart < _APART else f"what it computes is off by {100 * apart:.0f} %"


def _apart(found: Tensor, wanted: Tensor) -> float:
    """Mean difference, as a part of the mean distance of what was wanted from its mean; 0 for nothing."""
    spread = (wanted - wanted.mean()).abs().mean() + 1e-6
    return float((found - wanted).abs().mean() / spread) if wanted.numel() else 0.0


def _number(device: torch.device) -> int:
    """Of a GPU; -1 for a processor."""
    if device.type != "cuda":
        return -1
    return torch.cuda.current_device() if device.index is None else device.index


def _laid_out(network: Deployed) -> Deployed:
    """Channels last but for what has one channel: there both layouts look the same to cuDNN, and AOTInductor took the other one than cuDNN did."""
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    for module in network.modules():
        if isinstance(module, nn.Conv3d) and module.in_channels == 1:
            module.weight = nn.Parameter(_plain(module.weight.detach()), requires_grad=False)
    return network


def _plain(x: Tensor) -> Tensor:
    """Strides as of a new tensor; of an axis of one element they can be others in what counts as contiguous."""
    return x.contiguous().view(-1).view(x.shape)
