"""The number of cores that this process may use, and how torch's threads wait on them."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

__all__ = [
    "CGROUPS",
    "SPIN_COUNT",
    "SPIN_COUNT_SERVING",
    "share_cores",
    "threads_are_chosen",
    "usable_cores",
]

CGROUPS = Path("/sys/fs/cgroup")
SPIN_COUNT = "3000"
"""rounds for which a waiting thread spins before it sleeps"""
SPIN_COUNT_SERVING = "30000"
"""the same for `serve`, whose workers detect busy cores and then compute in one thread each; with
fewer rounds, threads fall asleep a hundred times per request on free cores"""


def usable_cores() -> int:
    """Number of cores that this process may use at once, within the limits of a container.

    All cores if the system does not tell, as on macOS.
    """
    if sys.platform != "linux":
        return os.cpu_count() or 1
    cores = len(os.sched_getaffinity(0))
    granted = _share_of_container()
    return cores if granted is None else min(cores, max(1, math.ceil(granted)))


def share_cores(spin_count: str = SPIN_COUNT) -> None:
    """Let torch use as many threads as there are cores, which sleep after `spin_count` rounds.

    It must be called before torch is imported, and does not override environment variables. By
    default a container of two cores on a machine of 64 gets 64 threads, and threads of GNU's OpenMP
    spin for 300,000 rounds (5 ms); if other programs run, they occupy cores that the thread they
    wait for needs (`benchmarks/busy_cores.py`).
    """
    cores = usable_cores()
    if "OMP_NUM_THREADS" not in os.environ and cores < (os.cpu_count() or 1):
        os.environ["OMP_NUM_THREADS"] = str(cores)
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = spin_count


def threads_are_chosen() -> bool:
    """Whether environment variables set a number of threads other than the number of cores."""
    return os.environ.get("OMP_NUM_THREADS") not in (None, str(usable_cores()))


def _share_of_container() -> float | None:
    """Processor seconds per second that the control group (version 2 or 1) allows."""
    try:
        limit, period = (CGROUPS / "cpu.max").read_text("ascii").split()
    except (OSError, ValueError):
        try:
            limit, period = (
                (CGROUPS / "cpu" / f"cpu.cfs_{name}_us").read_text("ascii")
                for name in ("quota", "period")
            )
        except (OSError, ValueError):
            return None
    try:
        granted = float(limit) / float(period)  # "max" in version 2, -1 in version 1: no limit
    except (ValueError, ZeroDivisionError):
        return None
    return granted if 0 < granted < math.inf else None
