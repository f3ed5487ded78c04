"""Resources of a run on a cluster."""

from __future__ import annotations

from insula.config.listing import knobs

__all__ = ["SlurmConfig"]


@knobs
class SlurmConfig:
    """Resources requested from SLURM; there is a process for each GPU."""

    partition: str = ""
    """Partition; the cluster's default if empty."""
    account: str = ""
    """Account to charge, on clusters that require it."""
    nodes: int = 1
    """Number of machines."""
    gpus: int = 1
    """GPUs per machine; 0 for a single process without a GPU."""
    cpus: int = 8
    """Processors per process."""
    memory_gb: int = 64
    """Memory per machine [GB]."""
    hours: int = 24
    """The run is stopped after this long [h], saves, and queues again."""
