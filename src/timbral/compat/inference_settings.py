"""Apply the settings that PaddleSpeech's inference reads from its config to an Embedder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from timbral.compat.paddlespeech import DEFAULTS, FIXED_KEYS, read_number
from timbral.config.parsing import read_document
from timbral.encoders.native_windows import Windows
from timbral.errors import ConfigError
from timbral.inference.embedder import Embedder

__all__ = ["with_settings"]

RMS_LEVEL = "data.audio_norm_target_dBFS"
FRAMES = "data.partial_n_frames"
OVERLAP = "data.partial_overlap_ratio"
COVERAGE = "data.min_pad_coverage"
INFERENCE_KEYS = (RMS_LEVEL, FRAMES, COVERAGE, OVERLAP)
"""the keys that inference uses; others are part of the front-end or of the weights, or unused"""


def with_settings(embedder: Embedder, config: Path | None, opts: Sequence[str]) -> Embedder:
    """The Embedder with the windows and the RMS level in PaddleSpeech's YAML file and in `opts`,
    which are pairs KEY VALUE.

    Raises ConfigError for an unknown key, a value that cannot be changed, or windows for an encoder
    that takes whole utterances.
    """
    settings = _settings(config, opts)
    level = settings.pop(RMS_LEVEL, None)
    preprocessing = embedder.preprocessing
    return embedder.with_inference(
        preprocessing if level is None else replace(preprocessing, min_rms_dbfs=level),
        _windows(embedder, settings) if settings else None,
    )


def _settings(config: Path | None, opts: Sequence[str]) -> dict[str, float]:
    """The given values of `INFERENCE_KEYS`; `opts` override the file."""
    given = {**(_flat(read_document(config) or {}) if config else {}), **_pairs(opts)}
    settings = {
        key: read_number(key, value, "PaddleSpeech's config") for key, value in given.items()
    }
    for key, value in settings.items():
        if key in FIXED_KEYS and key != RMS_LEVEL and value != DEFAULTS[key]:
            raise ConfigError(f"{key} is {DEFAULTS[key]:g} in timbral's front-end, not {value:g}")
    return {key: settings[key] for key in INFERENCE_KEYS if key in settings}


def _windows(embedder: Embedder, settings: Mapping[str, float]) -> Windows:
    """The encoder's windows with the given settings."""
    windows = embedder.windows
    if windows is None:
        names = ", ".join(key.partition(".")[2] for key in settings)
        raise ConfigError(f"{embedder.name} takes whole utterances, so {names} do not apply")
    frames = int(settings.get(FRAMES, windows.frames))
    overlap = settings.get(OVERLAP, 1 - windows.step / windows.frames)
    coverage = settings.get(COVERAGE, windows.min_coverage)
    if frames < 1 or not 0 <= overlap < 1 or not 0 <= coverage <= 1:
        raise ConfigError(
            f"windows of {frames} frames, overlap {overlap:g}, coverage {coverage:g}: allowed are "
            "1 or more frames, an overlap from 0 to below 1 and a coverage in [0, 1]"
        )
    return Windows(frames, max(1, round(frames * (1 - overlap))), coverage)


def _flat(content: Any) -> dict[str, Any]:
    """The sections of the file as dotted keys, such as ``data.n_mels``."""
    if not isinstance(content, dict):
        raise ConfigError(
            f"a config of PaddleSpeech has the sections data, model and training, got {content!r}"
        )
    flat: dict[str, Any] = {}
    for section, values in content.items():
        inner = values if isinstance(values, dict) else {"": values}
        flat.update({f"{section}.{key}".rstrip("."): value for key, value in inner.items()})
    return flat


def _pairs(opts: Sequence[str]) -> dict[str, str]:
    if len(opts) % 2:
        raise ConfigError(f"`opts` takes pairs KEY VALUE, got {' '.join(opts)}")
    return dict(zip(opts[::2], opts[1::2], strict=True))
