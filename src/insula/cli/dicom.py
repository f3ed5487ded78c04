"""`insula dicom listen`: a DICOM node between a scanner and an archive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import UseAppendAction, arg

from insula.cli.doors import check_door, until_stopped

__all__ = ["COMMANDS", "listen"]


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
    """Run a DICOM node that receives studies, segments their T1w series and sends the results to an archive.

    Studies arrive by C-STORE; a series is segmented once it is complete, and its segmentation and report are sent. An
    image that was acknowledged is never lost, even if the node is killed. Results that the archive did not accept are
    sent again; results that insula doubts are not sent. DICOM has no passwords, so only this machine can reach the node
    unless --host is changed. For research only; not a medical device.

    Args:
        send: Archive that receives the results by C-STORE, as TITLE@HOST:PORT; without an archive, they stay in
            the folder of --store.
        stow: Archive that receives the results by STOW-RS, as the address of its DICOMweb service.
        store: Folder for series, jobs and results.
        host: Address to listen on.
        port: Port to listen on; 0 picks a free port.
        title: AE title of the node, INSULA if not given; callers that use another title are refused.
        callers: AE titles that may call; any if not given.
        tls_cert: Certificate of the node (PEM); with it, the node accepts TLS connections only.
        tls_key: Private key of the certificate (PEM).
        tls_ca: Authorities that sign callers' certificates (PEM); callers without such a certificate are refused.
        metrics_port: Port for Prometheus metrics at GET /metrics.
        audit: Log file with one JSON line for every association and job: time, caller, outcome, milliseconds.
        weights: Bundled weights by name, or your own file or folder.
        settings: TOML file with titles, times and limits.
        set: Override one setting, e.g. --set quiet_seconds=30; repeatable.
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


COMMANDS: dict[str, Callable[..., int]] = {"listen": listen}
"""The commands of `insula dicom`."""
