"""Commands that produce every number in the documents; run `python -m studies.NAME` in the repository's root."""
