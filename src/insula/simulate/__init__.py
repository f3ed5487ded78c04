"""Heads whose truth is known: phantoms for tests, simulated infarcts for training and for the demo."""

from insula.simulate.anatomy import Tissue, from_dlmuse, from_freesurfer, paint
from insula.simulate.artefacts import Artefacts
from insula.simulate.deform import Deformation
from insula.simulate.head import Host, LesionShape, SimulatedHead, simulate_head
from insula.simulate.lesion import LesionLook, insert_lesion
from insula.simulate.phantom import phantom_case
from insula.simulate.scanner import ScannerLook, scan_each, scan_with
from insula.simulate.subject import demo_case
from insula.simulate.unfamiliar import UnfamiliarKind, insert_unfamiliar

__all__ = [
    "Artefacts",
    "Deformation",
    "Host",
    "LesionLook",
    "LesionShape",
    "ScannerLook",
    "SimulatedHead",
    "Tissue",
    "UnfamiliarKind",
    "demo_case",
    "from_dlmuse",
    "from_freesurfer",
    "insert_lesion",
    "insert_unfamiliar",
    "paint",
    "phantom_case",
    "scan_each",
    "scan_with",
    "simulate_head",
]
