"""Random headers: reading and writing raise nothing but the errors of insula, and no message repeats a patient's data.

    python -m studies.fuzz [--nifti 100000] [--dicom 2000] [--seed 0] [--out studies/results/fuzz.json]

One to four fields of a NIfTI header are overwritten; a file that is accepted is written as a mask. One to three
attributes of a DICOM series, in one slice or in all, are removed, emptied or filled with unsuitable bytes; of a series
that is accepted, all four objects are written. The texts of both carry a canary, which no message may repeat.
"""

from __future__ import annotations

import argparse
import io
import random
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from pydicom import Dataset, dcmwrite
from pydicom.dataelem import RawDataElement

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from corpus.files import nifti
from insula.errors import InsulaError, InternalBug
from insula.geometry import Grid
from insula.io import read_scan, write_json, write_mask
from insula.io.dicom import lesion_seg, measurement_sr, probability_seg, read_dicom, save_dicom, secondary_capture
from insula.io.dicom.slices import quiet
from insula.volume import Mask
from io_series import header, sample, with_pixels

_CANARY = b"CANARY^1960-01-01 "
_GRID = Grid((12, 14, 10), np.diag([2.0, 2.0, 2.0, 1.0]))
_FIELDS: tuple[tuple[int, str], ...] = (
    (0, "i"),
    *((40 + 2 * n, "h") for n in range(8)),
    (56, "f"),
    (68, "h"),
    (70, "h"),
    (72, "h"),
    (74, "h"),
    *((76 + 4 * n, "f") for n in range(8)),
    (108, "f"),
    (112, "f"),
    (116, "f"),
    (120, "h"),
    (122, "B"),
    (123, "B"),
    (124, "f"),
    (128, "f"),
    (252, "h"),
    (254, "h"),
    *((256 + 4 * n, "f") for n in range(6)),
    *((280 + 4 * n, "f") for n in range(12)),
    (344, "i"),
)
_WHOLE = (
    0,
    1,
    -1,
    2,
    3,
    4,
    5,
    7,
    8,
    10,
    11,
    12,
    14,
    16,
    32,
    64,
    127,
    128,
    255,
    256,
    512,
    768,
    1024,
    1280,
    1536,
    2048,
    2304,
    32767,
    -32768,
)
_REAL = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    2.0,
    3.0,
    1e-3,
    1e-7,
    1e3,
    1e6,
    1e30,
    -1e30,
    float("nan"),
    float("inf"),
    -float("inf"),
    1e-45,
)
_KEYS = sorted(
    {element.keyword for element in header(0)} - {"", "PixelData"}
    | {
        "PatientAge",
        "PatientWeight",
        "StudyDescription",
        "PositionReferenceIndicator",
        "ImageComments",
        "AcquisitionNumber",
        "EchoNumbers",
        "RescaleSlope",
        "RescaleIntercept",
        "PixelPaddingValue",
        "PixelPaddingRangeLimit",
        "ContrastBolusAgent",
        "SpecificCharacterSet",
        "Rows",
        "Columns",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "NumberOfFrames",
        "TemporalPositionIdentifier",
        "DiffusionBValue",
        "LossyImageCompression",
        "SmallestImagePixelValue",
    }
)
_RAW = (
    b"",
    _CANARY,
    b"\x00",
    b"\xff" * 7,
    b"1\\2\\3\\4\\5\\6\\7",
    b"nan",
    b"inf",
    b"-1",
    b"0",
    b"1e400",
    b"9" * 70,
    b"\\" * 5,
    b"1.2.3.4." * 12,
    "Größe ÿ".encode("latin-1"),
    b"20261301",
    b"99:99:99",
    b"A" * 5000,
    b"ISO_IR 999",
    b" ",
    b"\x00\x00\x00\x80\xff\xff\x7f\x7f",
)


def nifti_header(seed: int, folder: Path) -> str:
    """Outcome of one header: taken, refused, or a description of the fault."""
    rng = random.Random(seed)
    edits: list[tuple[int, str, Any]] = []
    for offset, form in rng.choices(_FIELDS, k=rng.randint(1, 4)):
        size = struct.calcsize(form)
        if form == "f":
            value: Any = rng.choice((*_REAL, rng.uniform(-300, 300), struct.unpack("<f", rng.randbytes(4))[0]))
        else:
            value = struct.unpack("<" + form, rng.randbytes(size))[0]
            some = rng.choice(_WHOLE)
            value = some if rng.random() < 0.7 and -(256**size) // 2 <= some < 256**size // 2 and form != "B" else value
        edits.append((offset, form, value))
    data = bytearray(nifti(_image(), _GRID, edits=edits))
    data[148 : 148 + len(_CANARY)] = data[228 : 228 + len(_CANARY)] = _CANARY
    path = folder / f"{seed}.nii"
    path.write_bytes(data)
    try:
        return _outcome(lambda: _write_nifti(path, folder))
    finally:
        path.unlink()


