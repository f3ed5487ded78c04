"""The DICOM node: series come by C-STORE, results go back the same way; the jobs are those of the service."""

from insula.serve.dicom.listen import listen
from insula.serve.dicom.receive import Receiver
from insula.serve.dicom.send import Target, send

__all__ = ["Receiver", "Target", "listen", "send"]
