"""Windows of a recording that are mostly speech, and their vectors."""

from __future__ import annotations

import numpy as np

from timbral.audio.decode import Wave
from timbral.audio.quality.short_time import analyze, frame_length
from timbral.audio.quality.sound_features import windows_of
from timbral.audio.quality.sound_model import classify
from timbral.audio.quality.speech_frames import mark_speech
from timbral.embeddings.audit.second_speaker import WindowedRecording
from timbral.embeddings.vectors import finite_rows
from timbral.inference.embedder import Embedder
from timbral.inference.windows import sliding_windows
from timbral.io.types import Floats, Ints

__all__ = ["SPEECH_FRACTION", "speech_fractions", "speech_windows", "windowed_recordings"]

SPEECH_FRACTION = 0.5
"""of a window, at least; vectors of pauses lie anywhere"""
WINDOW_SECONDS = (0.6, 1.5)
"""the shortest and the longest window"""
WINDOWS_EACH = 3
"""side by side, of a recording too short for three of the longest"""
MOST_WINDOWS = 400
"""of a long recording, spread over it"""


def speech_fractions(wave: Wave, sample_rate: int, ranges: Ints) -> Floats:
    """Which fraction (W,) of each range (W, 2) of samples of a wave (T,) is speech."""
    frames = analyze(wave, sample_rate)
    marks = mark_speech(frames.bands, classify(*windows_of(frames)).speech)
    counts = np.concatenate([[0], np.cumsum(marks)])
    length = frame_length(sample_rate)
    starts = np.minimum(ranges[:, 0] // length, marks.size - 1)
    ends = np.clip(ranges[:, 1] // length, starts + 1, marks.size)
    return np.asarray((counts[ends] - counts[starts]) / (ends - starts))


def speech_windows(wave: Wave, sample_rate: int, min_samples: int) -> Ints:
    """First and end samples (W, 2) of half overlapping windows that are mostly speech.

    They are 1.5 s long, in a recording shorter than 4.5 s a third of it, 0.6 s at least; a
    recording shorter than one window has none.
    """
    shortest, longest = (round(seconds * sample_rate) for seconds in WINDOW_SECONDS)
    size = max(min(longest, len(wave) // WINDOWS_EACH), shortest, min_samples)
    if len(wave) < size:
        return np.zeros((0, 2), np.int64)
    ranges = sliding_windows(len(wave), size, max(size // 2, len(wave) // MOST_WINDOWS))
    return ranges[speech_fractions(wave, sample_rate, ranges) >= SPEECH_FRACTION]


def windowed_recordings(embedder: Embedder, waves: list[Wave]) -> list[WindowedRecording]:
    """The windows of recordings, waves (T,) that `embedder.load_audio` gave, in few batches."""
    rate, least = embedder.sample_rate, embedder.runtime.network.min_samples
    ranges = [speech_windows(wave, rate, least) for wave in waves]
    cut = [
        wave[start:end]
        for wave, each in zip(waves, ranges, strict=True)
        for start, end in each.tolist()
    ]
    vectors = (
        embedder.encode_preprocessed(cut)
        if cut
        else np.zeros((0, embedder.embedding_dim), np.float32)
    )
    found = []
    for each in ranges:
        own, vectors = vectors[: len(each)], vectors[len(each) :]
        finite = finite_rows(own)
        size = int(each[0, 1] - each[0, 0]) if len(each) else 0
        starts = each[finite, 0].astype(np.float64) / rate
        found.append(WindowedRecording(own[finite].astype(np.float32), starts, size / rate))
    return found
