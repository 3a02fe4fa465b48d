"""Why a decision should not rest on a recording, and what to do: every threshold is here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from timbral.audio.quality.measures import Quality

__all__ = ["RISK_KINDS", "Risk", "is_speech", "risks_of"]

SPEECH_PROBABILITY = 0.5
"""under which there is no speech: both errors are rare there (docs/check.md has the rates)"""
SHORT_SECONDS = 2.0
"""of net speech: under it error rates of every encoder grow by multiples"""
CLIPPED_FRACTION = 1e-3
"""of 2,500 recordings of eight corpora none had more than a twentieth of this"""
NARROW_HZ = 4_250.0
"""half the rate of a telephone line, and one step of the measure for the filter's slope"""
CHANNEL_CORRELATION = 0.7
"""one scene has 0.9 and more, two speakers who talk at once 0.3, by turns less than 0"""
QUIET_DBFS = -50.0
"""where the rounding of 16-bit audio is 48 dB below speech, and a microphone's own noise near"""
NOISY_DB = 10.0
"""speech over pauses; the pauses of clean speech lie 20 dB and more below it"""
MUSIC_FRACTION = 0.2
"""of the louder windows; single ones are vowels that were held, or bells"""


@dataclass(frozen=True)
class Risk:
    """One reason to mistrust a recording."""

    kind: str
    """one of RISK_KINDS"""
    message: str
    """what was found and what to do, in one line, without the recording's name"""


def _no_speech(quality: Quality) -> str | None:
    if is_speech(quality):
        return None
    return (
        f"no speech was found in it (probability {quality.speech_probability:.2f}): it is noise, "
        "music, tones or silence; check that it is the right recording"
    )


def _short(quality: Quality) -> str | None:
    if not is_speech(quality) or quality.speech_seconds >= SHORT_SECONDS:
        return None
    return (
        f"{quality.speech_seconds:.1f} s of net speech are little to decide on: record "
        f"{SHORT_SECONDS:g} s or more, or join several recordings of the speaker"
    )


def _clipped(quality: Quality) -> str | None:
    if not is_speech(quality) or quality.clipped_fraction < CLIPPED_FRACTION:
        return None
    return f"{quality.clipped_fraction:.1%} of its samples are clipped: record it with less gain"


def _narrow_band(quality: Quality) -> str | None:
    if not is_speech(quality) or quality.bandwidth_hz > NARROW_HZ:
        return None
    return (
        f"nothing lies above {quality.bandwidth_hz / 1000:.1f} kHz, as on a telephone: compare it "
        "with recordings of the same kind, and at a threshold that was found on such"
    )


def _channels_differ(quality: Quality) -> str | None:
    correlation = quality.channel_correlation
    if correlation is None or correlation >= CHANNEL_CORRELATION:
        return None
    channels = "1 or 2" if quality.num_channels == 2 else f"1 to {quality.num_channels}"
    return (
        f"its channels differ (correlation {correlation:.2f}), as the two sides of a call do, and "
        f"their mean may be nobody's voice: take `channel` {channels} "
        "(as part of a path: #channel=0 is the first)"
    )


def _quiet(quality: Quality) -> str | None:
    if not is_speech(quality) or quality.speech_dbfs >= QUIET_DBFS:
        return None
    return f"speech has {quality.speech_dbfs:.0f} dBFS: record it louder, nearer to the microphone"


def _noisy(quality: Quality) -> str | None:
    if not is_speech(quality) or quality.snr_db is None or quality.snr_db >= NOISY_DB:
        return None
    return (
        f"speech is only {quality.snr_db:.0f} dB above the pauses: record it nearer to the "
        "microphone, in a quieter room"
    )


def _music(quality: Quality) -> str | None:
    if quality.music_fraction < MUSIC_FRACTION:
        return None
    return f"{quality.music_fraction:.0%} of it is music or tones: cut these out"


def is_speech(quality: Quality) -> bool:
    """Whether a recording holds any, more likely than not."""
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
    """All that its measures say against a recording, in the order of RISK_KINDS.

    Of what holds no speech its level, length, band and noise are not looked at.
    """
    return tuple(_risks(quality))


def _risks(quality: Quality) -> Iterator[Risk]:
    for kind, rule in RULES.items():
        message = rule(quality)
        if message is not None:
            yield Risk(kind, message)
