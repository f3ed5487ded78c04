"""`insula dicom listen`: a node between a scanner and an archive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import UseAppendAction, arg
from tyro.extras import SubcommandApp

from insula.cli.doors import check_door, until_stopped

__all__ = ["listen", "verbs"]


def verbs() -> SubcommandApp:
    """The group's verbs."""
    app = SubcommandApp()
    app.command(listen)
    return app


def listen(
    send: str | None = None,
    store: Path = Path("insula-dicom"),
    host: str = "127.0.0.1",
    port: int = 11112,
    weights: Annotated[str | None, arg(aliases=("--model",))] = None,
    settings: Path | None = None,
    set: UseAppendAction[tuple[str, ...]] = (),
    debug: bool = False,
) -> int:
    """Receive series by C-STORE, segment them once they are complete, send segmentation and report to an archive.

    What was acknowledged outlives whatever is killed; what the archive did not take is offered again. Only this machine can call
    the node unless --host says otherwise, for DICOM knows no password. For research only; not a medical device.

    Args:
        send: Archive that gets the results, as TITLE@HOST:PORT; without it they stay in --store.
        store: Folder of series, jobs and results.
        host: Address to listen at.
        port: Port to listen at; 0 takes a free one.
        weights: Bundled weights by name, or a folder or file of your own.
        settings: A TOML file of titles, times and limits.
        set: One of them, e.g. --set quiet_seconds=30; repeatable.
        debug: Show a traceback on errors.
    """
    check_door("the node", packages=("pynetdicom", "highdicom", "fastapi"), extras="dicom,serve", port=port)

    from insula.config import ListenConfig, load_knobs
    from insula.serve.dicom import Target
    from insula.serve.dicom import listen as run

    chosen = (*set, f"service.model={weights}") if weights is not None else set
    config = load_knobs(ListenConfig, settings, chosen, what="the settings")
    target = Target.parse(send) if send is not None else None
    with until_stopped():
        run(store, config, address=(host, port), target=target, announce=lambda where: print(where, flush=True))
    return 0
