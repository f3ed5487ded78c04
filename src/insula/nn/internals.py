"""PyTorch's internals that insula uses, in one place: they may change without notice."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from insula.errors import Unavailable

__all__ = [
    "SEEN",
    "adapt_scale",
    "compile_package",
    "copy_each",
    "load_package",
    "move_each",
    "scale_each",
    "step_unless",
    "watched_operations",
    "writes_of",
]

SEEN = ("2.13.0",)
"""Versions of PyTorch that all of this was seen to work with."""


def writes_of(tensor: Tensor) -> int:
    """Returns how often a tensor was written in place; 0 for one of inference mode. `.data` writes do not count."""
    return 0 if tensor.is_inference() else tensor._version


def compile_package(program: torch.export.ExportedProgram, path: Path, settings: Mapping[str, object]) -> None:
    """Compile an exported program into an AOTInductor package.

    Args:
        program: the program.
        path: of the package, which is written.
        settings: Inductor's settings.

    Raises:
        Unavailable: this PyTorch has another interface.
        Exception: any class; the compiler failed.
    """
    _internal("torch._inductor.aoti_compile_and_package")(
        program, package_path=str(path), inductor_configs=dict(settings)
    )


def load_package(path: Path, device_index: int) -> Callable[[list[Tensor]], list[Tensor]]:
    """Returns an AOTInductor package as a function from inputs to outputs.

    `torch._inductor.aoti_load_package` would import the compiler and run it to compare this machine with the package's,
    which takes seconds, on some machines half a minute.

    Args:
        path: of the package.
        device_index: index of the GPU; -1 for a processor.

    Raises:
        Unavailable: this PyTorch has another interface.
    """
    loader = _internal("torch._C._aoti.AOTIModelPackageLoader")(str(path), "model", False, 1, device_index)
    run: Callable[[list[Tensor]], list[Tensor]] = loader.boxed_run
    return run


@contextmanager
def watched_operations(look: Callable[[object, object, bool], None]) -> Iterator[None]:
    """Call `look` after every operation of PyTorch in the block, forward and backward.

    Args:
        look: called with the operation's inputs, its outputs, and whether the outputs are views of the inputs.

    Raises:
        Unavailable: this PyTorch has another interface.
    """

    class Watch(_internal("torch.utils._python_dispatch.TorchDispatchMode")):  # type: ignore[misc]
        def __torch_dispatch__(self, func: Any, types: object, args: Any = (), kwargs: Any = None) -> object:
            outputs = func(*args, **(kwargs or {}))
            aliases = [result.alias_info for result in func._schema.returns]
            view = any(alias is not None and not alias.is_write for alias in aliases)
            look((*args, *(kwargs or {}).values()), outputs, view)
            return outputs

    with Watch():
        yield


def copy_each(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    """Copy each source into its target, in few kernels."""
    torch._foreach_copy_(list(targets), list(sources))


def scale_each(tensors: Sequence[Tensor], factor: Tensor) -> None:
    """Multiply each tensor in place."""
    torch._foreach_mul_(list(tensors), factor)


def move_each(tensors: Sequence[Tensor], goals: Sequence[Tensor], rate: Tensor) -> None:
    """Move each tensor by `rate` towards its goal."""
    way = torch._foreach_sub(list(goals), list(tensors))
    torch._foreach_mul_(way, rate)
    torch._foreach_add_(list(tensors), way)


def adapt_scale(scale: Tensor, good: Tensor, wrong: Tensor, *, every: int) -> None:
    """Halve a loss scale after a wrong step, double it after `every` good ones; nothing is read from the device."""
    torch._amp_update_scale_(scale, good, wrong, 2.0, 0.5, every)


def step_unless(optimiser: torch.optim.Optimizer, wrong: Tensor) -> None:
    """Take a step of a fused optimiser unless `wrong` is 1; decided on the device."""
    optimiser.found_inf, optimiser.grad_scale = wrong, None  # type: ignore[attr-defined]
    optimiser.step()


def _internal(name: str) -> Any:
    try:
        return pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        raise Unavailable(name, "", f"is not in PyTorch {torch.__version__}", f"install PyTorch {SEEN[-1]}") from None
