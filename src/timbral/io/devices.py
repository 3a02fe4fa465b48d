"""Which processor computes, how precisely, and how it is made to compute fast."""

from __future__ import annotations

import ctypes
import os
import platform
import sys

import torch

from timbral.errors import ConfigError

__all__ = ["emulates_bf16", "pick_device", "resolve_precision", "tune_cpu"]


def pick_device(name: str) -> torch.device:
    """``auto`` (or ``best``) is the GPU when there is one, ``gpu`` is cuda.

    Raises ConfigError for a device that is not there. Of several local processes each gets the
    GPU of its number.
    """
    name = {"best": "auto", "gpu": "cuda"}.get(name, name)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"unknown device {name!r}; allowed: auto, cpu, cuda, cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device {name} is not supported; allowed: auto, cpu, cuda, cuda:N")
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ConfigError(f"device {device} is asked for, but torch sees {count} CUDA devices")
    return device


def resolve_precision(precision: str, device: torch.device) -> str:
    """`auto` is bf16 where the device multiplies bf16 matrices in hardware, else fp32."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return "bf16" if device.type == "cpu" and probe() else "fp32"


def emulates_bf16(device: torch.device) -> bool:
    """Whether bf16 is slower than fp32, as on x86 processors without instructions for it."""
    if device.type != "cpu" or platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    return resolve_precision("auto", device) != "bf16"


def tune_cpu() -> None:
    """Let this process compute fast on a CPU.

    Tiny gradients of a new LSTM are denormal numbers, which processors handle slowly: they
    become zero. And glibc gives every large tensor back to the kernel, which then clears the
    same pages at the next step: it is told to keep them (nearly twice as fast here).
    """
    torch.set_flush_denormal(True)
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            trim_threshold, top_pad, mmap_max = -1, -2, -4  # malloc.h: M_TRIM_THRESHOLD…
            mallopt(mmap_max, 0)
            mallopt(trim_threshold, 2**31 - 1)
            mallopt(top_pad, 2**28)
