"""Disk input and output: strict readers, atomic writers and a locked output folder."""

from insula.io.atomic import write_bytes, write_json, write_text
from insula.io.folder import OTHERS_PATIENCE_S, FolderInUse, OutputFolder
from insula.io.mask import SeveralLabels, read_mask
from insula.io.metaimage import read_metaimage, write_metaimage
from insula.io.metaimage_header import Placement
from insula.io.nifti_write import write_labels, write_mask, write_prob, write_scan
from insula.io.read import (
    bare_name,
    folded,
    plain_name,
    printable,
    read_facts,
    read_labels,
    read_scan,
    read_values,
    still_the_same,
)

__all__ = [
    "FolderInUse",
    "OTHERS_PATIENCE_S",
    "OutputFolder",
    "Placement",
    "SeveralLabels",
    "bare_name",
    "folded",
    "plain_name",
    "printable",
    "read_facts",
    "read_labels",
    "read_mask",
    "read_metaimage",
    "read_scan",
    "read_values",
    "still_the_same",
    "write_bytes",
    "write_json",
    "write_labels",
    "write_mask",
    "write_metaimage",
    "write_prob",
    "write_scan",
    "write_text",
]
