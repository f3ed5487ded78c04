"""Every number in the documents comes from a command here; run as `python -m studies.NAME` in the root of the repository."""
