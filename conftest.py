"""With CHECK_SHAPES=1, every call into insula checks the types and shapes in its signature."""

from __future__ import annotations

import os
from collections.abc import Iterator

import jaxtyping
import pytest

if os.environ.get("CHECK_SHAPES") == "1":
    from shapes import install

    install()


@pytest.fixture(autouse=True)
def _wrong_types(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave tests unchecked that give what a signature excludes, to see it refused."""
    unchecked = request.node.get_closest_marker("wrong_types") is not None
    jaxtyping.config.update("jaxtyping_disable", unchecked)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
