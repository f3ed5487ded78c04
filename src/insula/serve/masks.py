"""The HTTP route that takes the corrected mask of a job."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Request

from insula.errors import BadData
from insula.predict import ResultRecord
from insula.serve.corrected import correct_job
from insula.serve.received import completed, received_mask, refused
from insula.serve.sent import Before, MaskChanged
from insula.serve.service import OwnJob, TheService, gone, problem

__all__ = ["router"]

router = APIRouter()


@router.put("/v1/jobs/{id}/mask", response_model=None)
async def put_mask(request: Request, service: TheService, job: OwnJob, before: Before) -> ResultRecord:
    """Replace the mask of a finished job by a corrected one, a NIfTI file on the scan's grid; returns the new record.

    All results of the job then are those of the corrected mask; the network's is the part network_mask.
    With If-Match, the SHA-256 of the mask that was edited (`sha256.mask` of the record), a mask that was changed
    meanwhile is not replaced.
    """
    if job.state != "done":
        raise problem(409, "the job", f"is {job.state}", "correct its mask once it is done")
    folder = service.store.job(job.id)
    async with received_mask(request, service) as mask, service.correcting:
        try:
            return await completed(partial(correct_job, folder, job.options, mask, before=before))
        except MaskChanged as error:
            raise refused(error, 412) from None
        except BadData as error:
            raise refused(error, 422) from None
        except Exception:
            if not folder.path.exists():  # deleted meanwhile
                raise gone() from None
            raise
