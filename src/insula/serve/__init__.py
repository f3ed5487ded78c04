"""The HTTP service (extra `serve`): a job queue that survives crashes, and a web page to use it from."""

from insula.serve.app import create_app
from insula.serve.jobs import Job, Jobs, State
from insula.serve.run import serve
from insula.serve.service import Service
from insula.serve.store import JobStore
from insula.serve.tokens import owner_of, token_hash
from insula.serve.workers import Workers

__all__ = ["Job", "JobStore", "Jobs", "Service", "State", "Workers", "create_app", "owner_of", "serve", "token_hash"]
