"""The protocol of pyannote's pipelines, re-enacted from its documentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import timbral
from timbral.audio.decode import Wave
from timbral.errors import InputError
from timbral.inference.pyannote_embedding import PyannoteEmbedding


@pytest.fixture(scope="module")
def embedding(run: Path) -> PyannoteEmbedding:
    return PyannoteEmbedding(run)


def chunk(waves: list[Wave], samples: int = 40_000) -> torch.Tensor:
    """Cuts of recordings in a batch (B, 1, T)."""
    return torch.from_numpy(np.stack([wave[:samples] for wave in waves]))[:, None]


def test_what_a_pipeline_asks_of_an_embedding(
    embedding: PyannoteEmbedding, waves: list[Wave], run: Path
) -> None:
    """A pipeline reads the rate and the shortest length, then embeds each speaker of a chunk."""
    assert (embedding.sample_rate, embedding.metric) == (16_000, "cosine")
    vectors = embedding(chunk(waves[:3]))
    assert vectors.shape == (3, embedding.dimension)
    assert vectors.dtype == np.float32
    encoder = timbral.load_encoder(run, device="cpu")
    alone = [encoder.encode(wave[:40_000]) for wave in waves[:3]]
    assert np.abs(vectors - np.stack(alone)).max() <= 1e-5
    shortest = torch.from_numpy(waves[0][16_000:][: embedding.min_num_samples])[None, None]
    assert np.isfinite(embedding(shortest)).all()
    assert np.isnan(embedding(shortest[:, :, 1:])).all()
    assert embedding.to("cpu") is embedding


def test_masks_are_respected_exactly(embedding: PyannoteEmbedding, waves: list[Wave]) -> None:
    """Frames of a segmentation: what they leave out may be anything, also not a number."""
    waveforms = chunk(waves[:4])
    masks = torch.zeros(4, 100)  # frames of 400 samples
    masks[0, 10:60] = 1.0
    masks[1, :30], masks[1, 70:] = 0.8, 1.0
    masks[2, :2] = 1.0
    left = [waves[0][4_000:24_000], np.concatenate([waves[1][:12_000], waves[1][28_000:40_000]])]
    expected = embedding.embedder.encode(left)
    found = embedding(waveforms, masks=masks)
    assert np.abs(found[:2] - expected).max() <= 1e-5
    assert np.isnan(found[2:]).all()  # 800 samples, and none
    waveforms[0, 0, :4_000], waveforms[0, 0, 24_000:] = torch.nan, 7.0
    assert np.abs(embedding(waveforms, masks)[:2] - expected).max() <= 1e-5
    by_sample = torch.zeros(4, 40_000)
    by_sample[0, 4_000:24_000] = 1
    assert np.abs(embedding(waveforms, by_sample)[0] - expected[0]).max() <= 1e-5


def test_silence_has_no_vector(embedding: PyannoteEmbedding, waves: list[Wave]) -> None:
    silence = torch.cat([torch.zeros(1, 1, 40_000), chunk(waves[:1])])
    assert np.isnan(embedding(silence)).any(axis=1).tolist() == [True, False]


@pytest.mark.parametrize(
    ("waveforms", "masks", "words"),
    [
        (torch.zeros(2, 16_000), None, r"\(B, 1, T\) are needed, got \(2, 16000\)"),
        (torch.zeros(2, 2, 16_000), None, r"got \(2, 2, 16000\)"),
        (torch.zeros(2, 1, 16_000), torch.ones(3, 10), r"\(2, N\).*got \(3, 10\)"),
        (torch.zeros(2, 1, 16_000), torch.ones(2, 0), r"got \(2, 0\)"),
        (torch.zeros(2, 1, 16_000), torch.ones(2), r"got \(2,\)"),
    ],
)
def test_other_shapes(
    embedding: PyannoteEmbedding,
    waveforms: torch.Tensor,
    masks: torch.Tensor | None,
    words: str,
) -> None:
    with pytest.raises(InputError, match=words):
        embedding(waveforms, masks)


def test_masked_arrays_are_refused(embedding: PyannoteEmbedding) -> None:
    wave = np.ma.array(np.zeros((1, 1, 16_000), np.float32), mask=np.arange(16_000) < 100)
    with pytest.raises(InputError, match="waveforms: 100 of 16,000 values are masked"):
        embedding(wave)  # type: ignore[arg-type]
