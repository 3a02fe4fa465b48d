"""Peak memory of this process, for the other benchmarks."""

from __future__ import annotations

from pathlib import Path


def peak_megabytes() -> float:
    """The most memory this process has had since `forget_peak` (Linux)."""
    status = Path("/proc/self/status").read_text("utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")
