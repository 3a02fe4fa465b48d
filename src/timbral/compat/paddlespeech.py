"""Translate PaddleSpeech's config.yaml, with its sections data, model and training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from timbral.compat.translation import RunSettings, TranslatedConfig, Translation, set_key
from timbral.errors import ConfigError, did_you_mean

__all__ = [
    "DEFAULTS",
    "FIXED_KEYS",
    "as_opts",
    "read_number",
    "recognizes",
    "split_opts",
    "translate",
]

Settings = dict[str, Any]

DEFAULTS: Settings = {
    "data.sampling_rate": 16_000,
    "data.audio_norm_target_dBFS": -30,
    "data.vad_window_length": 30,
    "data.vad_moving_average_width": 8,
    "data.vad_max_silence_length": 6,
    "data.mel_window_length": 25,
    "data.mel_window_step": 10,
    "data.n_mels": 40,
    "data.partial_n_frames": 160,
    "data.min_pad_coverage": 0.75,
    "data.partial_overlap_ratio": 0.5,
    "model.num_layers": 3,
    "model.hidden_size": 256,
    "model.embedding_size": 256,
    "training.learning_rate_init": 1e-4,
    "training.speakers_per_batch": 64,
    "training.utterances_per_speaker": 10,
    "training.max_iteration": 1_560_000,
    "training.save_interval": 10_000,
    "training.valid_interval": 10_000,
}

RENAMED_KEYS: dict[str, tuple[str, ...]] = {
    "data.n_mels": ("encoder.n_mels",),
    "data.min_pad_coverage": ("encoder.window_min_coverage",),
    "model.num_layers": ("encoder.num_layers",),
    "model.hidden_size": ("encoder.hidden_size",),
    "model.embedding_size": ("encoder.embedding_dim",),
    "training.learning_rate_init": ("optimizer.learning_rate",),
    "training.speakers_per_batch": ("data.speakers_per_batch",),
    "training.utterances_per_speaker": ("data.utterances_per_speaker",),
    "training.max_iteration": ("schedule.steps",),
    "training.save_interval": ("trainer.save_every",),
    "training.valid_interval": ("trainer.validate_every",),
}
"""keys with the same value under another name"""

COMPUTED_KEYS: dict[str, Callable[[Settings], Settings]] = {
    "data.partial_n_frames": lambda values: {
        "data.crop_seconds": values["data.partial_n_frames"] * 0.01,
        "encoder.window_frames": values["data.partial_n_frames"],
    },
    "data.partial_overlap_ratio": lambda values: {
        "encoder.window_step": max(
            1, round(values["data.partial_n_frames"] * (1 - values["data.partial_overlap_ratio"]))
        )
    },
}
"""keys whose translation is computed from one or two values"""

DETECTOR = "the detector of `timbral prepare --trim webrtc` has PaddleSpeech's settings"

FIXED_KEYS: dict[str, str] = {
    "data.sampling_rate": "timbral trains at 16 kHz",
    "data.audio_norm_target_dBFS": "RMS levels are raised by `timbral prepare --min-rms-dbfs`",
    "data.vad_window_length": DETECTOR,
    "data.vad_moving_average_width": DETECTOR,
    "data.vad_max_silence_length": DETECTOR,
    "data.mel_window_length": "the d-vector's mel frames are PaddleSpeech's: 25 ms",
    "data.mel_window_step": "the d-vector's mel frames are PaddleSpeech's: every 10 ms",
}
"""keys that may only have PaddleSpeech's own value, and why"""


def recognizes(content: Mapping[str, Any]) -> bool:
    """Whether the content of a file is a config of PaddleSpeech: it has a section `model` or
    `training`.
    """
    return bool({"model", "training"} & content.keys())


def translate(content: Mapping[str, Any], opts: Settings, source: str) -> TranslatedConfig:
    """Translate the content of the file `source`, overridden by `opts`.

    Raises ConfigError for unknown keys and sections, and for values that timbral does not support.
    """
    given = {
        f"{section}.{key}": value
        for section, values in content.items()
        for key, value in _section(section, values, source).items()
    }
    given = {key: _number(key, value, source) for key, value in given.items()} | opts
    settings: Settings = {"encoder": {"name": "lstm"}, "loss": {"name": "ge2e"}}
    for key, value in _own_keys({**DEFAULTS, **given}).items():
        set_key(settings, key, value)
    translations = tuple(_translation(key, given) for key in given)
    return TranslatedConfig(settings, RunSettings(), translations)


def split_opts(opts: Sequence[str]) -> tuple[Settings, list[str]]:
    """Split pairs KEY VALUE into PaddleSpeech's settings, and the words of timbral's own pairs."""
    settings: Settings = {}
    words: list[str] = []
    for key, text in zip(opts[::2], opts[1::2], strict=False):
        if key in DEFAULTS:
            settings[key] = _number(key, text, "`opts`")
        elif key.partition(".")[0] in ("model", "training"):
            raise ConfigError(f"`opts`: unknown key {key!r}{did_you_mean(key, DEFAULTS)}")
        else:
            words += [key, text]
    # an odd last word is refused later
    return settings, words + list(opts[len(opts) - len(opts) % 2 :])


def as_opts(settings: Settings) -> list[str]:
    """PaddleSpeech's settings as pairs KEY VALUE for a config of timbral."""
    own_keys = _own_keys({**DEFAULTS, **settings}, settings)
    return [str(word) for pair in own_keys.items() for word in pair]


def _own_keys(values: Settings, only: Iterable[str] | None = None) -> Settings:
    """timbral's dotted keys for PaddleSpeech's `values`; with `only`, for these keys only."""
    settings: Settings = {}
    for key in values if only is None else only:
        settings |= dict.fromkeys(RENAMED_KEYS.get(key, ()), values[key])
        if key in COMPUTED_KEYS:
            settings |= COMPUTED_KEYS[key](values)
    return settings


def _section(section: str, values: Any, source: str) -> Settings:
    if section not in ("data", "model", "training") or not isinstance(values, dict):
        raise ConfigError(
            f"{source}: {section}: a config of PaddleSpeech has the sections data, model and "
            "training"
        )
    return values


def read_number(key: str, value: Any, source: str) -> float:
    """The number that the value of a key of PaddleSpeech stands for.

    Raises ConfigError for a key that PaddleSpeech does not have, and for anything but a number.
    """
    if key not in DEFAULTS:
        raise ConfigError(f"{source}: unknown key {key!r}{did_you_mean(key, DEFAULTS)}")
    value_type = type(DEFAULTS[key])
    try:
        number: float = value_type(float(value))
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if number != number or (value_type is int and number != float(value)):
        needed = "a whole number" if value_type is int else "a number"
        raise ConfigError(f"{source}: {key}: {needed} is needed, got {value!r}")
    return number


def _number(key: str, value: Any, source: str) -> float:
    """Like `read_number`, but also raises ConfigError for another value of a fixed key."""
    number = read_number(key, value, source)
    if key in FIXED_KEYS and number != DEFAULTS[key]:
        raise ConfigError(f"{source}: {key} can only be {DEFAULTS[key]}: {FIXED_KEYS[key]}")
    return number


def _translation(key: str, given: Settings) -> Translation:
    own_keys = _own_keys({**DEFAULTS, **given}, [key])
    mapped_to = "; ".join(f"{name} = {value}" for name, value in own_keys.items())
    return Translation(key, str(given[key]), mapped_to or FIXED_KEYS[key])
