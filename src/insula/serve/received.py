"""The file that a request carries: received within the limits of the service."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from fastapi import HTTPException, Request

from insula.errors import InsulaError, Unavailable
from insula.serve.form import file_of_form, is_form
from insula.serve.service import Service
from insula.serve.upload import Received, Unknown, receive, recognise
from insula.serve.worker import error_body

__all__ = ["completed", "receive_body", "received_mask", "refused", "reserve_place"]

T = TypeVar("T")


def reserve_place(service: Service) -> str:
    """Reserve a place among the uploads in progress, and return its id; the caller discards it from `receiving`.

    Raises:
        Unavailable: too many uploads are in progress.
    """
    if len(service.receiving) >= service.config.most_uploads:
        rule = f"is at its limit ({service.config.most_uploads})"
        raise Unavailable("the number of uploads in progress", "", rule, "try again later")
    id = secrets.token_hex(16)
    service.receiving.add(id)
    return id


async def receive_body(request: Request, service: Service, path: Path) -> Received:
    """Write the body of a request, or the one file of its form, to a path, within the limits of the service.

    Raises:
        InsulaError: the upload is too large or too slow, or cannot be written.
    """
    config, pieces, kind = service.config, aiter(request.stream()), request.headers.get("content-type", "")
    return await receive(
        file_of_form(pieces, kind) if is_form(kind) else pieces,
        path,
        most_bytes=config.most_mb * 10**6,
        pause_seconds=config.body_seconds,
        total_seconds=60 * config.upload_minutes,
    )


@asynccontextmanager
async def received_mask(request: Request, service: Service) -> AsyncIterator[Path]:
    """Receive a NIfTI file, within the limits of an upload, and delete it in the end.

    Args:
        request: its body is the file, or a form with this one file.
        service: the service that takes it.

    Yields:
        The path of the file, with the ending that fits its content.

    Raises:
        Unavailable: too many uploads are in progress.
        InsulaError: the upload is too large, too slow, damaged or not NIfTI.
    """
    id = reserve_place(service)
    part = path = service.store.incoming / id
    try:
        await receive_body(request, service, part)
        ending = await asyncio.to_thread(recognise, part)
        if not ending.startswith(".nii"):
            raise Unknown("the mask", "", "is DICOM or an archive, not NIfTI", "send .nii or .nii.gz")
        path = part.rename(part.with_name(f"mask-{id}{ending}"))
        yield path
    finally:
        service.receiving.discard(id)
        for file in (part, path):
            file.unlink(missing_ok=True)


def refused(error: InsulaError, status: int) -> HTTPException:
    """Returns the HTTP error with a status and the parts of an error.

    Args:
        error: why the request is refused.
        status: the HTTP status.
    """
    return HTTPException(status, error_body(error))


async def completed(work: Callable[[], T]) -> T:
    """Run work in a thread and return its outcome; a request that is cancelled waits for it too.

    What the caller holds meanwhile, e.g. a lock or a file, is then never given up under a thread that needs it.

    Args:
        work: the work.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
