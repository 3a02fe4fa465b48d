"""How many cores this process may use, and how torch's threads wait for each other on them."""

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
"""rounds that a waiting thread turns before it sleeps"""
SPIN_COUNT_SERVING = "30000"
"""of `serve`, whose workers notice busy cores and then compute in one thread each; with fewer
rounds threads fall asleep a hundred times in one request on free cores"""


def usable_cores() -> int:
    """How many cores this process may use at once: in a container, its share of the machine.

    Where the system does not say, as on macOS, all.
    """
    if sys.platform != "linux":
        return os.cpu_count() or 1
    cores = len(os.sched_getaffinity(0))
    granted = _share_of_container()
    return cores if granted is None else min(cores, max(1, math.ceil(granted)))


def share_cores(spin_count: str = SPIN_COUNT) -> None:
    """Make torch's threads as many as there are cores, and sleep after so many rounds of waiting.

    It must be called before torch is imported, and changes nothing that the environment says. By
    default a container of two cores on a machine of 64 gets 64 threads, and threads of GNU's OpenMP
    wait for each other for 300,000 rounds (5 ms), on cores that the one they wait for would need
    where other programs run: `benchmarks/busy_cores.py`.
    """
    cores = usable_cores()
    if "OMP_NUM_THREADS" not in os.environ and cores < (os.cpu_count() or 1):
        os.environ["OMP_NUM_THREADS"] = str(cores)
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = spin_count


def threads_are_chosen() -> bool:
    """Whether the environment says that there are not as many threads as cores."""
    return os.environ.get("OMP_NUM_THREADS") not in (None, str(usable_cores()))


def _share_of_container() -> float | None:
    """Seconds of processors in a second that the control group grants (versions 2 and 1)."""
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
