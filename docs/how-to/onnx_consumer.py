"""Segment a scan with numpy and onnxruntime alone: python onnx_consumer.py enhanced.onnx scan.nii.gz probability.npy

It omits what insula does about damaged files, qforms, inverted contrast, bright objects beside the head, blurring
before coarser grids, small lesions, and pieces apart from the brain and holes in it.
"""

import gzip
import json
import sys

import numpy as np
import onnxruntime

KINDS = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}


def read(path):
    """Intensities and affine of a NIfTI-1 file with an sform."""
    raw = (gzip.open if path.endswith(".gz") else open)(path, "rb").read()
    end = "<" if raw[:4] == (348).to_bytes(4, "little") else ">"
    shape, kind = np.frombuffer(raw, end + "i2", 3, 42), np.frombuffer(raw, end + "i2", 1, 70)[0]
    start, slope, intercept = np.frombuffer(raw, end + "f4", 3, 108)
    data = np.frombuffer(raw, end + KINDS[kind], int(np.prod(shape, dtype=int)), int(start)).reshape(shape, order="F")
    return data * np.float32(slope or 1) + np.float32(intercept), np.frombuffer(raw, end + "f4", 12, 280).reshape(3, 4)


def sample(volume, places, fill):
    """Linear interpolation along each axis in turn; `fill` where a place is more than half a voxel outside."""
    for axis, at in enumerate(places):
        last = volume.shape[axis] - 1
        low, along = np.clip(np.floor(at), 0, last).astype(int), [-1 if n == axis else 1 for n in range(3)]
        part = (np.clip(at, 0, last) - low).astype(np.float32).reshape(along)
        mixed = np.take(volume, low, axis) * (1 - part) + np.take(volume, np.minimum(low + 1, last), axis) * part
        volume = np.where(((at < -0.5) | (at > last + 0.5)).reshape(along), np.float32(fill), mixed)
    return volume


if len(sys.argv) != 4:
    sys.exit(__doc__)
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
about = session.get_modelmeta().custom_metadata_map
prepare = json.loads(about["prepare"])
image, affine = read(sys.argv[2])

axes = np.argmax(np.abs(affine[:, :3]), axis=1)  # which of the file's axes runs right, front, up
flips = tuple(slice(None, None, int(np.sign(affine[row, axis]))) for row, axis in enumerate(axes))
ras, mm = image.transpose(axes)[flips], np.linalg.norm(affine[:, :3], axis=0)[axes]

step = max(1, round((ras.size / 1e6) ** (1 / 3)))
values = np.sort(ras[::step, ::step, ::step], axis=None)
low, high = (values[round((values.size - 1) * part)] for part in (0.01, 0.995))
air, head = np.split(values, [np.searchsorted(values, low + 0.1 * (high - low))])
rank = lambda ordered, percent: ordered[round((ordered.size - 1) * percent / 100)]  # noqa: E731
middle, background = rank(head, 50), rank(air, 50)
width = rank(head, prepare["high_percentile"]) - rank(head, prepare["low_percentile"])

every = np.maximum(1, np.round(4 / mm)).astype(int)  # the head: what is bright at 4 mm, its upper 130 mm
first = np.where(np.array(ras.shape) > every, every // 2, 0)
coarse = ras[tuple(slice(start, None, n) for start, n in zip(first, every, strict=True))]
low, high = np.percentile(coarse, [1, 99])
bright = coarse > low + 0.15 * (high - low)
areas = bright.sum((0, 1))
top = np.flatnonzero(areas > 0.02 * areas.max())[-1]
bright[:, :, : max(0, top - round(130 / (every[2] * mm[2])))] = False
centre = np.argwhere(bright[:, :, : top + 1]).mean(0) * every + first

size, ratio = (
    np.array(prepare["box"]),
    np.where(np.abs(mm - prepare["spacing_mm"]) < 1e-3, 1, prepare["spacing_mm"] / mm),
)
corner = np.round(centre / ratio - (size - 1) / 2)
box = sample(ras, [(corner[n] + np.arange(size[n])) * ratio[n] for n in range(3)], background)
ready = np.clip((box - middle) / width, -prepare["clip"], prepare["clip"]).astype(np.float32)
(found,) = session.run(None, {"image": ready[None, None]})
places = [np.arange(ras.shape[n]) / ratio[n] - corner[n] for n in range(3)]
home = sample(found[0, 0], places, 0)
if "brain" in json.loads(about["outputs"]):  # the second channel: lesion ends where it falls below a half
    home *= sample(found[0, 1], places, 0) >= 0.5

np.save(sys.argv[3], home[flips].transpose(np.argsort(axes)))
volume = (home >= float(about["threshold"])).sum() * mm.prod() / 1000
print(f"{volume:.2f} ml, lesions under {about['min_lesion_ml']} ml among it; {about['notice']}")
