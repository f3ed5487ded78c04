"""`insula segment`: write a mask, a probability map, a record and a page for each scan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from insula.cli.flags import flagged
from insula.types import DEFAULT_WEIGHTS

__all__ = ["segment"]


def segment(
    paths: Positional[tuple[str, ...]],
    /,
    out: Path = Path("insula-results"),
    threshold: float | None = None,
    tta: bool = False,
    device: str = "auto",
    weights: Annotated[str, arg(aliases=("--model",))] = DEFAULT_WEIGHTS,
    low_memory: bool = False,
    engine: Literal["auto", "torch", "onnxruntime", "openvino", "aoti", "tensorrt"] = "auto",
    frame: int | None = None,
    series: int | None = None,
    assume_orientation: str | None = None,
    assume_t1w: bool = False,
    names: str | None = None,
    again: bool = False,
    debug: bool = False,
) -> int:
    """Segment stroke lesions on T1w scans.

    Writes NAME_mask.nii.gz, NAME_prob.nii.gz, NAME.json and NAME.html for each scan, and NAME_brain.nii.gz if the
    weights predict the brain. index.html and results.tsv list all scans in the folder, lesions.tsv all lesions. A scan
    that is refused does not stop the others. Earlier results are kept if nothing changed, and so are masks that
    somebody corrected. For research only; not a medical device.

    Args:
        paths: Files (.nii or .hdr/.img, also compressed as .gz, .bz2 or .xz), folders or patterns; for DICOM, a folder,
            zip or tar for each scan.
        out: Folder for the results.
        threshold: Probability from which a voxel counts as lesion; the weights' own if not given.
        tta: Average with the prediction for the mirrored scan; the network takes twice as long.
        device: Device to use: auto, cpu, cuda or cuda:N.
        weights: Bundled weights by name, or your own file or folder; several (a,b) or a folder of folds are averaged.
        low_memory: Compute in tiles; gives the same mask with less memory.
        engine: Software that runs the network: onnxruntime or openvino on a CPU (pip install 'insula[export]'), aoti or
            tensorrt on a GPU.
        frame: Volume to segment in a 4-D file, from 0.
        series: SeriesNumber of the DICOM series to segment; chosen automatically if not given.
        assume_orientation: Axis codes for files that do not state their orientation, e.g. LPS.
        assume_t1w: Accept every scan as T1w, whatever its name, sidecar or image suggests.
        names: List that names cases, a table with the columns path and name; or folder, to name DICOM inputs by their
            folders. Without it DICOM cases are named by a code, for folders often carry the names of people.
        again: Segment all scans again, also those that are done; a corrected mask is renamed, never replaced.
        debug: Show a traceback on errors.
    """
    from insula.cli.study import print_study
    from insula.config import SegmentConfig
    from insula.errors import NoInput, UsageError
    from insula.study import StudyPlan, find_scans, given_names, name_cases

    if not paths:
        raise NoInput("the scans", "", "are missing", "write e.g. insula segment scan.nii.gz")
    if threshold is not None and not 0 < threshold <= 1:
        raise UsageError("--threshold", threshold, "is not above 0 and at most 1", "use e.g. 0.5")
    scans = find_scans(paths)
    files = scans.files
    given = given_names(files, names) if names else {}
    config = SegmentConfig(
        threshold=threshold,
        tta=tta,
        device=device,
        engine=engine,
        passes="tiled" if low_memory else "auto",
        assume_t1w=assume_t1w,
    )
    plan = StudyPlan(
        files=files,
        names=[given.get(path, name) for path, name in zip(files, name_cases(files), strict=True)],
        given=given,
        config=config,
        weights=[weights] * len(files),
        frame=frame,
        series=series,
        assume_orientation=assume_orientation,
        again=again,
        passed_over=scans.passed_over,
        twins=scans.twins,
        notes=scans.notes,
        debug=debug,
        wording=flagged,
    )
    return print_study(plan, out)
