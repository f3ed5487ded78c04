"""`insula segment`: scans in; for each a mask, a probability map, a record and a page out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

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
    debug: bool = False,
) -> int:
    """Segment stroke lesions on T1w scans.

    Each scan gets NAME_mask.nii.gz, NAME_prob.nii.gz, NAME.json and NAME.html, and NAME_brain.nii.gz if the weights
    give a brain; index.html and results.tsv list them all. A scan that is refused does not stop the others. For research only; not a medical device.

    Args:
        paths: Files (.nii, .hdr/.img, also as .gz, .bz2 or .xz), folders, or globs; of DICOM, a folder, a zip or a tar for each scan.
        out: Folder for the results.
        threshold: Probability from which a voxel is lesion; the weights' own if not given.
        tta: Average with the mirrored scan; twice the time.
        device: auto, cpu, cuda or cuda:N.
        weights: Bundled weights by name, or a folder or file of your own; a folder of folds, or a,b, are averaged.
        low_memory: Compute in tiles; the same mask in less memory.
        engine: What computes: onnxruntime or openvino (pip install 'insula[export]') on a processor, aoti or tensorrt on a GPU.
        frame: Which volume of a 4-D file, from 0.
        series: SeriesNumber of the DICOM series to take; by rule if not given.
        assume_orientation: Axes of files that do not say, e.g. LPS.
        assume_t1w: The scans are T1w, whatever their names, sidecars and looks say.
        debug: Show a traceback on errors.
    """
    from insula.cli.study import print_study
    from insula.config import SegmentConfig
    from insula.errors import NoInput, UsageError
    from insula.study import StudyPlan, find_scans, name_cases

    if not paths:
        raise NoInput("the scans", "", "are not named", "write e.g. insula segment scan.nii.gz")
    if threshold is not None and not 0 < threshold <= 1:
        raise UsageError("--threshold", threshold, "is not above 0 and at most 1", "use e.g. 0.5")
    found = find_scans(paths)
    files = found.files
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
        names=name_cases(files),
        config=config,
        weights=[weights] * len(files),
        frame=frame,
        series=series,
        assume_orientation=assume_orientation,
        passed_over=found.passed_over,
        twins=found.twins,
        notes=found.notes,
        debug=debug,
    )
    return print_study(plan, out)
