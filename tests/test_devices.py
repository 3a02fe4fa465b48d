"""What is known of the processor."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from conftest import Ask
from timbral.io import devices


@pytest.mark.parametrize(
    ("has_bf16", "machine"), [(False, "x86_64"), (True, "x86_64"), (False, "aarch64")]
)
def test_emulated_bf16_is_told(
    ask: Ask, run: Path, voices: Path, monkeypatch: pytest.MonkeyPatch, has_bf16: bool, machine: str
) -> None:
    """x86 processors without instructions for bf16 take twice as long with it as with float32."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_bf16)
    monkeypatch.setattr(devices.platform, "machine", lambda: machine)
    first, second = sorted(voices.glob("*/*.ogg"))[:2]
    done = ask("verify", run, first, second, "--precision", "bf16", "--device", "cpu")
    assert done.code == 0
    assert ("slower than fp32" in done.err) == (not has_bf16 and machine == "x86_64")
