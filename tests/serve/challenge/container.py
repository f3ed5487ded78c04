"""A container's folders with a small head in them, as the platform fills them, and the server as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import SimpleITK as sitk

from insula.volume import Case

MASK, PROB = (f"output/images/{slug}/output.mha" for slug in ("stroke-lesion-segmentation", "lesion-probability-map"))
_UUID = "0f3c5a52-9d3e-4f0e-8a77-2b1f5c0de001"
SOCKETS: list[dict[str, Any]] = [
    {"socket": {"slug": "t1-brain-mri", "relative_path": "images/t1-brain-mri", "super_kind": "Image"}},
    {"socket": {"slug": "stroke-metadata", "relative_path": "stroke-metadata.json", "super_kind": "Value"}},
]


def head(case: Case) -> sitk.Image:
    """The phantom, oblique and in an order of axes that is not RAS, with a name in its header."""
    voxels = (3000 * case.scan.image / case.scan.image.max()).astype(np.int16)
    image = sitk.GetImageFromArray(voxels.transpose(1, 0, 2)[:, ::-1].copy())
    c, s = np.cos(0.1), np.sin(0.1)
    image.SetSpacing((4, 4, 4))
    # in ITK's order (k, i, j of the phantom): k to superior, i to the left, j to anterior, turned by six degrees
    turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    image.SetDirection((turn @ np.array([[0, 1, 0], [0, 0, -1], [1, 0, 0]], dtype=float)).ravel())
    image.SetOrigin((-90.5, 110.25, -100.125))
    image.SetMetaData("0010|0010", "DOE^JANE")
    return image


def fill(root: Path, image: sitk.Image, *, ending: str = ".mha") -> Path:
    """Fill the input folder; returns the path of the image."""
    folder = root / "input/images/t1-brain-mri"
    folder.mkdir(parents=True)
    (root / "output").mkdir(exist_ok=True)
    (root / "input/inputs.json").write_text(json.dumps(SOCKETS))
    metadata = {"CENTER": None, "CHRONICITY": None, "DAYS_POST_STROKE": None}
    (root / "input/stroke-metadata.json").write_text(json.dumps(metadata))
    path = folder / f"{_UUID}{ending}"
    sitk.WriteImage(image, str(path), useCompression=True)
    return path


@dataclass
class Running:
    """A server and a client of it."""

    client: httpx.Client
    log: Path


@contextmanager
def challenge(root: Path, *arguments: str) -> Iterator[Running]:
    """Run `insula challenge` until the end of the block."""
    log = root.with_name(f"{root.name}-log.txt")
    command = [sys.executable, "-m", "insula", "challenge", "--root", str(root), "--device", "cpu", "--port", "0"]
    with open(log, "a") as file:
        process = subprocess.Popen(
            [*command, *arguments],
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("http://"), log.read_text()
        with httpx.Client(base_url=address.replace("0.0.0.0", "127.0.0.1"), timeout=60) as client:
            yield Running(client, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            rest, _ = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
    assert (process.returncode, rest) == (0, "stopped\n"), log.read_text()


def geometry(image: sitk.Image) -> Sequence[object]:
    """Size, spacing, origin and direction, exactly."""
    return image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection()