def _image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2000, _GRID.shape).astype(np.int16)


def _write_nifti(path: Path, folder: Path) -> None:
    scan = read_scan(path)
    write_mask(folder / f"{path.stem}.nii.gz", Mask(scan.image > scan.image.mean(), scan.grid))
    (folder / f"{path.stem}.nii.gz").unlink()


def dicom_series(seed: int, folder: Path) -> str:
    """Outcome of one series: taken, refused, not written, or a description of the fault."""
    rng = random.Random(seed)
    image = sample()
    slices = [
        with_pixels(header(number, PatientName="CANARY^B"), image[:, :, number]) for number in range(image.shape[2])
    ]
    for key in rng.choices(_KEYS, k=rng.randint(1, 3)):
        change, raw = rng.choice((_remove, _empty, _fill, _fill, _fill)), rng.choice(_RAW)
        for data in slices if rng.random() < 0.5 else rng.sample(slices, rng.randint(1, 3)):
            change(data, key, raw)
    series = folder / f"{seed}"
    series.mkdir()
    with quiet():
        for number, data in enumerate(slices):
            try:
                dcmwrite(series / f"{number}", data, enforce_file_format=False, little_endian=True, implicit_vr=False)
            except Exception:  # pydicom does not write such a file: no reader meets it
                return "not written"
    return _outcome(lambda: _write_objects(series, folder))


def _remove(data: Dataset, key: str, raw: bytes) -> None:
    if key in data:
        del data[key]


def _empty(data: Dataset, key: str, raw: bytes) -> None:
    _fill(data, key, b"")


def _fill(data: Dataset, key: str, raw: bytes) -> None:
    if key not in data:
        setattr(data, key, None)
    element = data[key]
    padded = raw + b" " * (len(raw) % 2)
    data._dict[element.tag] = RawDataElement(element.tag, element.VR, len(padded), padded, 0, False, True)


def _write_objects(series: Path, folder: Path) -> None:
    dicom = read_dicom(series)
    labels = (dicom.scan.image > np.median(dicom.scan.image)).astype(np.uint16)
    seg = lesion_seg(dicom, labels, weights="w")
    save_dicom(series / "seg.dcm", seg)
    save_dicom(series / "prob.dcm", probability_seg(dicom, labels.astype(np.float32), weights="w"))
    save_dicom(series / "sr.dcm", measurement_sr(dicom, seg, [1.0]))
    save_dicom(series / "sc.dcm", secondary_capture(dicom, np.zeros((8, 8, 3), np.uint8)))


def _outcome(work: Callable[[], None]) -> str:
    printed = io.StringIO()
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            work()
        outcome = "taken"
    except InternalBug as error:
        return f"a bug: {error}"
    except InsulaError as error:
        outcome = "refused"
        printed.write(str(error))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "a canary" if "CANARY" in printed.getvalue() or "1960-01-01" in printed.getvalue() else outcome


class Trial(Protocol):
    """Builds one random input in a folder and returns its outcome."""

    def __call__(self, seed: int, folder: Path) -> str: ...


def run_trials(trial: Trial, count: int, seed: int) -> tuple[Counter[str], dict[str, int]]:
    """How often each outcome occurred, and the first seed of every fault."""
    counts: Counter[str] = Counter()
    wrong: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place, ProcessPoolExecutor() as pool:
        outcomes = pool.map(partial(trial, folder=Path(place)), range(seed, seed + count), chunksize=50)
        for n, outcome in enumerate(outcomes):
            counts[outcome if outcome in ("taken", "refused", "not written") else "wrong"] += 1
            if outcome not in ("taken", "refused", "not written"):
                wrong.setdefault(outcome[:120], seed + n)
    return counts, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nifti", type=int, default=100_000)
    parser.add_argument("--dicom", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("studies/results/fuzz.json"))
    arguments = parser.parse_args()
    results = {}
    trials: tuple[tuple[str, Trial, int], ...] = (
        ("DICOM", dicom_series, arguments.dicom),
        ("NIfTI", nifti_header, arguments.nifti),
    )
    for name, trial, count in trials:
        counts, wrong = run_trials(trial, count, arguments.seed)
        results[name] = dict(counts)
        print(f"{name}: {count} headers, " + ", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
        for fault, seed in wrong.items():
            print(f"  seed {seed}: {fault}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out, results)


if __name__ == "__main__":
    main()
