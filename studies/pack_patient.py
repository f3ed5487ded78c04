"""Make the demo's scan from the original: cropped to the head, in 255 grey levels, reproducible to the byte.

python -m studies.pack_patient ORIGINAL [--out src/insula/patient/sub-M2017_T1w.nii.gz] [--compare]

ORIGINAL is sub-M2017/ses-1142/anat/sub-M2017_ses-1142_acq-tfl3_run-3_T1w.nii.gz of OpenNeuro ds004884 (CC0 1.0). The
voxel lattice stays in place: nothing is resampled. --compare segments both with the default weights and prints the
Dice. The compressed bytes also depend on the release of zlib; the voxels do not.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
from pathlib import Path
from typing import cast

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from numpy.typing import NDArray

_OUT = Path(__file__).parents[1] / "src" / "insula" / "patient" / "sub-M2017_T1w.nii.gz"
_STEP = 4
"""The crop begins and ends at multiples of this [voxels], so the coarse grid that locates the head does not move."""
_MARGIN = 4
"""Air kept around the head [voxels]."""
_LEVELS = 255


def main() -> None:
    """Write the file; print the crop, the rounding, the size and the checksums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("original", type=Path)
    parser.add_argument("--out", type=Path, default=_OUT)
    parser.add_argument("--compare", action="store_true", help="segment both and print the Dice")
    arguments = parser.parse_args()
    original = nib.Nifti1Image.from_filename(arguments.original)
    box, data = head_box(np.asarray(original.dataobj)), pack(original)
    arguments.out.write_bytes(data)
    slope = float(cast(ArrayProxy, nib.Nifti1Image.from_bytes(gzip.decompress(data)).dataobj).slope)
    print("voxels kept         ", ", ".join(f"{part.start} to {part.stop - 1}" for part in box))
    print(f"grey levels          {_LEVELS}, {slope:g} apart; no value moves by more than {slope / 2:.2f}")
    print(f"size                 {len(data):,} bytes (original {arguments.original.stat().st_size:,})")
    print("SHA-256, original   ", hashlib.sha256(arguments.original.read_bytes()).hexdigest())
    print("SHA-256, uncompressed", hashlib.sha256(gzip.decompress(data)).hexdigest())
    if arguments.compare:
        compare(arguments.original, arguments.out, box)


def head_box(image: NDArray[np.generic]) -> tuple[slice, ...]:
    """The non-zero voxels and a margin; the original's air was set to 0 when the face was removed."""
    box = []
    for axis, size in enumerate(image.shape):
        where = np.flatnonzero(image.any(axis=tuple(other for other in range(3) if other != axis)))
        first = (int(where[0]) - _MARGIN) // _STEP * _STEP
        last = -(-(int(where[-1]) + 1 + _MARGIN) // _STEP) * _STEP
        box.append(slice(max(0, first), min(size, last)))
    return tuple(box)


def pack(original: nib.Nifti1Image) -> bytes:
    """The cropped file: uint8 with a slope; affine and codes of the original, moved to the corner of the crop."""
    image = np.asarray(original.dataobj)
    box = head_box(image)
    slope = np.float32(image.max() / _LEVELS)
    corner = np.eye(4)
    corner[:3, 3] = [part.start for part in box]
    affine = original.affine @ corner
    packed = nib.Nifti1Image(np.round(image[box] / slope).astype(np.uint8), affine)
    packed.header.set_sform(affine, code=int(original.header["sform_code"]))
    packed.header.set_qform(affine, code=int(original.header["qform_code"]))
    packed.header.set_slope_inter(slope, 0)
    packed.header.set_xyzt_units("mm")
    packed.header["descrip"] = b"ARC sub-M2017, cropped, 255 levels, CC0 1.0"
    return gzip.compress(packed.to_bytes(), compresslevel=9, mtime=0)


def compare(original: Path, packed: Path, box: tuple[slice, ...]) -> None:
    """Print both lesion volumes, and the Dice of the packed scan's mask with the original's."""
    import insula
    from insula.metrics import dice_score

    whole, cropped = (insula.segment(insula.read_scan(path)) for path in (original, packed))
    print(f"volume               {cropped.volume_ml:.2f} ml, of the original {whole.volume_ml:.2f} ml")
    print(f"Dice of both masks   {dice_score(cropped.mask.voxels, whole.mask.voxels[box]):.4f}")
    print(f"lesion beyond crop   {int(whole.mask.voxels.sum() - whole.mask.voxels[box].sum())} voxels")


if __name__ == "__main__":
    main()
