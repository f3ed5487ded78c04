"""Which series of a study is segmented: its T1w scan, by the rule that folders of DICOM are read by."""

from __future__ import annotations

from insula.errors import BadData, InsulaError
from insula.io.dicom import Slice, choose_series, read_slices
from insula.serve.dicom.receive import Complete, Study

__all__ = ["t1w_series"]


def t1w_series(study: Study) -> tuple[Complete | None, str]:
    """The series to segment, and why not the others.

    A series that is alone is taken as it is: whoever reads it says what is wrong with it.

    Args:
        study: all that has come of it.

    Returns:
        None where no series, or more than one, could be the T1w scan; and the reason, which quotes nothing from a header but series numbers.
    """
    if len(study.every) == 1:
        return study.every[0], ""
    slices: list[Slice] = []
    for series in study.every:
        for path in series.files:
            try:
                slices += read_slices(path)
            except BadData:  # a damaged series is not the one, and keeps no other from being it
                continue
    try:
        taken = choose_series(slices).slices[0].path.parent
    except InsulaError as error:
        return None, " ".join(f"{error.what} {error.value} {error.rule}".split())
    return next(
        series for series in study.every if series.folder == taken
    ), "another series of its study is the T1w scan"
