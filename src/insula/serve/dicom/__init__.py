"""The DICOM node: series come by C-STORE, results go back the same way; the jobs are those of the service."""

from insula.serve.dicom.listen import listen
from insula.serve.dicom.receive import Receiver
from insula.serve.dicom.send import Archive, Target, send
from insula.serve.dicom.stow import Stow

__all__ = ["Archive", "Receiver", "Stow", "Target", "listen", "send"]
