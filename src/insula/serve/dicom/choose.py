"""Choose the T1w series of a study, by the same rule as for DICOM folders."""

from __future__ import annotations

from insula.errors import BadData, InsulaError
from insula.io.dicom import MOST_IMAGES, Slice, choose_series, read_slices
from insula.serve.dicom.receive import Complete, Study

__all__ = ["t1w_series"]


def t1w_series(study: Study) -> tuple[Complete | None, str]:
    """Returns the series of a study to segment, and the reason why the others are not.

    A study's only series is taken without checks: the error, if any, comes up when it is read.

    Args:
        study: the study, with all series received so far.

    Returns:
        The series, or None if no series, or several series, could be the T1w scan; and the reason, which quotes nothing
        from a header but series numbers.
    """
    if len(study.every) == 1:
        return study.every[0], ""
    slices: list[Slice] = []
    for series in study.every:
        for path in series.files:
            try:
                slices += read_slices(path, most=MOST_IMAGES - len(slices))
            except BadData:  # a damaged series is not chosen, but does not rule out the others
                continue
    try:
        chosen = choose_series(slices).slices[0].path.parent
    except InsulaError as error:
        return None, " ".join(f"{error.what} {error.value} {error.rule}".split())
    series = next(series for series in study.every if series.folder == chosen)
    return series, "another series of its study is the T1w scan"
