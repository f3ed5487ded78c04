"""The addresses: an upload becomes a job, a job becomes results."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse
from fastapi.routing import APIRoute

import insula
from insula.errors import Unavailable
from insula.serve.form import file_of_form, is_form
from insula.serve.jobs import Job, QueueFull
from insula.serve.parts import PARTS, part_path, record_of
from insula.serve.service import Mine, Owner, Service, TheService, gone, problem
from insula.serve.upload import keep, receive, recognise

__all__ = ["router"]

router = APIRouter()


@router.post("/v1/segment", status_code=202)
async def segment(
    request: Request,
    response: Response,
    service: TheService,
    owner: Owner,
    threshold: Annotated[float | None, Query(gt=0, le=1)] = None,
    tta: bool = False,
    frame: Annotated[int | None, Query(ge=0)] = None,
    series: int | None = None,
    assume_orientation: Annotated[str | None, Query(pattern="^[LRAPIS]{3}$")] = None,
    assume_t1w: bool = False,
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> dict[str, Any]:
    """Queue a scan: the request's body, or the one file of a form, is a NIfTI file, or a zip or tar of a DICOM series."""
    options = {
        "threshold": threshold,
        "tta": tta,
        "frame": frame,
        "series": series,
        "assume_orientation": assume_orientation,
        "assume_t1w": assume_t1w,
    }
    if strange := sorted(set(request.query_params) - set(options)):
        raise problem(422, f"the parameter {strange[0][:40]}", "does not exist", f"use one of {', '.join(options)}")
    config, jobs = service.config, service.jobs
    waiting = (await asyncio.to_thread(jobs.count)).get("queued", 0)
    if waiting >= config.most_queued:  # it may fill up while the upload comes: `Jobs.add` decides
        raise QueueFull("the queue", "", f"is full ({config.most_queued} jobs)", "try again later")
    if len(service.receiving) >= config.most_uploads:
        rule = f"are as many as may come at once ({config.most_uploads})"
        raise Unavailable("the uploads", "", rule, "try again later")
    id = secrets.token_hex(16)
    part, folder = service.store.incoming / id, service.store.job(id).path
    service.receiving.add(id)
    pieces, kind = aiter(request.stream()), request.headers.get("content-type", "")
    try:
        got = await receive(
            file_of_form(pieces, kind) if is_form(kind) else pieces,
            part,
            most_bytes=config.most_mb * 10**6,
            pause_seconds=config.body_seconds,
            total_seconds=60 * config.upload_minutes,
        )
        ending = await asyncio.to_thread(recognise, part)
        await asyncio.to_thread(keep, part, folder / f"upload{ending}")
        job = await asyncio.to_thread(
            jobs.add,
            owner=owner,
            key=idempotency_key,
            upload=(id, got.sha256, got.bytes),
            options=options,
            keep_seconds=3600 * config.keep_hours,
            most_queued=config.most_queued,
        )
    except BaseException:  # the client's going away is one
        part.unlink(missing_ok=True)
        service.store.remove(id)
        raise
    finally:
        service.receiving.discard(id)
    if job.id != id:
        service.store.remove(id)
        if (job.upload_sha256, job.options) != (got.sha256, options):
            raise problem(409, "the Idempotency-Key", "was used for something else", "use a new one for each scan")
        response.status_code = 200
    request.state.job = job
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return _told(service, job)


@router.get("/v1/jobs")
def list_jobs(service: TheService, owner: Owner) -> list[dict[str, Any]]:
    """Your jobs, newest first, without their records."""
    return [_told(service, job) for job in service.jobs.of(owner)]


@router.get("/v1/jobs/{id}")
def get_job(service: TheService, job: Mine) -> dict[str, Any]:
    """How far a job is; once it is done, its record too."""
    told = _told(service, job)
    if job.state != "done":
        return told
    try:
        return told | {"record": record_of(service.store.job(job.id))}
    except FileNotFoundError:  # deleted, or expired, since it was found
        raise gone() from None


@router.get("/v1/jobs/{id}/result")
def get_results(service: TheService, job: Mine) -> Response:
    """Everything in one zip."""
    return _file(service, job, "zip")


@router.get("/v1/jobs/{id}/result/{part}")
def get_result(service: TheService, job: Mine, part: str) -> Response:
    """One file: scan, mask, prob, record, page; brain, if the model gives one; of DICOM, seg, probseg, sr and sc too."""
    return _file(service, job, part)


@router.delete("/v1/jobs/{id}", status_code=204)
def delete_job(service: TheService, job: Mine) -> None:
    """Delete a job and everything of it, running or not."""
    service.store.remove(job.id)  # first: it needs no room on the disk, and makes some
    service.jobs.delete(job.id)


@router.get("/health")
async def health(service: TheService) -> dict[str, Any]:
    """Whether the service answers, and how many workers can take a job."""
    ready = service.workers.ready
    return {"status": "ok" if ready else "starting", "workers": ready, "version": insula.__version__}


@router.get("/metrics")
def metrics(service: TheService, owner: Owner) -> Response:
    """In Prometheus' text format."""
    return PlainTextResponse(service.meter.text(), media_type="text/plain; version=0.0.4")


def _answer_head() -> None:
    """Every GET by HEAD too; uvicorn leaves out the body."""
    for route in [one for one in router.routes if isinstance(one, APIRoute) and "GET" in (one.methods or ())]:
        router.add_api_route(route.path, route.endpoint, methods=["HEAD"], include_in_schema=False)


_answer_head()


def _told(service: Service, job: Job) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": job.id,
        "state": job.state,
        "step": job.step,
        "progress": job.progress,
        "ahead": service.jobs.ahead(job),
        "created": _time(job.created),
        "expires": _time(job.expires),
    }
    if job.seconds is not None:
        told["seconds"] = round(job.seconds, 3)
    return told | ({"error": job.error} if job.error else {})


def _file(service: Service, job: Job, part: str) -> Response:
    if part not in PARTS:
        raise problem(404, "the part", "does not exist", f"ask for one of {', '.join(PARTS)}")
    if job.state != "done":
        raise problem(409, "the job", f"is {job.state}", "ask for its state first")
    path = part_path(service.store.job(job.id), part)
    if not path.is_file():
        rule = "is made by models with a brain output only" if part == "brain" else "is made of DICOM only"
        raise problem(404, "the part", rule, "ask for mask, prob, record or page")
    return FileResponse(path, media_type=PARTS[part], filename=f"{job.id[:8]}_{path.name}")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
