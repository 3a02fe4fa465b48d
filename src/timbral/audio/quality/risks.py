"""Risks of recordings: reasons not to trust one, and what to do. All thresholds are here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from timbral.audio.quality.measures import Quality
from timbral.io.durations import too_short

__all__ = ["CLIPPED_FRACTION", "RISK_KINDS", "Risk", "is_speech", "risks_of"]

SPEECH_PROBABILITY = 0.5
"""below it a recording counts as without speech; docs/check.md has the error rates"""
SHORT_SECONDS = 2.0
"""net speech below which the error rates of every encoder are several times higher"""
CLIPPED_FRACTION = 1e-3
"""none of 2,500 recordings of eight corpora had more than a twentieth of this"""
NARROW_HZ = 4_250.0
"""half the sample rate of a telephone line, plus one step of the measure for the filter's slope"""
CHANNEL_CORRELATION = 0.7
"""one scene has 0.9 or more, two speakers talking at once 0.3, in turns less than 0"""
SILENT_DBFS = -90.0
"""16-bit audio has nothing below it; speech of 16 bits that is taken for 32 lies 96 dB too low"""
QUIET_DBFS = -50.0
"""at this level 16-bit rounding is 48 dB below speech, and the microphone's noise is close"""
NOISY_DB = 10.0
"""SNR; in clean speech the pauses are 20 dB or more below the speech"""
MUSIC_FRACTION = 0.2
"""fraction of the louder windows; single windows may be held vowels or bells"""


@dataclass(frozen=True)
class Risk:
    """A reason not to trust a recording."""

    kind: str
    """one of RISK_KINDS"""
    message: str
    """what was found and what to do, in one line, without the recording's name"""


def _no_speech(quality: Quality) -> str | None:
    if is_speech(quality):
        return None
    if quality.speech_dbfs < SILENT_DBFS:
        return (
            f"no speech was found in it: it is silent ({quality.speech_dbfs:.0f} dBFS); check that "
            "it is the right recording (16-bit numbers that were written as 32-bit ones are as "
            "silent: multiply those by 65,536)"
        )
    return (
        f"no speech was found in it (probability {quality.speech_probability:.2f}): it is noise, "
        "music, tones or silence; check that it is the right recording"
    )


def _short(quality: Quality) -> str | None:
    if not is_speech(quality) or quality.speech_seconds >= SHORT_SECONDS:
        return None
    return (
        f"{too_short(quality.speech_seconds)} of net speech is too short for a reliable decision: "
        f"record {SHORT_SECONDS:g} s or more, or join several recordings of the speaker"
    )


def _clipped(quality: Quality) -> str | None:
    if not is_speech(quality) or quality.clipped_fraction < CLIPPED_FRACTION:
        return None
    return f"{quality.clipped_fraction:.1%} of its samples are clipped: record it with less gain"


def _narrow_band(quality: Quality) -> str | None:
    if not is_speech(quality) or quality.bandwidth_hz > NARROW_HZ:
        return None
    return (
        f"there is nothing above {quality.bandwidth_hz / 1000:.1f} kHz, as on a telephone: compare "
        "it with recordings of the same kind, at a threshold chosen on those"
    )


def _channels_differ(quality: Quality) -> str | None:
    correlation = quality.channel_correlation
    if correlation is None or correlation >= CHANNEL_CORRELATION:
        return None
    channels = "1 or 2" if quality.num_channels == 2 else f"1 to {quality.num_channels}"
    return (
        f"its channels differ (correlation {correlation:.2f}) like the two sides of a call, so "
        f"their mean may mix two voices: use `channel` {channels} (in a path, #channel=0 is the "
        "first)"
    )


def _quiet(quality: Quality) -> str | None:
    if not is_speech(quality) or quality.speech_dbfs >= QUIET_DBFS:
        return None
    return f"speech is at {quality.speech_dbfs:.0f} dBFS: record louder or closer to the microphone"


def _noisy(quality: Quality) -> str | None:
    if not is_speech(quality) or quality.snr_db is None or quality.snr_db >= NOISY_DB:
        return None
    return (
        f"speech is only {quality.snr_db:.0f} dB above the pauses: record closer to the "
        "microphone or in a quieter room"
    )


def _music(quality: Quality) -> str | None:
    if quality.music_fraction < MUSIC_FRACTION:
        return None
    return f"{quality.music_fraction:.0%} of it is music or tones: cut them out"


def is_speech(quality: Quality) -> bool:
    """Whether a recording contains speech, more likely than not."""
    return quality.speech_probability >= SPEECH_PROBABILITY


RULES: dict[str, Callable[[Quality], str | None]] = {
    "no-speech": _no_speech,
    "short": _short,
    "clipped": _clipped,
    "narrow-band": _narrow_band,
    "channels-differ": _channels_differ,
    "quiet": _quiet,
    "noisy": _noisy,
    "music": _music,
}
RISK_KINDS = (*RULES, "several-speakers")
"""the last one is found by an encoder, see `timbral.inference.several_speakers`"""


def risks_of(quality: Quality) -> tuple[Risk, ...]:
    """The risks of a recording, in the order of RISK_KINDS.

    Without speech, level, length, bandwidth and noise are not checked.
    """
    return tuple(_risks(quality))


def _risks(quality: Quality) -> Iterator[Risk]:
    for kind, rule in RULES.items():
        message = rule(quality)
        if message is not None:
            yield Risk(kind, message)
