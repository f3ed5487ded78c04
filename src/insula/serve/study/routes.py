"""The HTTP routes of a served study: its board, verdicts, files and corrections."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import FileResponse

from insula.errors import BadData, InsulaError, NoInput, TooLarge, from_os_error
from insula.io import FolderInUse
from insula.io.cells import cell_text
from insula.predict import CaseRecord
from insula.report import Review
from insula.serve.received import completed, received_mask, refused
from insula.serve.sent import Before, MaskChanged
from insula.serve.service import Owner, Service, TheService, answer_head, problem
from insula.serve.study.access import Reader, admit
from insula.serve.study.folder import StudyFolder
from insula.serve.study.pages import NO_SCRIPTS, entrance, page_response
from insula.serve.study.verdicts import VerdictsDamaged
from insula.serve.upload import TooSlow
from insula.study import review_of_cells

__all__ = ["router"]

T = TypeVar("T")

router = APIRouter()
_MOST_BYTES, _MOST_VERDICTS, _LONGEST_CELL = 1 << 20, 1000, 1000
_CELLS = tuple(Review.__dataclass_fields__)
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".tsv": "text/tab-separated-values; charset=utf-8",
    ".gz": "application/gzip",
    ".dcm": "application/dicom",
}


def _study(service: TheService) -> StudyFolder:
    assert service.study is not None  # otherwise the router is not included
    return service.study


TheStudy = Annotated[StudyFolder, Depends(_study)]


@router.get("/study/enter", include_in_schema=False)
def enter() -> Response:
    """Return the page that asks for a token; a token in the address's fragment or of this tab is used at once."""
    return entrance()


@router.post("/study/session", status_code=204)
def open_session(request: Request, response: Response, service: TheService, owner: Owner) -> None:
    """Exchange a token for a cookie with which a browser may read the study."""
    admit(response, request, service, owner)


@router.get("/study/", include_in_schema=False)
def index(study: TheStudy, owner: Reader) -> Response:
    """Return the board of all cases with their verdicts."""
    return page_response(study.index())


@router.get("/study/live")
def live(study: TheStudy, owner: Reader, if_none_match: Annotated[str, Header()] = "") -> Response:
    """Return all verdicts, and the SHA-256 of each case's mask; 304 if nothing changed since the ETag that is sent."""
    tag = f'"{study.state()}"'
    if if_none_match == tag:
        return Response(status_code=304, headers={"ETag": tag})
    content = {"reviews": [asdict(review) for review in study.reviews()], "masks": study.masks()}
    return Response(json.dumps(content), media_type="application/json", headers={"ETag": tag})


@router.post("/study/verdicts")
async def post_verdicts(request: Request, service: TheService, study: TheStudy, owner: Owner) -> dict[str, object]:
    """Add verdicts, a list of objects with the columns of review.tsv; returns all verdicts of the folder.

    A newer verdict of the same rater on the same case replaces the older one; those of other raters stay.
    """
    reviews = _reviews(await _body(request, service))
    merged = await _changed(partial(study.judge, reviews))
    return {"reviews": [asdict(review) for review in merged]}


@router.get("/study/files/{name}")
def get_file(request: Request, study: TheStudy, owner: Reader, name: str) -> Response:
    """Return a file of the folder: page, mask, brain, probabilities, record, DICOM object or table."""
    path = _readable(study.file(name))
    kind = _TYPES.get(path.suffix)
    if kind is None:
        raise problem(404, "the file", "is of a kind that is not served", "see the index of the study")
    if path.suffix in (".gz", ".dcm"):
        request.state.audited = {"part": path.name.removesuffix(".nii.gz").removesuffix(".dcm").rpartition("_")[2]}
    elif path.suffix == ".html":
        request.state.audited = {"part": "page"}
    headers = {"Content-Security-Policy": NO_SCRIPTS}
    return FileResponse(path, media_type=kind, headers=headers)


