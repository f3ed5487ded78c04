"""The HTTP routes: an upload becomes a job, and a job yields results."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime
from typing import Annotated, cast

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse
from pydantic import BaseModel, Field

from insula.report import thumbnail_of
from insula.serve.jobs import Job, Options, QueueFull
from insula.serve.parts import PARTS, part_path, record_of
from insula.serve.received import receive_body, reserve_place
from insula.serve.service import Owner, OwnJob, Service, TheService, answer_head, gone, problem
from insula.serve.upload import keep, recognise
from insula.types import VERSION

__all__ = ["MOST_UNDO_SECONDS", "router"]

MOST_UNDO_SECONDS = 60
"""Longest time for which a deletion can be undone [s]."""
router = APIRouter()


class SegmentQuery(BaseModel):
    """The parameters of a segmentation, named as on the command line."""

    threshold: float | None = Field(default=None, gt=0, le=1)
    tta: bool = False
    frame: int | None = Field(default=None, ge=0)
    series: int | None = None
    assume_orientation: str | None = Field(default=None, pattern="^[LRAPIS]{3}$")
    assume_t1w: bool = False


@router.post("/v1/segment", status_code=202)
async def segment(
    request: Request,
    response: Response,
    service: TheService,
    owner: Owner,
    query: Annotated[SegmentQuery, Query()],
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> dict[str, object]:
    """Queue a scan: a NIfTI file, or a zip or tar of a DICOM series, as the body or as a form's only file."""
    options = cast(Options, query.model_dump())
    if unknown := sorted(set(request.query_params) - set(options)):
        raise problem(422, f"the parameter {unknown[0][:40]}", "does not exist", f"use one of {', '.join(options)}")
    config, jobs = service.config, service.jobs
    waiting = (await asyncio.to_thread(jobs.count)).get("queued", 0)
    if waiting >= config.most_queued:  # it may also fill up during the upload: `Jobs.add` decides
        raise QueueFull("the queue", "", f"is full ({config.most_queued} jobs)", "try again later")
    id = reserve_place(service)
    part, folder = service.store.incoming / id, service.store.job(id).path
    try:
        received = await receive_body(request, service, part)
        ending = await asyncio.to_thread(recognise, part)
        await asyncio.to_thread(keep, part, folder / f"upload{ending}")
        job = await asyncio.to_thread(
            jobs.add,
            owner=owner,
            key=idempotency_key,
            upload=(id, received.sha256, received.bytes),
            options=options,
            keep_seconds=3600 * config.keep_hours,
            most_queued=config.most_queued,
        )
    except BaseException:  # also when the client disconnects
        part.unlink(missing_ok=True)
        service.store.remove(id)
        raise
    finally:
        service.receiving.discard(id)
    if job.id != id:
        service.store.remove(id)
        if (job.upload_sha256, job.options) != (received.sha256, options):
            raise problem(409, "the Idempotency-Key", "was used for another upload", "use a new one for each scan")
        response.status_code = 200
    request.state.job = job
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return _job_status(service, job)


@router.get("/v1/jobs")
def list_jobs(service: TheService, owner: Owner) -> list[dict[str, object]]:
    """List your jobs, newest first, without their records."""
    return [_job_status(service, job) for job in service.jobs.of(owner)]


@router.get("/v1/jobs/{id}")
def get_job(service: TheService, job: OwnJob) -> dict[str, object]:
    """Return a job's state and progress and, once it is done, its record."""
    status = _job_status(service, job)
    if job.state != "done":
        return status
    try:
        return status | {"record": record_of(service.store.job(job.id))}
    except FileNotFoundError:  # deleted or expired in the meantime
        raise gone() from None


@router.get("/v1/jobs/{id}/result")
def get_results(service: TheService, job: OwnJob) -> Response:
    """Return all results as one zip file."""
    return _file(service, job, "zip")


@router.get("/v1/jobs/{id}/result/{part}")
def get_result(service: TheService, job: OwnJob, part: str) -> Response:
    """Return one file: scan, mask, prob, record, page; brain if the model has it; for DICOM seg, probseg, sr, sc.

    The part network_mask exists only if the mask was corrected.
    """
    return _file(service, job, part)


@router.get("/v1/jobs/{id}/thumbnail")
def get_thumbnail(service: TheService, job: OwnJob) -> Response:
    """Return a small PNG image of the slice with the most lesion."""
    _check_done(job)
    address = thumbnail_of(service.store.job(job.id).results.page)
    if not address:
        raise problem(404, "the thumbnail", "does not exist", "open the report page")
    return Response(base64.b64decode(address.partition(",")[2]), media_type="image/png")


@router.delete("/v1/jobs/{id}", status_code=204)
def delete_job(
    service: TheService, job: OwnJob, undo_seconds: Annotated[float, Query(ge=0, le=MOST_UNDO_SECONDS)] = 0
) -> None:
    """Delete a job and all its files, even while it runs; with `undo_seconds`, hide it and delete it after them."""
    if undo_seconds:
        service.jobs.discard(job.id, seconds=undo_seconds)
        return
    service.store.remove(job.id)  # first: this needs no disk space, and frees some
    if job.ended is not None:
        service.audit.job_ended(job)  # the next poll would no longer find it
    service.jobs.delete(job.id)


@router.post("/v1/jobs/{id}/restore")
def restore_job(id: str, request: Request, service: TheService, owner: Owner) -> dict[str, object]:
    """Undo the deletion of a job whose `undo_seconds` are not over yet."""
    job = service.jobs.restore(id, owner=owner)
    if job is None:
        raise gone()
    request.state.job = job
    return _job_status(service, job)


@router.get("/health")
async def health(service: TheService) -> dict[str, object]:
    """Return whether the service is up, and how many workers can take a job."""
    ready = service.workers.ready
    return {"status": "ok" if ready else "starting", "workers": ready, "version": VERSION}


@router.get("/metrics")
def metrics(service: TheService, owner: Owner) -> Response:
    """Return the metrics in Prometheus' text format."""
    return PlainTextResponse(service.meter.text(), media_type="text/plain; version=0.0.4")


answer_head(router)


def _job_status(service: Service, job: Job) -> dict[str, object]:
    status: dict[str, object] = {
        "id": job.id,
        "state": job.state,
        "step": job.step,
        "progress": job.progress,
        "ahead": service.jobs.ahead(job),
        "created": _time(job.created),
        "expires": _time(job.expires),
    }
    if job.seconds is not None:
        status["seconds"] = round(job.seconds, 3)
    return status | ({"error": job.error} if job.error else {})


def _file(service: Service, job: Job, part: str) -> Response:
    if part not in PARTS:
        raise problem(404, "the part", "does not exist", f"ask for one of {', '.join(PARTS)}")
    _check_done(job)
    path = part_path(service.store.job(job.id), part)
    if not path.is_file():
        sources = {"brain": "models with a brain output", "network_mask": "corrected masks"}
        source = sources.get(part, "DICOM uploads")
        rule = f"is available only for {source}"
        raise problem(404, "the part", rule, "ask for mask, prob, record or page")
    return FileResponse(path, media_type=PARTS[part], filename=f"{job.id[:8]}_{path.name}")


def _check_done(job: Job) -> None:
    if job.state != "done":
        raise problem(409, "the job", f"is {job.state}", "ask for its state first")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
