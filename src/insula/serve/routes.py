"""The addresses: an upload becomes a job, a job becomes results."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse

import insula
from insula.serve.jobs import Job
from insula.serve.parts import PARTS, part_path, record_of
from insula.serve.service import Mine, Owner, Service, TheService, gone, problem
from insula.serve.upload import keep, receive, recognise

__all__ = ["router"]

router = APIRouter()
_RETRY_SECONDS = 10


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
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> dict[str, Any]:
    """Queue a scan: the request's body is a .nii, a .nii.gz, or a zip of a DICOM series."""
    options = {
        "threshold": threshold,
        "tta": tta,
        "frame": frame,
        "series": series,
        "assume_orientation": assume_orientation,
    }
    if strange := sorted(set(request.query_params) - set(options)):
        raise problem(422, f"the parameter {strange[0][:40]}", "does not exist", f"use one of {', '.join(options)}")
    config, jobs = service.config, service.jobs
    waiting = (await asyncio.to_thread(jobs.count)).get("queued", 0)
    if waiting + len(service.receiving) >= config.most_queued:
        retry = {"Retry-After": str(_RETRY_SECONDS)}
        raise problem(503, "the queue", f"is full ({config.most_queued} jobs)", "try again later", retry)
    id = secrets.token_hex(16)
    part, folder = service.store.incoming / id, service.store.job(id).path
    service.receiving.add(id)
    try:
        got = await receive(
            aiter(request.stream()), part, most_bytes=config.most_mb * 10**6, pause_seconds=config.body_seconds
        )
        ending = await asyncio.to_thread(recognise, part)
        await asyncio.to_thread(keep, part, folder / f"upload{ending}")
        job = await asyncio.to_thread(
            jobs.add, owner=owner, key=idempotency_key, upload=(id, got.sha256, got.bytes), options=options,
            keep_seconds=3600 * config.keep_hours,
        )  # fmt: skip
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
    service.jobs.delete(job.id)
    service.store.remove(job.id)


@router.get("/health")
async def health(service: TheService) -> dict[str, Any]:
    """Whether the service answers, and how many workers can take a job."""
    ready = service.workers.ready
    return {"status": "ok" if ready else "starting", "workers": ready, "version": insula.__version__}


@router.get("/metrics")
def metrics(service: TheService, owner: Owner) -> Response:
    """In Prometheus' text format."""
    return PlainTextResponse(service.meter.text(), media_type="text/plain; version=0.0.4")


def _told(service: Service, job: Job) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": job.id, "state": job.state, "step": job.step, "progress": job.progress, "ahead": service.jobs.ahead(job),
        "created": _time(job.created), "expires": _time(job.expires),
    }  # fmt: skip
    if job.begun and job.ended:
        told["seconds"] = round(job.ended - job.begun, 3)
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