@router.get("/study/cases/{name}.json")
def get_case(study: TheStudy, owner: Reader, name: str) -> dict[str, object]:
    """Return the addresses of a case's scan, mask and probabilities, its threshold, and where to save a mask."""
    return study.case(name)


@router.get("/study/cases/{name}/scan.nii.gz")
def get_scan(request: Request, study: TheStudy, owner: Reader, name: str) -> Response:
    """Return the scan of a case on its own grid, for viewing; 404 if it is not among the scans of the service."""
    request.state.audited = {"part": "scan"}
    return FileResponse(_readable(study.view(name)), media_type="application/gzip")


@router.put("/study/cases/{name}/mask", response_model=None)
async def put_mask(
    request: Request,
    service: TheService,
    study: TheStudy,
    owner: Owner,
    name: str,
    before: Before,
) -> CaseRecord:
    """Replace the mask of a case by a corrected one, a NIfTI file on the scan's grid; returns the new record.

    With If-Match, the SHA-256 of the mask that was edited, a mask that somebody else changed meanwhile is not replaced.
    """
    record = await asyncio.to_thread(study.result, name)
    request.state.audited = {"scan": str(record["scan"]["sha256"])[:16]}
    async with received_mask(request, service) as mask, service.correcting:
        outcome = await _changed(partial(study.correct, name, mask, before=before))
    return outcome.record


answer_head(router)


def _readable(path: Path) -> Path:
    """Return the path of a file that can be read: once a response has begun, an error can only break it off."""
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise from_os_error(error, what="the file", value="", writing=False) from None


async def _changed(change: Callable[[], T]) -> T:
    """Return the outcome of a change of the folder; what forbids it becomes a refusal with a status of its own."""
    try:
        return await completed(change)
    except FolderInUse:
        rule = "is being written by another run"
        raise problem(409, "the folder of results", rule, "try again later", {"Retry-After": "10"}) from None
    except MaskChanged as error:
        raise refused(error, 412) from None
    except VerdictsDamaged as error:  # the sender's verdicts are good, and can be sent again when the table is mended
        raise refused(error, 409) from None
    except NoInput as error:
        raise refused(error, 404) from None
    except BadData as error:
        raise refused(error, 422) from None


async def _body(request: Request, service: Service) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(service.config.body_seconds):
            async for piece in request.stream():
                body += piece
                if len(body) > _MOST_BYTES:
                    rule = f"are larger than {_MOST_BYTES >> 20} MiB"
                    raise TooLarge("the verdicts", "", rule, "send fewer at once")
    except TimeoutError:
        raise TooSlow("the verdicts", "", "took too long to arrive", "send them again") from None
    return bytes(body)


def _reviews(body: bytes) -> list[Review]:
    try:
        rows = json.loads(body)
    except (ValueError, RecursionError):
        rows = None
    if not isinstance(rows, list) or len(rows) > _MOST_VERDICTS:
        rule = f"are not a JSON list of at most {_MOST_VERDICTS} verdicts"
        raise problem(422, "the verdicts", rule, "send objects with the columns of review.tsv")
    try:
        return [review_of_cells(_cells(row), f"row {number}") for number, row in enumerate(rows, 1)]
    except InsulaError as error:
        raise refused(error, 422) from None


def _cells(row: object) -> dict[str, str]:
    """Return the cells of a row as they are written into the table."""
    if not isinstance(row, dict) or set(row) != set(_CELLS) or not all(isinstance(cell, str) for cell in row.values()):
        rule = f"are not objects of texts with the keys {', '.join(_CELLS)}"
        raise BadData("the verdicts", "", rule, "load the index again")
    if any(len(cell) > _LONGEST_CELL for cell in row.values()):
        rule = f"have a text longer than {_LONGEST_CELL} characters"
        raise BadData("the verdicts", "", rule, "write shorter notes")
    return {name: cell_text(cell) for name, cell in row.items()}
