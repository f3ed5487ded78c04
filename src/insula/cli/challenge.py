"""`insula challenge`: answer the container protocol of Grand Challenge, for ISLES'26."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from insula.cli.doors import check_door, until_stopped

__all__ = ["challenge"]


def challenge(
    root: Path = Path("/"),
    weights: Annotated[str | None, arg(aliases=("--model",))] = None,
    tta: bool = False,
    device: str = "auto",
    host: str = "127.0.0.1",
    port: int = 4743,
    debug: bool = False,
) -> int:
    """Answer the container protocol of Grand Challenge with the inputs and outputs of ISLES'26.

    GET /health answers 200 once the weights are loaded. POST /invoke segments the scan in input/images/t1-brain-mri,
    writes output/images/stroke-lesion-segmentation/output.mha and output/images/lesion-probability-map/output.mha,
    and answers 201; 400 if the input is at fault, 500 for any other error. The platform calls it with the container's
    own folders; to try it elsewhere, name a folder that holds the same ones. For research only; not a medical device.

    Args:
        root: Folder that holds input, output and, if weights are mounted, opt/ml/model.
        weights: Bundled weights by name, or your own file or folder; if not given, those in opt/ml/model, or else the
            default ones.
        tta: Average with the prediction for the mirrored scan; the network takes twice as long.
        device: Device to use: auto, cpu, cuda or cuda:N.
        host: Address to listen on; 0.0.0.0 in a container.
        port: Port to listen on; 0 picks a free port.
        debug: Show a traceback if the server cannot start.
    """
    check_door("the server", packages=("fastapi", "uvicorn", "prometheus_client"), extras="serve", port=port)

    from insula.config import SegmentConfig
    from insula.serve.challenge import serve_challenge

    config = SegmentConfig(tta=tta, device=device, assume_t1w=True)
    with until_stopped("stopped"):
        serve_challenge(
            root, config, weights=weights, host=host, port=port, announce=lambda url: print(url, flush=True)
        )
    return 0
