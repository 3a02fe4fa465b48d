"""Devices, precisions, and settings for speed."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch

from timbral.errors import ConfigError, check_choice
from timbral.io.memory import keep_freed_memory

__all__ = [
    "PRECISIONS",
    "check_precision",
    "emulates_bf16",
    "float32_products",
    "has_bf16",
    "pick_device",
    "resolve_precision",
    "tune_cpu",
]

PRECISIONS = ("fp32", "tf32", "bf16", "int8")


def pick_device(name: str) -> torch.device:
    """The device of a name: ``auto`` (or ``best``) is the GPU if there is one, ``gpu`` is cuda.

    Raises ConfigError for a device that does not exist. Each of several local processes gets the
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
        raise ConfigError(f"device {device} was requested, but torch sees {count} CUDA devices")
    return device


def check_precision(precision: str, device: torch.device) -> None:
    """Raise ConfigError for a precision that is unknown or not supported by the device."""
    check_choice("precision", precision, PRECISIONS)
    if precision == "tf32" and device.type != "cuda":
        raise ConfigError(f"precision tf32 is only for CUDA devices; on {device} use fp32 or bf16")
    if precision == "int8" and device.type != "cpu":
        raise ConfigError(f"precision int8 is only for CPUs; on {device} use bf16 or fp32")
    if precision == "bf16" and device.type == "cpu" and not has_bf16():
        raise ConfigError(
            "this processor cannot compute in bf16 (on x86, that needs AVX-512 or "
            "AVX-NE-CONVERT); use precision fp32"
        )


def has_bf16() -> bool:
    """Whether torch supports bf16 on this processor, natively or by AVX-512.

    On other processors its LSTMs and packed products raise RuntimeError (torch 2.13).
    """
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return not has_onednn or bool(supported())


def resolve_precision(precision: str, device: torch.device) -> str:
    """The precision to use: for `auto` bf16 if the device has hardware for it, else fp32."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return "bf16" if device.type == "cpu" and probe() else "fp32"


class _Products:
    """torch's settings before the first of the current computations of all threads."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.computing = 0
        self.before: list[Any] = []

    def enter(self, precision: str) -> None:
        wanted = "tf32" if precision == "tf32" else "ieee"
        settings = _product_settings()
        with self.lock:
            if not self.computing:
                self.before = [getattr(owner, name) for owner, name in settings]
            self.computing += 1
            for owner, name in settings:
                setattr(owner, name, wanted if name == "fp32_precision" else wanted == "tf32")

    def leave(self) -> None:
        with self.lock:
            self.computing -= 1
            if not self.computing:
                for (owner, name), value in zip(_product_settings(), self.before, strict=True):
                    setattr(owner, name, value)


_PRODUCTS = _Products()


@contextmanager
def float32_products(precision: str, device: torch.device) -> Iterator[None]:
    """Context in which CUDA devices compute float32 products in `precision`.

    By default torch lets cuDNN round factors to TF32 (10 bits) in convolutions and LSTMs: then a
    vector in fp32 differs from a CPU's in its third or fourth digit. The settings apply to the
    process: if threads compute in fp32 and tf32 at once, the last to begin decides.
    """
    if device.type != "cuda":
        yield
        return
    _PRODUCTS.enter(precision)
    try:
        yield
    finally:
        _PRODUCTS.leave()


def _product_settings() -> list[tuple[Any, str]]:
    """torch's settings: one per kind of operator; before torch 2.9 one for cuDNN."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    if hasattr(cudnn, "conv"):
        return [(owner, "fp32_precision") for owner in (matmul, cudnn.conv, cudnn.rnn)]
    return [(owner, "allow_tf32") for owner in (matmul, cudnn)]


def emulates_bf16(device: torch.device) -> bool:
    """Whether bf16 is slower than fp32, as on x86 processors without instructions for it."""
    if device.type != "cpu" or platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    return resolve_precision("auto", device) != "bf16"


def tune_cpu() -> None:
    """Speed up this process on a CPU.

    Denormal numbers, such as tiny gradients of a new LSTM, are slow and become zero; large tensors
    reuse the memory of earlier ones.
    """
    torch.set_flush_denormal(True)
    keep_freed_memory()
