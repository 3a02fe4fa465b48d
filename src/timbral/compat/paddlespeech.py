"""PaddleSpeech's config.yaml: sections data, model and training, with its defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from timbral.compat.translation import Meaning, put
from timbral.errors import ConfigError, did_you_mean

__all__ = [
    "DEFAULTS",
    "FIXED",
    "as_opts",
    "read_number",
    "recognize",
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

SAME: dict[str, tuple[str, ...]] = {
    "data.n_mels": ("encoder.n_mels",),
    "data.min_pad_coverage": ("encoder.window_min_coverage",),
    "model.num_layers": ("encoder.num_layers",),
    "model.hidden_size": ("encoder.hidden_size",),
    "model.embedding_size": ("encoder.embedding_size",),
    "training.learning_rate_init": ("optimizer.learning_rate",),
    "training.speakers_per_batch": ("data.speakers_per_batch",),
    "training.utterances_per_speaker": ("data.utterances_per_speaker",),
    "training.max_iteration": ("schedule.steps",),
    "training.save_interval": ("trainer.save_every",),
    "training.valid_interval": ("trainer.validate_every",),
}
"""the same number under another name"""

COMPUTED: dict[str, Callable[[Settings], Settings]] = {
    "data.partial_n_frames": lambda b: {
        "data.crop_seconds": b["data.partial_n_frames"] * 0.01,
        "encoder.window_frames": b["data.partial_n_frames"],
    },
    "data.partial_overlap_ratio": lambda b: {
        "encoder.window_step": max(
            1, round(b["data.partial_n_frames"] * (1 - b["data.partial_overlap_ratio"]))
        )
    },
}
"""what follows from one or two of B's numbers"""

FIXED: dict[str, str] = {
    "data.sampling_rate": "timbral trains at 16 kHz",
    "data.audio_norm_target_dBFS": "levels are raised by `timbral prepare --min-rms-dbfs`",
    "data.vad_window_length": "the detector of `timbral prepare --trim webrtc` is B's",
    "data.vad_moving_average_width": "the detector of `timbral prepare --trim webrtc` is B's",
    "data.vad_max_silence_length": "the detector of `timbral prepare --trim webrtc` is B's",
    "data.mel_window_length": "the d-vector's mel frames are B's: 25 ms",
    "data.mel_window_step": "the d-vector's mel frames are B's: every 10 ms",
}
"""keys that may only have B's own value, and why"""


def recognize(content: Mapping[str, Any]) -> bool:
    """Whether a file is B's: no other has a section `model` or `training`."""
    return bool({"model", "training"} & content.keys())


def translate(
    content: Mapping[str, Any], opts: Settings, where: str
) -> tuple[Settings, tuple[Meaning, ...]]:
    """A mapping for TrainConfig, and what each key became that the file or `opts` has."""
    given = {
        f"{section}.{key}": value
        for section, values in content.items()
        for key, value in _section(section, values, where).items()
    }
    given = {key: _number(key, value, where) for key, value in given.items()} | opts
    settings: Settings = {"encoder": {"name": "lstm"}, "loss": {"name": "ge2e"}}
    for key, value in _ours({**DEFAULTS, **given}).items():
        put(settings, key, value)
    return settings, tuple(_meaning(key, given) for key in given)


def split_opts(opts: Sequence[str]) -> tuple[Settings, list[str]]:
    """Pairs KEY VALUE as B's settings, and the words of those that are timbral's."""
    own: Settings = {}
    words: list[str] = []
    for key, text in zip(opts[::2], opts[1::2], strict=False):
        if key in DEFAULTS:
            own[key] = _number(key, text, "--opts")
        elif key.partition(".")[0] in ("model", "training"):
            raise ConfigError(f"--opts: unknown key {key!r}{did_you_mean(key, DEFAULTS)}")
        else:
            words += [key, text]
    return own, words + list(opts[len(opts) - len(opts) % 2 :])  # an odd one is refused later


def as_opts(own: Settings) -> list[str]:
    """B's settings as pairs KEY VALUE for a config of timbral."""
    return [str(word) for pair in _ours({**DEFAULTS, **own}, own).items() for word in pair]


def _ours(values: Settings, only: Iterable[str] | None = None) -> Settings:
    """Timbral's dotted keys for B's `values`, or for those keys of them."""
    settings: Settings = {}
    for key in values if only is None else only:
        settings |= dict.fromkeys(SAME.get(key, ()), values[key])
        if key in COMPUTED:
            settings |= COMPUTED[key](values)
    return settings


def _section(section: str, values: Any, where: str) -> Settings:
    if section not in ("data", "model", "training") or not isinstance(values, dict):
        raise ConfigError(
            f"{where}: {section}: a config of PaddleSpeech has the sections data, model, training"
        )
    return values


def read_number(key: str, value: Any, where: str) -> float:
    """The number that a value of B's key stands for; ConfigError for another key or no number."""
    if key not in DEFAULTS:
        raise ConfigError(f"{where}: unknown key {key!r}{did_you_mean(key, DEFAULTS)}")
    kind = type(DEFAULTS[key])
    try:
        number: float = kind(float(value))
    except (TypeError, ValueError):
        number = float("nan")
    if number != number or (kind is int and number != float(value)):
        needed = "a whole number" if kind is int else "a number"
        raise ConfigError(f"{where}: {key}: {needed} is needed, got {value!r}")
    return number


def _number(key: str, value: Any, where: str) -> float:
    """`read_number`; ConfigError also for another number than timbral has."""
    number = read_number(key, value, where)
    if key in FIXED and number != DEFAULTS[key]:
        raise ConfigError(f"{where}: {key} can only be {DEFAULTS[key]}: {FIXED[key]}")
    return number


def _meaning(key: str, given: Settings) -> Meaning:
    became = [f"{name} = {value}" for name, value in _ours({**DEFAULTS, **given}, [key]).items()]
    return Meaning(key, str(given[key]), "; ".join(became) or FIXED[key])
