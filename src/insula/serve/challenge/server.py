"""The HTTP server of a challenge's container: `GET /health` and `POST /invoke`."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from insula.checkpoint import Weights, load_weights
from insula.cohort import processors
from insula.config import SegmentConfig
from insula.errors import BadData, NoInput, as_insula_error, place_of
from insula.infer import choose_device
from insula.predict import Result, segment
from insula.serve.address import BACKLOG, http_address, listen
from insula.serve.challenge.folders import Folders
from insula.serve.protocol import MOST_HEAD_BYTES, timed_protocol
from insula.serve.service import problem
from insula.serve.worker import error_body
from insula.types import DEFAULT_WEIGHTS, VERSION

__all__ = ["Invocation", "challenge_app", "serve_challenge"]

_log = logging.getLogger(__name__)
_HEADER_SECONDS, _GRACE_SECONDS = 10.0, 5
_BAD_INPUT = (BadData, NoInput)


class Invocation:
    """Segments the scan in the input folder whenever it is called; one call at a time.

    The socket says that the scan is T1w, so no scan is refused for its contrast.

    Args:
        folders: the container's folders.
        weights: the weights, loaded.
        config: device and mirror averaging.
    """

    def __init__(self, folders: Folders, weights: Weights, config: SegmentConfig) -> None:
        self.folders, self.weights, self.config = folders, weights, config
        self._running = threading.Lock()

    def __call__(self) -> Result:
        """Read the scan, segment it and write both outputs; an earlier result is removed first.

        Raises:
            HTTPException: 409, another call has not ended.
            NoInput, BadData: the input is missing, damaged or not one volume.
            InsulaError: memory, a device or the output folder fails.
        """
        if not self._running.acquire(blocking=False):
            raise problem(409, "the invocation", "came while another one was running", "wait for its response")
        try:
            self.folders.remove_result()
            scan, placement = self.folders.read_scan()
            result = segment(scan, self.config, weights=self.weights)
            self.folders.write_result(result, placement)
            return result
        finally:
            self._running.release()


def challenge_app(invocation: Invocation) -> FastAPI:
    """Return the application.

    A success is 201; an error is one line in the body, with 400 if the input is at fault, else 500. Results, errors
    and durations are logged, without names and metadata.

    Args:
        invocation: called for each `POST /invoke`.
    """
    app = FastAPI(title="insula", version=VERSION, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(HTTPException, _http_error)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok", "weights": invocation.weights.card.name, "version": VERSION}

    @app.post("/invoke")
    def invoke() -> Response:
        begun = time.perf_counter()
        try:
            result = invocation()
        except HTTPException:
            raise
        except Exception as error:
            known = as_insula_error(error)
            seconds = time.perf_counter() - begun
            reason = known if known is error else place_of(error)  # a foreign text can name a file
            _log.error("invocation failed after %.1f s: %s", seconds, reason)
            return JSONResponse({"error": error_body(known)}, 400 if isinstance(known, _BAD_INPUT) else 500)
        volume_ml, lesions = round(result.volume_ml, 3), len(result.lesions)
        flags = [flag.code for flag in result.flags]
        seconds = time.perf_counter() - begun
        _log.info("invocation done in %.1f s: %.3f ml, lesions: %d, flags: %s", seconds, volume_ml, lesions, flags)
        return JSONResponse({"volume_ml": volume_ml, "lesions": lesions, "flags": flags}, 201)

    return app


def serve_challenge(
    root: Path, config: SegmentConfig, *, weights: str | None, host: str, port: int, announce: Callable[[str], None]
) -> None:
    """Load the weights and answer until SIGINT or SIGTERM; the port opens once the weights are loaded.

    Args:
        root: the folder that holds `input`, `output` and `opt/ml/model`; `/` in a container.
        config: device and mirror averaging.
        weights: bundled weights by name, a file or a folder; if None, those mounted in `opt/ml/model`, or else the
            default ones.
        host: address of this machine to listen on.
        port: port to listen on; 0 picks a free one.
        announce: called with the server's address.

    Raises:
        UsageError, Unavailable: the device does not exist.
        NoInput, BadData: the weights do not exist, or are damaged.
        CannotCreate: another program uses the port.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    choose_device(config.device)
    torch.set_num_threads(min(torch.get_num_threads(), processors()))
    folders = Folders(root)
    loaded = _load(folders, weights)
    app = challenge_app(Invocation(folders, loaded, config))
    settings = uvicorn.Config(
        app,
        access_log=False,
        log_level="warning",
        server_header=False,
        http=timed_protocol(_HEADER_SECONDS),
        ws="none",
        timeout_graceful_shutdown=_GRACE_SECONDS,
        h11_max_incomplete_event_size=MOST_HEAD_BYTES,
        backlog=BACKLOG,
    )
    with listen(host, port) as listening:
        announce(http_address(host, listening))
        uvicorn.Server(settings).run([listening])


def _load(folders: Folders, name: str | None) -> Weights:
    mounted = folders.weights if name is None else None
    if mounted is None:
        loaded = load_weights(name or DEFAULT_WEIGHTS)
    else:
        try:
            loaded = load_weights(str(mounted.resolve()))
        except NoInput:
            rule = "is neither empty nor the folder of one set of weights"
            remedy = "pack NAME.json and NAME.safetensors without a folder around them"
            raise NoInput("the folder of mounted weights", mounted, rule, remedy) from None
    source = "bundled" if name is None and mounted is None else "mounted" if mounted else "chosen"
    _log.info("weights: %s (%s), SHA-256 %s", loaded.card.name, source, loaded.sha256)
    return loaded


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.detail, str):  # unknown address or method
        rule = f"is refused ({error.detail})"
        error = problem(error.status_code, "the request", rule, "use GET /health or POST /invoke")
    return JSONResponse({"error": error.detail}, error.status_code)
