"""Inputs that are known to go wrong, by kind, each with the outcome a careful user expects of the command line."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
from nibabel.fileholders import FileHolder
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from corpus.files import GRID, IMAGE, nifti, packed
from io_series import CANARY, write_head

__all__ = ["Case", "cases"]

KINDS = {
    "A": "geometry of the output",
    "B": "two witnesses of size",
    "C": "intensities that are no signal",
    "D": "which DICOM series",
    "E": "volumes within a series",
    "F": "odd DICOM attributes",
    "G": "one name for two results",
    "H": "containers",
    "I": "even slices",
    "J": "linked folders",
    "K": "BIDS entities",
    "L": "sheets",
    "M": "masks' grids",
    "N": "labels near one level",
    "O": "names and encodings",
    "Q": "what is no T1w scan",
}

_TAR_MODES: dict[str, Literal["w", "w:gz", "w:bz2", "w:xz"]] = {
    "tar": "w",
    "tar.gz": "w:gz",
    "tar.bz2": "w:bz2",
    "tar.xz": "w:xz",
}


@dataclass(frozen=True)
class Case:
    """An input and the expected outcome."""

    kind: str
    title: str
    build: Callable[[Path], list[str]]
    """Writes the input into a folder and returns the words of the command, without --out."""
    done: int = 1
    """Number of cases that must be segmented; 0 for a refusal; -1 for `cohort check`, which must succeed."""
    message: str = ""
    """A pattern that must occur in the terminal's output or the records."""
    never: str = ""
    """A pattern that must not occur there."""
    like: str = ""
    """Title of a case whose lesion volume must agree within 5 %."""
    environment: dict[str, str] = field(default_factory=dict)


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def _files(files: dict[str, bytes] | Callable[[], dict[str, bytes]], *words: str) -> Callable[[Path], list[str]]:
    def build(folder: Path) -> list[str]:
        _write(folder, files() if callable(files) else files)
        return ["segment", str(folder), *words]

    return build


def _image(change: Callable[[np.ndarray], np.ndarray], kind: type = np.float32) -> bytes:
    return packed(nifti(change(IMAGE.astype(np.float32)).astype(kind)))


