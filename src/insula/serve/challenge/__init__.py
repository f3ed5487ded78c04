"""The container protocol of Grand Challenge, for ISLES'26: one scan in a folder, two volumes in another, over HTTP."""

from insula.serve.challenge.folders import Folders
from insula.serve.challenge.server import Invocation, challenge_app, serve_challenge

__all__ = ["Folders", "Invocation", "challenge_app", "serve_challenge"]
