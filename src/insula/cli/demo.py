"""`insula demo`: a simulated subject, segmented, compared with the truth, on a page."""

from __future__ import annotations

from pathlib import Path

__all__ = ["demo"]


def demo(out: Path = Path("insula-demo"), device: str = "auto", debug: bool = False) -> int:
    """Segment a simulated subject and show the page.

    The head is the ICBM152 average, deformed; the infarct is simulated. No data, no network and no GPU are needed.

    Args:
        out: Folder for the scan and the results.
        device: auto, cpu, cuda or cuda:N.
        debug: Show a traceback on errors.
    """
    from insula.config import SegmentConfig
    from insula.infer import choose_device
    from insula.io import OutputFolder, read_scan, write_mask, write_prob, write_text
    from insula.metrics import dice_score
    from insula.predict import result_paths, segment, write_result
    from insula.report import render_page
    from insula.simulate import demo_case

    choose_device(device)
    with OutputFolder(out) as folder:
        print("building a simulated subject with a chronic infarct ...", flush=True)
        case = demo_case()
        source = folder / "demo_T1w.nii.gz"
        write_prob(source, case.scan.image, case.scan.grid)
        write_mask(folder / "demo_truth_mask.nii.gz", case.truth)
        print("segmenting it with the bundled weights ...", flush=True)
        result = segment(read_scan(source, name="demo"), SegmentConfig(device=device))
        paths = result_paths(folder, "demo")
        record = write_result(result, paths, source=source)
        truth = {"dice": dice_score(result.mask.voxels, case.truth.voxels), "volume_ml": case.truth.volume_ml}
        write_text(paths.page, render_page(result, record, truth=truth))
    count = len(result.lesions)
    print(
        f"volume   {result.volume_ml:.2f} ml   (truth {truth['volume_ml']:.2f} ml; subject and infarct are simulated)"
    )
    print(f"lesions  {count}")
    print(f"Dice     {truth['dice']:.3f}")
    print(paths.page.absolute())
    return 0
