"""Where cases come from."""

from insula.cohort.sources import Part, Sources, load_sources

__all__ = ["Part", "Sources", "load_sources"]
