"""The DICOM node: receives series by C-STORE, segments them as the service does, and sends results to archives."""

from insula.serve.dicom.listener import listen
from insula.serve.dicom.receive import Receiver
from insula.serve.dicom.sender import Archive, Target, send
from insula.serve.dicom.stow import Stow
from insula.serve.dicom.tls import archive_context

__all__ = ["Archive", "Receiver", "Stow", "Target", "archive_context", "listen", "send"]
