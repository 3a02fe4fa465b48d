"""The settings of PaddleSpeech's config that its inference reads, applied to an Embedder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from timbral.compat.paddlespeech import DEFAULTS, FIXED_KEYS, read_number
from timbral.encoders.base import Windows
from timbral.errors import ConfigError, did_you_mean
from timbral.inference.embedder import Embedder

__all__ = ["apply_settings"]

RMS_LEVEL = "data.audio_norm_target_dBFS"
INFERENCE_KEYS = (
    RMS_LEVEL,
    "data.partial_n_frames",
    "data.min_pad_coverage",
    "data.partial_overlap_ratio",
)
"""what inference takes; the rest is part of the front-end, said by the weights, or of no use"""


def apply_settings(embedder: Embedder, config: Path | None, opts: Sequence[str]) -> None:
    """Give `embedder` the windows and the RMS level of PaddleSpeech's YAML file and `opts`, pairs
    KEY VALUE.

    ConfigError for an unknown key, a value that cannot be changed, or an encoder that takes
    whole utterances.
    """
    given = {**(_flat(_read(config)) if config else {}), **_pairs(opts)}
    settings: dict[str, float] = {}
    for key, value in given.items():
        if key not in DEFAULTS:
            raise ConfigError(
                f"unknown setting {key!r} of PaddleSpeech{did_you_mean(key, DEFAULTS)}"
            )
        settings[key] = read_number(key, value, "PaddleSpeech's settings")
        if key in FIXED_KEYS and key != RMS_LEVEL and settings[key] != DEFAULTS[key]:
            raise ConfigError(f"{key} is {DEFAULTS[key]:g} in timbral's front-end, not {value}")
    wanted = {key.partition(".")[2]: settings[key] for key in INFERENCE_KEYS if key in settings}
    if not wanted:
        return
    level = wanted.pop("audio_norm_target_dBFS", embedder.preprocessing.min_rms_dbfs)
    embedder.preprocessing = replace(embedder.preprocessing, min_rms_dbfs=level)
    if not wanted:
        return
    windows = embedder.network.windows
    if windows is None:
        raise ConfigError(f"{embedder.name} takes whole utterances and has no {', '.join(wanted)}")
    frames = int(wanted.get("partial_n_frames", windows.frames))
    overlap = float(wanted.get("partial_overlap_ratio", 1 - windows.step / windows.frames))
    coverage = float(wanted.get("min_pad_coverage", windows.min_coverage))
    if frames < 1 or not 0 <= overlap < 1 or not 0 <= coverage <= 1:
        raise ConfigError(
            f"windows of {frames} frames, overlap {overlap:g}, coverage {coverage:g}: allowed are "
            "1 or more frames, an overlap in [0, 1) and a coverage in [0, 1]"
        )
    step = max(1, round(frames * (1 - overlap)))
    embedder.network.windows = Windows(frames, step, coverage)


def _read(config: Path) -> Any:
    try:
        return yaml.safe_load(config.read_text("utf-8")) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{config}: cannot be read as YAML ({error})") from None


def _flat(content: Any) -> dict[str, Any]:
    """Sections of the file as keys such as ``data.n_mels``."""
    if not isinstance(content, dict):
        raise ConfigError(
            f"PaddleSpeech's config has the sections data, model, training: {content!r}"
        )
    flat: dict[str, Any] = {}
    for section, values in content.items():
        inner = values if isinstance(values, dict) else {"": values}
        flat.update({f"{section}.{key}".rstrip("."): value for key, value in inner.items()})
    return flat


def _pairs(opts: Sequence[str]) -> dict[str, str]:
    if len(opts) % 2:
        raise ConfigError(f"opts takes pairs KEY VALUE, got {' '.join(opts)}")
    return dict(zip(opts[::2], opts[1::2], strict=True))
