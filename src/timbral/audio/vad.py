"""Voice activity detection: find speech in a recording, and cut the rest.

Each detector marks frames of fixed length; a frame that is kept keeps its neighbors too, so
that words are not cut short.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from timbral.audio.decode import Wave
from timbral.errors import ConfigError, MissingExtraError
from timbral.io.onnxruntime_import import import_onnxruntime

__all__ = [
    "FRAMES_AHEAD",
    "FRAMES_BEFORE",
    "FRAME_MS",
    "check_detector",
    "kept_frames",
    "kept_of_frames",
    "speech_probabilities",
    "voiced_frames",
    "webrtc_detector",
    "with_neighbors",
]

Flags = NDArray[np.bool_]

FRAME_MS = 30  # the longest frame that WebRTC's detector takes
AVERAGE_FRAMES = 8  # moving average over the flags of 8 frames
SIDE_FRAMES = 3  # voiced frames keep 3 neighbors on either side
FRAMES_BEFORE = AVERAGE_FRAMES - AVERAGE_FRAMES // 2 - 1 + SIDE_FRAMES
FRAMES_AHEAD = AVERAGE_FRAMES // 2 + SIDE_FRAMES
ENERGY_RANGE_DB = 40.0  # a frame this far below the loudest one is a pause
ENERGY_FLOOR_DBFS = -70.0  # and so is one below this, however quiet the recording

SILERO_RATE = 16_000
SILERO_FRAME = 512  # samples at 16 kHz; the network sees the 64 before them too
SILERO_CONTEXT = 64
SILERO_SPEECH = 0.5  # probability from which a frame is speech
SILERO_SIDE_FRAMES = 3
SILERO_BLOCK = 512  # frames in one call: bounds memory, 16 s


def check_detector(trim: str) -> None:
    """Raise MissingExtraError if a package that `trim` needs is not installed."""
    if trim == "webrtc":
        _webrtc()
    elif trim == "silero":
        _silero()


def voiced_frames(wave: Wave, sample_rate: int, trim: str) -> tuple[Flags, int]:
    """A mask of the frames (F,) of a wave (T,) with speech, and the samples per frame.

    `trim` is energy, webrtc or silero. Silero's last frame may be partial; other detectors have
    only complete ones.
    """
    if trim == "silero":
        return _silero_frames(wave, sample_rate), SILERO_FRAME
    size = sample_rate * FRAME_MS // 1000
    frames = wave[: wave.size - wave.size % size].reshape(-1, size)
    if frames.shape[0] == 0:
        return np.zeros(0, dtype=bool), size
    flags = (webrtc_detector(sample_rate) if trim == "webrtc" else _energy_flags)(frames)
    return kept_frames(flags), size


def kept_of_frames(wave: Wave, kept: Flags, size: int) -> Wave:
    """The kept frames of a wave, joined: (T,) -> (T',)."""
    if kept.all():
        return wave[: kept.size * size]
    if kept.size * size > wave.size:
        return wave[np.repeat(kept, size)[: wave.size]]
    return wave[: kept.size * size].reshape(-1, size)[kept].reshape(-1)


def kept_frames(flags: Flags) -> Flags:
    """A mask of the frames (F,) to keep: flags averaged, rounded and dilated as in PaddleSpeech.

    It depends on the flags of `FRAMES_BEFORE` frames before and `FRAMES_AHEAD` frames after a
    frame.
    """
    sums = np.convolve(flags.astype(np.int64), np.ones(AVERAGE_FRAMES, np.int64), "full")
    left = AVERAGE_FRAMES // 2  # sums of eight stay whole numbers
    smooth = sums[left : left + flags.size] > AVERAGE_FRAMES // 2  # half rounds to zero
    return with_neighbors(smooth, SIDE_FRAMES)


def with_neighbors(flags: Flags, side: int) -> Flags:
    """Flags (F,) in which `side` neighbors on either side of a set flag are set, too."""
    near = np.convolve(flags, np.ones(2 * side + 1, np.int64), "full")
    return np.asarray(near[side : side + flags.size] > 0)


def _energy_flags(frames: NDArray[np.float32]) -> Flags:
    power = np.einsum("nt,nt->n", frames, frames) / np.float32(frames.shape[1])
    rms_dbfs = 10.0 * np.log10(power + 1e-12)
    threshold = max(float(rms_dbfs.max()) - ENERGY_RANGE_DB, ENERGY_FLOOR_DBFS)
    return np.asarray(rms_dbfs > threshold)


def webrtc_detector(sample_rate: int) -> Callable[[NDArray[np.float32]], Flags]:
    """WebRTC's detector for the frames (F, N) of one recording, given at once or in parts."""
    webrtc = _webrtc()
    detector = webrtc.create()
    webrtc.init(detector)
    webrtc.set_mode(detector, 3)
    process = webrtc.process

    def flags(frames: NDArray[np.float32]) -> Flags:
        # The scale of PaddleSpeech; np.round on the product, clipped where it would wrap around
        scaled = frames * np.float32(32_767)
        np.clip(np.rint(scaled, out=scaled), -32_768, 32_767, out=scaled)
        samples, length = scaled.astype(np.int16), frames.shape[1]
        found = map(process, repeat(detector), repeat(sample_rate), samples, repeat(length))
        return np.fromiter(found, bool, len(samples))

    return flags


def _webrtc() -> Any:
    """The compiled module of webrtcvad, because its Python class takes 1.5 times as long."""
    try:
        import _webrtcvad
    except ImportError:
        raise MissingExtraError("trim webrtc (WebRTC voice activity detection)", "vad") from None
    return _webrtcvad


def _silero_frames(wave: Wave, sample_rate: int) -> Flags:
    if sample_rate != SILERO_RATE:
        raise ConfigError(f"trim silero takes {SILERO_RATE} Hz, not {sample_rate} Hz")
    return with_neighbors(speech_probabilities(wave) >= SILERO_SPEECH, SILERO_SIDE_FRAMES)


def speech_probabilities(wave: Wave) -> NDArray[np.float32]:
    """Silero's probabilities (F,) of speech in frames of 32 ms of a wave (T,) at 16 kHz.

    The last frame may be partial.
    """
    session = _silero()
    count = -(-wave.size // SILERO_FRAME)
    padded = np.zeros(SILERO_CONTEXT + count * SILERO_FRAME, np.float32)
    padded[SILERO_CONTEXT : SILERO_CONTEXT + wave.size] = wave
    length = SILERO_CONTEXT + SILERO_FRAME
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[::SILERO_FRAME]
    hidden = cell = np.zeros((1, 1, 128), np.float32)
    probabilities = [np.zeros(0, np.float32)]
    for start in range(0, count, SILERO_BLOCK):
        block = np.ascontiguousarray(frames[start : start + SILERO_BLOCK])
        speech, hidden, cell = session.run(
            ["speech_probs", "hn", "cn"], {"input": block, "h": hidden, "c": cell}
        )
        probabilities.append(speech.reshape(-1))
    return np.concatenate(probabilities)


@lru_cache(maxsize=1)
def _silero() -> Any:
    """The network in the package silero-vad, whose code is not imported.

    That code would import torch and set its number of threads.
    """
    package = importlib.util.find_spec("silero_vad")
    try:
        onnxruntime = import_onnxruntime()
    except ImportError:
        package = None
    if package is None or not package.submodule_search_locations:
        raise MissingExtraError("trim silero (Silero voice activity detection)", "vad")
    folder = Path(package.submodule_search_locations[0])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # workers are processes
    return onnxruntime.InferenceSession(
        str(folder / "data" / "silero_vad_16k_sequence.onnx"),
        options,
        providers=["CPUExecutionProvider"],
    )
