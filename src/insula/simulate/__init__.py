"""Heads whose truth is known: phantoms for tests, simulated infarcts for training and for the demo."""

from insula.simulate.anatomy import Tissue, from_dlmuse, from_freesurfer
from insula.simulate.artefacts import Artefacts
from insula.simulate.blobs import Blob
from insula.simulate.confounders import Confounders
from insula.simulate.deform import Deformation
from insula.simulate.looks import Acute, Chronic, Haemorrhagic, Lacune, Laminar, Look, Subacute, draw_look
from insula.simulate.outline import FORM, Outline, draw_ovoid
from insula.simulate.phantom import phantom_case
from insula.simulate.scanner import ScannerLook, scan_each, scan_with
from insula.simulate.shift import Shift
from insula.simulate.unfamiliar import UnfamiliarKind, insert_unfamiliar

__all__ = [
    "Acute",
    "Artefacts",
    "Blob",
    "Chronic",
    "Confounders",
    "Deformation",
    "FORM",
    "Haemorrhagic",
    "Lacune",
    "Laminar",
    "Look",
    "Outline",
    "ScannerLook",
    "Shift",
    "Subacute",
    "Tissue",
    "UnfamiliarKind",
    "draw_look",
    "draw_ovoid",
    "from_dlmuse",
    "from_freesurfer",
    "insert_unfamiliar",
    "phantom_case",
    "scan_each",
    "scan_with",
]