def _padded(edge: np.ndarray, value: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda image: np.where(edge, value, image)


def _forms(qform: np.ndarray, sform: np.ndarray, code: int = 1) -> bytes:
    image = nib.Nifti1Image(IMAGE, None)
    image.set_qform(qform, 1)
    image.set_sform(sform, code)
    image.header.set_xyzt_units("mm")
    return packed(image.to_bytes())


def _turned(degrees: float) -> np.ndarray:
    a = np.radians(degrees)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    return turn @ GRID.affine


def _scaled(factor: float) -> np.ndarray:
    return GRID.affine @ np.diag([factor, factor, factor, 1.0])


def _series(*series: dict[str, Any], words: tuple[str, ...] = ()) -> Callable[[Path], list[str]]:
    """A folder of DICOM series of the phantom's head; `volume` distinguishes images of one series."""

    def build(folder: Path) -> list[str]:
        for place, values in enumerate(series):
            chosen = {name: value for name, value in values.items() if name not in ("volume", "edit")}
            write_head(folder / str(place), **chosen)
            if (volume := values.get("volume")) is not None:
                _as_volume(folder / str(place), volume)
            if (edit := values.get("edit")) is not None:
                for path in sorted((folder / str(place)).iterdir()):
                    edit(path)
        return ["segment", str(folder), *words]

    return build


def _as_volume(folder: Path, volume: int) -> None:
    for path in folder.iterdir():
        data = dcmread(path)
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid(
            entropy_srcs=[f"{volume} {path.name}"]
        )
        data.InstanceNumber = 1000 * volume + int(data.InstanceNumber)
        data.save_as(path)


def _attribute(name: str, value: object) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        data = dcmread(path)
        if value is None:
            if name in data:
                delattr(data, name)
        else:
            data.add_new(name, _vr(data, name), value)
        data.save_as(path)

    return edit


def _vr(data: Dataset, name: str) -> str:
    from pydicom.datadict import dictionary_VR

    return dictionary_VR(name).partition(" ")[0]  # the first of `US or SS`


def _rounded(decimals: int) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        data = dcmread(path)
        a = np.radians(17.0)
        down = np.array([0.0, -np.sin(a), np.cos(a)])
        data.ImageOrientationPatient = [1, 0, 0, 0, round(float(np.cos(a)), 6), round(float(np.sin(a)), 6)]
        place = np.array([-90.0, -100.0, -60.0]) + 4.003 * (int(data.InstanceNumber) - 1) * down
        data.ImagePositionPatient = [f"{v:.{decimals}f}" for v in place]
        data.save_as(path)

    return edit


def _without_preamble(path: Path) -> None:
    data = Dataset(dcmread(path))
    buffer = io.BytesIO()
    data.save_as(buffer, implicit_vr=True, little_endian=True, enforce_file_format=False)
    path.write_bytes(buffer.getvalue())


def _archive(form: str) -> Callable[[Path], list[str]]:
    def build(folder: Path) -> list[str]:
        source = folder.parent / f"{folder.name}-source"
        write_head(source)
        path = folder / f"exam.{form}"
        if form == "zip":
            with zipfile.ZipFile(path, "w") as zipped:
                for n, file in enumerate(sorted(source.iterdir())):
                    zipped.write(file, f"scan 10:20:{n:02d}/{file.name}")
        else:
            with tarfile.open(path, _TAR_MODES[form]) as tar:
                tar.add(source, "series")
        return ["segment", str(path)]

    return build


def _linked(folder: Path) -> list[str]:
    store = folder.parent / f"{folder.name}-disk"
    for n in (1, 2):
        _write(store / f"sub-{n:02d}", {f"anat/sub-{n:02d}_T1w.nii.gz": _image(partial(np.add, n))})
    for n in (1, 2):
        (folder / f"sub-{n:02d}").symlink_to(store / f"sub-{n:02d}", target_is_directory=True)
    return ["segment", str(folder)]


def _two_of_one_uid(folder: Path) -> list[str]:
    for n in (1, 2):
        write_head(folder / f"p{n}", PatientID=f"P{n}", SeriesInstanceUID="1.2.826.0.1.99")
    for path in (folder / "p2").iterdir():
        data = dcmread(path)
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid(
            entropy_srcs=["second", path.name]
        )
        data.PixelData = np.frombuffer(data.PixelData, np.uint16).__add__(7).astype(np.uint16).tobytes()
        data.save_as(path)
    return ["segment", str(folder / "p1"), str(folder / "p2")]


def _pair(header: str, image: str) -> dict[str, bytes]:
    pair = nib.Nifti1Pair(IMAGE, GRID.affine)
    pair.set_sform(GRID.affine, 1)
    pair.set_qform(GRID.affine, 1)
    buffers = {name: io.BytesIO() for name in ("header", "image")}
    pair.to_file_map({name: FileHolder(fileobj=buffer) for name, buffer in buffers.items()})
    return {header: buffers["header"].getvalue(), image: buffers["image"].getvalue()}


def _cohort(
    sheet: bytes, *, mask: Callable[[np.ndarray], np.ndarray] = lambda m: m, order: bool = False, runs: bool = False
) -> Callable[[Path], list[str]]:
    """Three subjects in ATLAS's layout, and participants.tsv."""

    def build(folder: Path) -> list[str]:
        lesion = np.zeros(IMAGE.shape, np.uint8)
        lesion[20:26, 30:36, 30:34] = 1
        for n in (1, 2, 3):
            name = f"sub-r00{n}s001_ses-1_space-MNI152NLin2009aSym"
            for run in ("_run-1", "_run-2") if runs else ("",):
                scan = packed(nifti((IMAGE + n + (run == "_run-2")).astype(np.int16)))
                stem = f"sub-r00{n}s001_ses-1{run}" if runs else name
                _write(folder, {f"sub-r00{n}s001/ses-1/anat/{stem}_T1w.nii.gz": scan})
            values, affine = mask(lesion), GRID.affine
            if order:
                values = values[::-1].transpose(1, 0, 2)
                flip = np.eye(4)
                flip[0, 0], flip[0, 3] = -1, IMAGE.shape[0] - 1
                affine = affine @ flip @ np.eye(4)[[1, 0, 2, 3]]
            stem = f"sub-r00{n}s001_ses-1_run-2" if runs else name
            image = nib.Nifti1Image(np.ascontiguousarray(values), affine)
            _write(
                folder,
                {f"sub-r00{n}s001/ses-1/anat/{stem}_label-L_desc-T1lesion_mask.nii.gz": packed(image.to_bytes())},
            )
        (folder / "participants.tsv").write_bytes(sheet)
        return ["cohort", "check", str(folder)]

    return build


_SHEET = "participant_id\tcentre\tphase\n" + "".join(f"sub-r00{n}s001\tr00{n}\tchronic\n" for n in (1, 2, 3))


def _other(levels: tuple[float, ...], name: str = "scan.nii.gz") -> Callable[[Path], list[str]]:
    """The phantom with another sequence's grey levels: air, skull, ventricle, CSF, grey matter, scalp, white matter."""
    from insula.simulate import phantom_case

    clean = phantom_case(GRID, lesions=(), noise=0.0, scale=1.0).scan.image
    knots = np.array([0.0, 0.15, 0.22, 0.25, 0.6, 0.95, 1.0])
    image = np.asarray(levels)[np.abs(clean[..., None] - knots).argmin(-1)]
    image = np.abs(image + 0.015 * np.random.default_rng(0).standard_normal(image.shape))
    return _files({name: packed(nifti((image * 1000).astype(np.int16)))})


def cases() -> Iterator[Case]:
    """Every case, in a fixed order; a case that is compared with another comes after it."""
    plain = packed(nifti())
    yield Case("C", "plain", _files({"scan.nii.gz": plain}))
    for code in (1, 2, 4):
        yield Case(
            "A",
            f"qform 5 degrees from the sform of code {code}",
            _files({"s.nii.gz": _forms(_turned(5), GRID.affine, code)}),
        )
    for factor in (2.0, 1.3, 0.7, 1.02):
        yield Case(
            "B",
            f"sform of {factor:g} times the size",
            _files({"s.nii.gz": _forms(GRID.affine, _scaled(factor))}),
            done=0,
        )
    air = IMAGE < 60
    edge = np.zeros(IMAGE.shape, bool)
    edge[:4] = edge[:, :4] = edge[-4:] = edge[:, -4:] = True
    for padding in (-1000, -1024, -32768, 4095):
        yield Case(
            "C",
            f"padding of {padding}",
            _files({"s.nii.gz": _image(_padded(edge, padding))}),
            like="plain",
        )
    yield Case(
        "C",
        "z-scored, background 0",
        _files({"s.nii.gz": _image(lambda x: np.where(air, 0, (x - x[~air].mean()) / x[~air].std()))}),
    )
    yield Case("C", "PixelPaddingValue", _series({"edit": _attribute("PixelPaddingValue", 0)}))
    mprage = {"SeriesDescription": "t1_mprage_sag", "SeriesNumber": 3}
    for words in ("T1_MPRAGE_SAG_POST_GD", "t1 mprage +c", "t1-mprage-ce", "T1_mit_KM"):
        yield Case(
            "D",
            f"before and after an agent: {words}",
            _series(mprage, {"SeriesDescription": words, "SeriesNumber": 9, "ProtocolName": ""}),
            message=r"[Ss]eries 3 \(",
        )
    inversions = [
        {"SeriesDescription": f"mp2rage_INV{n}", "ProtocolName": "", "SeriesNumber": 4 + n, "InversionTime": 700.0 * n}
        for n in (1, 2)
    ]
    uniform = {
        "SeriesDescription": "mp2rage_UNI_Images",
        "ProtocolName": "",
        "SeriesNumber": 7,
        "ImageType": ["DERIVED", "PRIMARY", "M", "ND", "UNI"],
    }
    yield Case("D", "MP2RAGE", _series(*inversions, uniform), message=r"[Ss]eries 7 \(")
    yield Case("D", "the uniform image alone", _series(uniform))
    yield Case(
        "D",
        "a map of T1 alone",
        _series(
            {**uniform, "SeriesDescription": "T1_Images", "ImageType": ["DERIVED", "PRIMARY", "M", "ND", "T1 MAP"]}
        ),
        done=0,
    )
    phase = {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"], "volume": 2}
    yield Case("E", "magnitude and phase", _series({"volume": 1}, phase))
    yield Case("E", "twice", _series({"volume": 1, "AcquisitionNumber": 1}, {"volume": 2, "AcquisitionNumber": 2}))
    yield Case("E", "three echoes", _series(*({"volume": n, "EchoTime": 1.7 * n, "EchoNumbers": n} for n in (1, 2, 3))))
    yield Case("E", "a phase image alone", _series({"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}), done=0)
    for name in (
        "StudyID",
        "AccessionNumber",
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyDate",
        "StudyTime",
        "FrameOfReferenceUID",
        "StudyInstanceUID",
        "ReferringPhysicianName",
        "Manufacturer",
    ):
        yield Case("F", f"no {name}", _series({"edit": _attribute(name, None)}))
    for name, value in (
        ("PatientBirthDate", "1960-01-01"),
        ("PatientSex", "male"),
        ("StudyDate", "yesterday"),
        ("AccessionNumber", "A" * 90),
        ("StudyTime", "noon"),
        ("StudyID", "S" * 80),
    ):
        yield Case(
            "F",
            f"{name} of another form",
            _series({**CANARY, "edit": _attribute(name, value)}),
            never="CANARY|1960-01-01|yesterday|AAAAAAAA",
        )
    yield Case("G", "one series UID for two patients", _two_of_one_uid, done=2)
    yield Case(
        "G",
        ".nii beside .nii.gz",
        _files({"a/scan.nii": nifti(), "b/scan.nii.gz": _image(lambda x: x + 9, np.int16)}),
        done=2,
    )
    yield Case(
        "G",
        "NAME and name",
        _files({"a/Scan.nii.gz": plain, "b/scan.nii.gz": _image(lambda x: x + 9, np.int16)}),
        done=2,
    )
    yield Case("H", ".nii.bz2", _files(lambda: {"scan.nii.bz2": bz2.compress(nifti())}), like="plain")
    yield Case("H", ".nii.xz", _files(lambda: {"scan.nii.xz": lzma.compress(nifti())}), like="plain")
    yield Case("H", "gzip in gzip", _files({"scan.nii.gz": gzip.compress(plain)}), like="plain")
    yield Case("H", "a pair in capitals", _files(lambda: _pair("SCAN.HDR", "SCAN.IMG")), like="plain")
    yield Case("H", "a pair of mixed case", _files(lambda: _pair("scan.hdr", "scan.IMG")), like="plain")
    for form in ("tar.gz", "tar", "tar.xz", "tar.bz2", "zip"):
        yield Case("H", f"DICOM in .{form}", _archive(form))
    yield Case("H", "DICOM without preamble", _series({"edit": _without_preamble}))
    for decimals in (2, 3):
        yield Case("I", f"positions of {decimals} decimals, oblique", _series({"edit": _rounded(decimals)}))
    yield Case("J", "subjects that are links", _linked, done=2)
    bids = "sub-01/anat/sub-01"
    yield Case(
        "K",
        "a phase image beside",
        _files({f"{bids}_part-mag_T1w.nii.gz": plain, f"{bids}_part-phase_T1w.nii.gz": plain}),
    )
    yield Case("K", "ce-", _files({f"{bids}_ce-gadolinium_T1w.nii.gz": plain}), message="contrast agent")
    yield Case("K", "a FLAIR by name", _files({f"{bids}_FLAIR.nii.gz": plain}), done=0)
    yield Case(
        "K", "two runs, a mask of the second", _cohort(_SHEET.encode(), runs=True), done=-1, message="run-2|run 2"
    )
    forms = {
        "semicolons": _SHEET.replace("\t", ";").encode(),
        "commas": _SHEET.replace("\t", ",").encode(),
        "Latin-1": _SHEET.replace("centre", "centre é").encode("latin-1"),
        "UTF-16": _SHEET.encode("utf-16"),
        "a BOM": _SHEET.encode("utf-8-sig"),
        "no id column": _SHEET.replace("participant_id", "who").encode(),
    }
    for name, sheet in forms.items():
        yield Case("L", f"participants.tsv with {name}", _cohort(sheet), done=-1, message="participants.tsv")
    yield Case("M", "a mask in another axis order", _cohort(_SHEET.encode(), order=True), done=-1, never=r"\berror\b")
    yield Case(
        "N",
        "254 beside 255",
        _cohort(_SHEET.encode(), mask=lambda m: np.where(m, 255 - (np.arange(m.shape[2]) % 2), 0).astype(np.uint8)),
        done=-1,
        never=r"more than one label",
    )
    yield Case(
        "O",
        "a name outside the terminal's letters",
        _files({"Łódź 頭.nii.gz": plain}),
        environment={"PYTHONIOENCODING": "cp1252"},
    )
    yield Case("O", "a name that is no UTF-8", _latin_1)
    yield Case("Q", "T2w", _other((0.0, 0.1, 1.0, 1.0, 0.55, 0.35, 0.4)), done=0)
    yield Case("Q", "a map of T1", _other((0.0, 0.2, 1.0, 0.95, 0.33, 0.08, 0.2)), done=0)
    yield Case("Q", "diffusion", _other((0.0, 0.02, 0.1, 0.1, 0.8, 0.02, 0.62)), done=0)
    yield Case("Q", "a mask", _files({"scan.nii.gz": _image(lambda x: (x > 500).astype(np.float32), np.uint8)}), done=0)
    yield Case(
        "Q",
        "noise",
        _files({"scan.nii.gz": _image(lambda x: np.random.default_rng(0).random(x.shape) * 900, np.int16)}),
        done=0,
    )


def _latin_1(folder: Path) -> list[str]:
    with open(os.fsencode(folder) + b"/t\xeate.nii.gz", "wb") as file:
        file.write(packed(nifti()))
    return ["segment", str(folder)]
