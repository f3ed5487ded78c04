"""`insula dicom listen`: a node between a scanner and an archive."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

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
    stow: str | None = None,
    store: Path = Path("insula-dicom"),
    host: str = "127.0.0.1",
    port: int = 11112,
    title: str | None = None,
    callers: tuple[str, ...] = (),
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    tls_ca: Path | None = None,
    metrics_port: int | None = None,
    audit: Path | None = None,
    weights: Annotated[str | None, arg(aliases=("--model",))] = None,
    settings: Path | None = None,
    set: UseAppendAction[tuple[str, ...]] = (),
    debug: bool = False,
) -> int:
    """Receive studies by C-STORE, segment their T1w series once they are complete, send segmentation and report to an archive.

    What was acknowledged outlives whatever is killed; what the archive did not take is offered again; what was doubted is not sent. Only
    this machine can call the node unless --host says otherwise, for DICOM knows no password. For research only; not a medical device.

    Args:
        send: Archive that gets the results by C-STORE, as TITLE@HOST:PORT; without it and --stow they stay in --store.
        stow: Archive that gets the results by STOW-RS: the address of its DICOMweb service.
        store: Folder of series, jobs and results.
        host: Address to listen at.
        port: Port to listen at; 0 takes a free one.
        title: AE title of the node, INSULA if not given; who calls it by another is turned away.
        callers: AE titles that may call; any if not given.
        tls_cert: The node's certificate (PEM); it then listens by TLS only.
        tls_key: Its private key (PEM).
        tls_ca: Who may sign callers' certificates (PEM); callers without one are turned away.
        metrics_port: Port at which Prometheus finds GET /metrics.
        audit: File to which a line of JSON is added for every association and job: time, who, outcome, milliseconds.
        weights: Bundled weights by name, or a folder or file of your own.
        settings: A TOML file of titles, times and limits.
        set: One of them, e.g. --set quiet_seconds=30; repeatable.
        debug: Show a traceback on errors.
    """
    check_door("the node", packages=("pynetdicom", "highdicom", "fastapi"), extras="dicom,serve", port=port)

    from insula.config import ListenConfig, load_knobs
    from insula.serve.dicom import Archive, Stow, Target, archive_context
    from insula.serve.dicom import listen as run

    chosen = (*set, f"service.model={weights}") if weights is not None else set
    config = load_knobs(ListenConfig, settings, chosen, what="the settings")
    flags: dict[str, Any] = {
        "title": title,
        "callers": callers or None,
        "metrics_port": metrics_port,
        "tls_cert": tls_cert and str(tls_cert),
        "tls_key": tls_key and str(tls_key),
        "tls_ca": tls_ca and str(tls_ca),
    }
    config = replace(config, **{name: value for name, value in flags.items() if value is not None})
    if audit is not None:
        config = replace(config, service=replace(config.service, audit=str(audit)))
    archives: list[Archive] = []
    if send is not None:
        tls = archive_context(config) if config.send_tls else None
        archives.append(Target.parse(send, caller=config.title, tls=tls))
    if stow is not None:
        archives.append(Stow.parse(stow, tls=archive_context(config) if stow.startswith("https") else None))
    with until_stopped():
        run(store, config, address=(host, port), archives=archives, announce=lambda where: print(where, flush=True))
    return 0
