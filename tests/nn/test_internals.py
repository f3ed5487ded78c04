"""PyTorch's internals are where they were, do what they did, and are used in one file."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

import pytest
import torch

from insula.errors import Unavailable
from insula.nn.internals import SEEN, compile_package, load_package, watched_operations, writes_of

_ROOT = Path(__file__).parents[2]
_NAMES = (
    "torch.Tensor._version",
    "torch._amp_update_scale_",
    "torch._foreach_add_",
    "torch._foreach_copy_",
    "torch._foreach_mul_",
    "torch._foreach_sub",
    "torch._inductor.aoti_compile_and_package",
    "torch._C._aoti.AOTIModelPackageLoader.boxed_run",
    "torch._C.FunctionSchema.returns",
    "torch.utils._python_dispatch.TorchDispatchMode.__torch_dispatch__",
)
_INTERNAL = re.compile(r"\btorch(\.\w+)*\._[a-z]|\btorch\._C\b|\._(version|schema)\b")


def _compiled() -> object:
    program = torch.export.export(torch.nn.Identity(), (torch.zeros(1),))  # imports much, so not on collection
    return compile_package(program, Path("it.pt2"), {})


def test_the_pinned_version_was_seen_to_work() -> None:
    pinned = re.search(r"^torch==([\d.]+)$", (_ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned
    assert pinned[1] in SEEN, f"run tests/nn/test_internals.py and tests/infer/test_package.py, then add {pinned[1]}"


@pytest.mark.parametrize("name", _NAMES)
def test_each_internal_is_still_there(name: str) -> None:
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        seen = " and ".join(SEEN)
        pytest.fail(f"{name} was in PyTorch {seen}, and is not in {torch.__version__}: change insula/nn/internals.py")


def test_no_other_file_uses_internals() -> None:
    allowed = {"nn/internals.py"}
    source = _ROOT / "src" / "insula"
    users = {path.relative_to(source).as_posix() for path in source.rglob("*.py") if _INTERNAL.search(path.read_text())}
    assert users <= allowed


def test_writes_in_place_are_counted() -> None:
    tensor = torch.zeros(2)
    before = writes_of(tensor)
    tensor.add_(1)
    tensor[0] = 3
    assert writes_of(tensor) == before + 2
    _ = tensor + 1
    tensor.data.zero_()
    assert writes_of(tensor) == before + 2
    with torch.inference_mode():
        assert writes_of(torch.zeros(2).add_(1)) == 0


def test_every_operation_is_watched_and_views_are_known() -> None:
    seen: list[tuple[object, object, bool]] = []
    x = torch.ones(2, 3, requires_grad=True)
    with watched_operations(lambda inputs, outputs, view: seen.append((inputs, outputs, view))):
        y = x.view(3, 2).mul(2).sum()
        forward = len(seen)
        y.backward()
    assert [view for _, _, view in seen[:3]] == [True, False, False]
    assert forward < len(seen), "backward too"
    (two, factor), product, _ = seen[1]  # type: ignore[misc]
    assert (two.shape, factor, product.sum().item()) == ((3, 2), 2, 12)  # type: ignore[has-type]
    count = len(seen)
    _ = x + 1
    assert len(seen) == count, "nothing outside the block"


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("torch._inductor.aoti_compile_and_package", _compiled),
        ("torch._C._aoti.AOTIModelPackageLoader", lambda: load_package(Path("it.pt2"), -1)),
        ("torch.utils._python_dispatch.TorchDispatchMode", lambda: watched_operations(print).__enter__()),
    ],
)
def test_what_is_gone_is_named(name: str, use: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(name)
    with pytest.raises(
        Unavailable, match=rf"{name} is not in PyTorch {torch.__version__[:4]}.*install PyTorch {SEEN[-1]}"
    ):
        use()  # type: ignore[operator]
