"""Charts as inline SVG, drawn by matplotlib in the colours of the pages."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ACCENT", "LESION", "SOFT", "Chart", "chart", "site_colours"]

ACCENT, LESION, SOFT = "#0b7d7d", "#e0492b", "#7a8791"
_STYLE = {
    "svg.fonttype": "path",
    "svg.hashsalt": "insula",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": SOFT,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "text.color": SOFT,
    "axes.titlesize": 10,
    "axes.titlecolor": SOFT,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.grid": True,
    "grid.alpha": 0.2,
    "axes.axisbelow": True,
}


@dataclass
class Chart:
    """A chart in progress; `svg` is filled when the `with` block ends."""

    axes: Axes
    svg: str = ""


@contextmanager
def chart(*, width: float = 4.6, height: float = 3.4) -> Iterator[Chart]:
    """Open axes to draw on.

    Args:
        width: width [inches]; pages scale it.
        height: height [inches].

    Example:
        >>> with chart() as drawing:
        ...     _ = drawing.axes.plot([0, 1], [0, 1])
        >>> drawing.svg.startswith("<svg")
        True
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        drawing = Chart(figure.subplots())
        yield drawing
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    drawing.svg = re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1), count=1
    )


def site_colours(names: list[str]) -> dict[str, str]:
    """Return a colour for each site; the same list gives the same colours."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    wheel = colormaps["tab20"]
    return {name: to_hex(wheel(place % 20)) for place, name in enumerate(sorted(names))}
