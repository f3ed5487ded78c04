"""`insula demo`: segment the scan of a patient, or of a simulated subject whose lesion is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from insula.predict import Result
    from insula.report import Truth

__all__ = ["demo"]

_PATIENT = Path(__file__).parents[1] / "patient" / "sub-M2017_T1w.nii.gz"
_EXPERTS_ML = 134.5  # from sub-M2017_T1w.txt beside the scan
_PATIENT_NOTE = (
    "A real patient: a woman, 39 years old at her stroke, scanned 1,142 days after it (Aphasia Recovery Cohort, "
    "sub-M2017, CC0 1.0). Experts drew the lesion on the T2w image of the same session; only their volume is "
    "available, so no Dice is computed."
)


def demo(out: Path = Path("insula-demo"), simulated: bool = False, device: str = "auto", debug: bool = False) -> int:
    """Segment the scan of a real patient with a chronic stroke and write a page of results.

    The scan comes with insula (Aphasia Recovery Cohort, CC0 1.0). No other data, network connection or GPU is needed.

    Args:
        out: Folder for the scan and the results.
        simulated: Segment a simulated subject with a known lesion instead, and print the Dice score
            (pip install 'insula[demo]').
        device: Device to use: auto, cpu, cuda or cuda:N.
        debug: Show a traceback on errors.
    """
    from insula.infer import choose_device
    from insula.io import OutputFolder

    choose_device(device)
    with OutputFolder(out) as folder:
        page = _segment_simulated(folder, device) if simulated else _segment_patient(folder, device)
    print(page.absolute())
    return 0


def _segment_patient(folder: Path, device: str) -> Path:
    """Write the scan and its results, print the figures, return the page."""
    from insula.config import SegmentConfig
    from insula.io import read_scan, write_bytes
    from insula.predict import segment
    from insula.report import Truth

    source = folder / _PATIENT.name
    write_bytes(source, _PATIENT.read_bytes())
    print("segmenting a real patient's scan with the bundled weights ...", flush=True)
    result = segment(read_scan(source), SegmentConfig(device=device))
    page = _write_results(result, source, Truth(volume_ml=_EXPERTS_ML, source="experts", note=_PATIENT_NOTE))
    print(f"volume   {result.volume_ml:.2f} ml   (experts drew {_EXPERTS_ML} ml, on the T2w image of the same session)")
    print(f"lesions  {len(result.lesions)}")
    return page


def _segment_simulated(folder: Path, device: str) -> Path:
    """Build and segment a simulated subject, print the figures and the Dice, return the page."""
    from insula.augment import demo_case
    from insula.config import SegmentConfig
    from insula.io import read_scan, write_mask, write_prob
    from insula.metrics import dice_score
    from insula.predict import segment
    from insula.report import Truth

    print("building a simulated subject with a chronic infarct ...", flush=True)
    case = demo_case()
    source = folder / "demo_T1w.nii.gz"
    write_prob(source, case.scan.image, case.scan.grid)
    write_mask(folder / "demo_truth_mask.nii.gz", case.truth)
    print("segmenting it with the bundled weights ...", flush=True)
    result = segment(read_scan(source, name="demo"), SegmentConfig(device=device))
    dice, truth_ml = dice_score(result.mask.voxels, case.truth.voxels), case.truth.volume_ml
    note = "This head and its infarct are simulated."
    page = _write_results(result, source, Truth(volume_ml=truth_ml, source="simulation", note=note, dice=dice))
    print(f"volume   {result.volume_ml:.2f} ml   (truth {truth_ml:.2f} ml; subject and infarct are simulated)")
    print(f"lesions  {len(result.lesions)}")
    print(f"Dice     {dice:.3f}")
    return page


def _write_results(result: Result, source: Path, truth: Truth) -> Path:
    """Write mask, probabilities, record and page beside the scan; return the page."""
    from insula.predict import result_paths, write_result
    from insula.report import render_page

    paths = result_paths(source.parent, result.scan.name)
    write_result(
        result, paths, source=source, further=lambda record: {paths.page: render_page(result, record, truth=truth)}
    )
    return paths.page
