"""Pages of a served study, each with a policy that lets only its own script run."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from fastapi.responses import HTMLResponse

__all__ = ["NO_SCRIPTS", "entrance", "page_response"]

_ENTRANCE = Path(__file__).with_name("enter.html")
_ALWAYS = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; "
)
NO_SCRIPTS = _ALWAYS + "script-src 'none'"
"""Policy for a file of the folder, which may come from elsewhere."""


def page_response(html: str) -> HTMLResponse:
    """Return a page whose last script may run and call this service.

    Args:
        html: the page; that script is in the page itself.
    """
    script = html.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = _ALWAYS + f"script-src 'sha256-{digest}'; connect-src 'self'"
    return HTMLResponse(html, headers={"Content-Security-Policy": policy})


def entrance() -> HTMLResponse:
    """Return the page on which a browser exchanges a token for access; it shows nothing of the study."""
    return page_response(_ENTRANCE.read_text(encoding="utf-8"))
