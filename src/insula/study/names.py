"""Names that users give their cases: by the folders of DICOM inputs, or by a list."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from insula.errors import BadData, NoInput, from_os_error
from insula.io import bare_name, folded, plain_name
from insula.io.dicom import is_dicom

__all__ = ["given_names"]

_FOLDER = "folder"  # instead of a list: name each DICOM input by its folder, zip or tar
_COLUMNS = ("path", "name")
_SEPARATORS = "/\\:"


def given_names(paths: Sequence[Path], names: str) -> dict[Path, str]:
    """Return the names that a user gives to inputs. The list itself goes into no result.

    Args:
        paths: the inputs.
        names: `folder`, or a table with the columns `path` and `name`: .csv with commas, otherwise tab-separated.
            Relative paths are relative to the folder of the table. Inputs that are not in it keep their own name.

    Returns:
        Input -> name.

    Raises:
        NoInput: the table does not exist.
        BadData: a column is missing, a row is incomplete, a name cannot be that of a file, or two inputs have the same.
    """
    if names == _FOLDER:
        given = {path: plain_name(_folder_name(path)) for path in paths if is_dicom(path)}
    else:
        wanted = {os.path.realpath(path): path for path in paths}
        rows = {os.path.realpath(path): plain_name(name) for path, name in _rows(Path(names))}
        given = {path: rows[real] for real, path in wanted.items() if real in rows}
    first: dict[str, Path] = {}
    for path, name in given.items():
        if (other := first.setdefault(folded(name), path)) != path:
            rule = "is the name of two inputs" + (f", {other} and {path}" if names == _FOLDER else "")
            raise BadData("the name", name, rule, "give each a name of its own in a list")
    return given


def _folder_name(path: Path) -> str:
    path = path.absolute()
    if path.is_dir():
        return path.name
    return path.parent.name if path.suffix.lower() in ("", ".dcm", ".ima") else bare_name(path)


def _rows(table: Path) -> Iterator[tuple[Path, str]]:
    try:
        text = table.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise BadData("the list of names", table.name, "is not UTF-8 text", "save it as UTF-8") from None
    except FileNotFoundError:
        rule = "does not exist"
        raise NoInput("the list of names", table, rule, f"check the path, or give `names={_FOLDER}`") from None
    except OSError as error:
        raise from_os_error(error, what="the list of names", value=table, writing=False) from error
    delimiter = "," if table.suffix.lower() == ".csv" else "\t"
    reader = csv.DictReader(text.splitlines(), delimiter=delimiter)
    missing = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        rule = f"has no column {' and no column '.join(missing)}"
        raise BadData("the list of names", table.name, rule, "begin it with a row of column names: path, name")
    for number, row in enumerate(reader, start=2):
        path, name = (str(row[column] or "").strip() for column in _COLUMNS)
        if not path or not name:
            rule = f"has no {'path' if not path else 'name'} in row {number}"
            raise BadData("the list of names", table.name, rule, "complete the row, or delete it")
        if name.startswith((".", "-")) or any(letter in _SEPARATORS for letter in name):
            rule = f"in row {number} is no plain file name"
            raise BadData("the name", name, rule, "use letters, digits, - and _")
        yield table.parent / path, name
