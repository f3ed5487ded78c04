"""The folders of a challenge's container: where the scan lies, where results go, where weights are mounted."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from insula.errors import BadData, InsulaError, IOFault, NoInput, NoPermission, UsageError, from_os_error
from insula.io import Placement, read_metaimage, read_scan, write_metaimage
from insula.io.bytes import read_file
from insula.predict import Result
from insula.volume import Scan

__all__ = ["Folders"]

_SCAN_SOCKET = "t1-brain-mri"
_MASK, _PROB = (Path("images", slug, "output.mha") for slug in ("stroke-lesion-segmentation", "lesion-probability-map"))
_ENDINGS = (".mha", ".nii.gz", ".nii")
_LIST = "inputs.json"


@dataclass(frozen=True)
class Folders:
    """The folders `input`, `output` and `opt/ml/model` of a container.

    `input/inputs.json` lists the inputs, which the platform calls sockets: each has a slug and a relative path. Only
    the T1w scan is read, not the metadata.

    Args:
        root: the folder that they lie in; `/` in a container.
    """

    root: Path

    @property
    def weights(self) -> Path | None:
        """The folder of mounted weights; None if it is missing or empty."""
        folder = self.root / "opt" / "ml" / "model"
        return folder if _visible(folder) else None

    def read_scan(self) -> tuple[Scan, Placement]:
        """Read the only scan.

        Raises:
            NoInput: the list of inputs, the T1w input or its image is missing.
            BadData: the list is malformed, the T1w input has several images or an unknown format, or the image is
                damaged, ambiguous or not one 3-D volume.
            NoPermission, IOFault: a file cannot be read.
        """
        path = self._scan_path()
        try:
            return self._read(path)
        except (NoPermission, IOFault) as error:  # these name the file, and are logged
            raise error.without_value() from None

    def _read(self, path: Path) -> tuple[Scan, Placement]:
        if path.name.lower().endswith(".mha"):
            return read_metaimage(path, name="scan")
        try:
            scan = read_scan(path, name="scan")
        except UsageError as error:  # nobody can choose a frame here
            raise BadData(error.what, error.value, error.rule, "give one 3-D volume") from None
        return scan, Placement.of(scan.grid)

    def write_result(self, result: Result, placement: Placement) -> None:
        """Write the mask (uint8, 0 and 1) and the probability map (float32); both, or none of them.

        Args:
            result: the result.
            placement: that of its scan.

        Raises:
            CannotCreate, NoPermission, IOFault: the output folder cannot be written.
        """
        try:
            for path, voxels in (
                (_PROB, result.prob.astype(np.float32)),
                (_MASK, result.mask.voxels.astype(np.uint8)),
            ):
                (self._output / path).parent.mkdir(parents=True, exist_ok=True)
                write_metaimage(self._output / path, voxels, placement)
        except BaseException as error:
            with suppress(InsulaError):
                self.remove_result()
            if isinstance(error, OSError):
                raise from_os_error(error, what="the output folder", value=self._output, writing=True) from error
            raise

    def remove_result(self) -> None:
        """Remove an earlier result, so that it cannot pass for that of another scan.

        Raises:
            NoPermission, IOFault: a file cannot be removed.
        """
        for path in (_PROB, _MASK):
            try:
                (self._output / path).unlink(missing_ok=True)
            except OSError as error:
                raise from_os_error(error, what="the output", value=path, writing=True) from error

    @property
    def _input(self) -> Path:
        return self.root / "input"

    @property
    def _output(self) -> Path:
        return self.root / "output"

    def _scan_path(self) -> Path:
        folder = self._input / self._scan_folder()
        images = [name for name in _visible(folder) if name.lower().endswith(_ENDINGS)]
        others = len(_visible(folder)) - len(images)
        if len(images) == 1 and not others:
            return folder / images[0]
        what = f"the folder of {_SCAN_SOCKET}"
        if not images and not others:
            raise NoInput(what, "", "holds no image", "put one .mha into it")
        if len(images) > 1:
            raise BadData(what, "", f"holds {len(images)} images", "put one scan into it")
        rule = f"holds {others} file{'s' if others > 1 else ''} that are not {', '.join(_ENDINGS)}"
        raise BadData(what, "", rule, "put one .mha and nothing else into it")

    def _scan_folder(self) -> PurePosixPath:
        """Return the path of the T1w input, relative to the input folder."""
        sockets = [_socket(entry) for entry in self._entries()]
        scans = [socket for socket in sockets if socket.get("slug") == _SCAN_SOCKET]
        if not scans:
            slugs = ", ".join(sorted(str(socket.get("slug"))[:60] for socket in sockets)) or "nothing"
            raise NoInput(f"the input {_SCAN_SOCKET}", "", f"is not in {_LIST}, which lists {slugs}", "add it")
        if len(scans) > 1:
            raise BadData(f"the input {_SCAN_SOCKET}", "", f"is {len(scans)} times in {_LIST}", "list it once")
        path = scans[0].get("relative_path", f"images/{_SCAN_SOCKET}")
        folder = PurePosixPath(path) if isinstance(path, str) else PurePosixPath("/")
        if folder.is_absolute() or ".." in folder.parts or "\0" in str(folder):
            rule = f"has a path in {_LIST} that is not inside the input folder"
            raise BadData(f"the input {_SCAN_SOCKET}", "", rule, f"write images/{_SCAN_SOCKET}")
        return folder

    def _entries(self) -> list[object]:
        if not (self._input / _LIST).exists():
            raise NoInput("the list of inputs", _LIST, "does not exist", "put it into the input folder")
        try:
            entries = json.loads(read_file(self._input / _LIST).data.decode("utf-8"))
        except (ValueError, RecursionError):
            raise BadData("the list of inputs", _LIST, "is not JSON", "write it again") from None
        if not isinstance(entries, list):
            raise BadData("the list of inputs", _LIST, "is not a list", "list one entry for each input")
        return entries


def _socket(entry: object) -> dict[str, object]:
    """Return the description of an input; older platforms call it an interface."""
    socket = entry.get("socket", entry.get("interface")) if isinstance(entry, dict) else None
    if not isinstance(socket, dict):
        raise BadData("an entry", f"of {_LIST}", "has no socket", 'write {"socket": {"slug": ...}}')
    return socket


def _visible(folder: Path) -> list[str]:
    """Return the names in a folder, sorted and without hidden files; none if there is no such folder."""
    try:
        return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise from_os_error(error, what="the folder", value=folder.name, writing=False) from error
