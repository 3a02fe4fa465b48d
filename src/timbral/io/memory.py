"""Reuse freed memory in this process."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_freed_memory"]

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
"""parameters of mallopt(3), as numbered in glibc's malloc.h"""


def keep_freed_memory() -> None:
    """Let this process keep freed memory for later allocations.

    glibc returns every large array to the kernel, which then clears the same pages at the next
    step: training was nearly twice as fast without that. As a setting of the process, it is made by
    commands and worker processes, not by functions of the library.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(MMAP_MAX, 0)
            mallopt(TRIM_THRESHOLD, 2**31 - 1)
            mallopt(TOP_PAD, 2**28)
