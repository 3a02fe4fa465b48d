"""A call of the library leaves the process as it was: random streams, threads, denormals."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

import timbral
from timbral.io import devices


def state() -> dict[str, object]:
    """What a caller would notice."""
    kept = np.random.get_state()
    return {
        "torch random": torch.random.get_rng_state().tolist(),
        "numpy random": (kept[0], kept[1].tolist(), *kept[2:]),  # type: ignore[union-attr]
        "python random": random.getstate(),
        "denormals": (torch.tensor(1e-40) * 1 != 0).item(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "device": str(torch.get_default_device()),
        "dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "filters": list(warnings.filters),
    }


@contextmanager
def unchanged() -> Iterator[None]:
    torch.set_flush_denormal(False)
    before = state()
    yield
    after = state()
    assert [name for name in before if before[name] != after[name]] == []


def test_encoding_changes_nothing(run: Path, voices: Path, tmp_path: Path) -> None:
    paths = sorted(voices.glob("*/*.ogg"))
    with unchanged():
        encoder = timbral.load_encoder(run, device="cpu")
        encoder.encode(paths[:3])
        encoder.encode_windows(paths[0])
        encoder.verify(paths[0], paths[1])
        encoder.save(tmp_path / "saved")
        timbral.similarity(np.ones(3), np.ones(3))


def no_tuning() -> None:
    raise AssertionError("a library function must not tune the caller's process")


VERBS: dict[str, Callable[[Path, Path, Path], object]] = {
    "embed": lambda run, voices, out: timbral.embed(run, voices, out / "vectors"),
    "prepare": lambda run, voices, out: timbral.prepare(voices, out / "data"),
    "inspect": lambda run, voices, out: timbral.inspect(voices),
    "evaluate": lambda run, voices, out: timbral.evaluate(run, out / "trials.txt", voices),
    "models": lambda run, voices, out: timbral.models(),
    "average": lambda run, voices, out: timbral.average([run, run], out / "average"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_change_nothing(
    verb: str, run: Path, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [path.relative_to(voices) for path in sorted(voices.glob("*/*.ogg"))]
    lines = f"1 {paths[0]} {paths[1]}\n0 {paths[0]} {paths[-1]}\n"
    (tmp_path / "trials.txt").write_text(lines)
    monkeypatch.setattr(devices, "tune_cpu", no_tuning)
    with unchanged():
        VERBS[verb](run, voices, tmp_path)
