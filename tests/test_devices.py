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
    if not devices.has_bf16():
        pytest.skip("this processor does not compute in bf16 at all")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_bf16)
    monkeypatch.setattr(devices.platform, "machine", lambda: machine)
    first, second = sorted(voices.glob("*/*.ogg"))[:2]
    done = ask("verify", run, first, second, "--precision", "bf16", "--device", "cpu")
    assert done.code == 0
    assert ("slower than fp32" in done.err) == (not has_bf16 and machine == "x86_64")


def test_bf16_is_refused_where_torch_has_none(
    ask: Ask, run: Path, voices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processors with AVX2 alone: products would be errors within torch."""
    monkeypatch.setattr(devices, "has_bf16", lambda: False)
    first, second = sorted(voices.glob("*/*.ogg"))[:2]
    words = ("verify", run, first, second, "--device", "cpu", "--precision", "bf16")
    refused = ask(*words)
    assert refused.code == 2
    assert "this processor cannot compute in bf16" in refused.err


def test_float32_products_are_float32() -> None:
    """cuDNN would round them to TF32; the settings are there without a GPU, too."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    kinds = (matmul, cudnn.conv, cudnn.rnn)
    before = [kind.fp32_precision for kind in kinds]
    cuda = torch.device("cuda")
    with devices.float32_products("fp32", cuda):
        assert {kind.fp32_precision for kind in kinds} == {"ieee"}
        with devices.float32_products("fp32", cuda):  # another thread's
            pass
        assert {kind.fp32_precision for kind in kinds} == {"ieee"}
    assert [kind.fp32_precision for kind in kinds] == before
    with devices.float32_products("tf32", cuda):
        assert {kind.fp32_precision for kind in kinds} == {"tf32"}
    with devices.float32_products("tf32", torch.device("cpu")):
        assert [kind.fp32_precision for kind in kinds] == before


def test_tf32_is_of_cuda(ask: Ask, run: Path, voices: Path) -> None:
    first, second = sorted(voices.glob("*/*.ogg"))[:2]
    refused = ask("verify", run, first, second, "--precision", "tf32", "--device", "cpu")
    assert refused.code == 2
    assert "precision tf32 is only for CUDA devices; on cpu use fp32 or bf16" in refused.err
