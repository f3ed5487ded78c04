"""Where and how long a run may take on a cluster."""

from __future__ import annotations

from insula.config.listing import knobs

__all__ = ["SlurmConfig"]


@knobs
class SlurmConfig:
    """What SLURM is asked for; one process for each GPU."""

    partition: str = ""
    """The cluster's own if empty."""
    account: str = ""
    """Who pays, where that has to be said."""
    nodes: int = 1
    """Machines."""
    gpus: int = 1
    """On each of them; 0 for one process without."""
    cpus: int = 8
    """Processors for each process."""
    memory_gb: int = 64
    """On each machine [GB]."""
    hours: int = 24
    """After which the run is stopped, saves, and queues again."""
