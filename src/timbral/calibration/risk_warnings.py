"""The risks of recordings to show with a decision, unless its calibration accounts for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from timbral.audio.quality.measures import Quality
from timbral.audio.quality.risks import NARROW_HZ, SHORT_SECONDS, risks_of

__all__ = ["is_narrow", "risk_warnings"]


def risk_warnings(
    recordings: Sequence[tuple[str, Quality]], *, narrow_allowed: bool = False
) -> Iterator[str]:
    """The risks of the recordings of one voice, as text, with the recordings' names.

    A short recording is no risk next to others if they contain enough speech together.

    Args:
        recordings: names and measures
        narrow_allowed: whether a calibration that accounts for bandwidth compares them with
            recordings of the same kind
    """
    together = sum(quality.speech_seconds for _, quality in recordings)
    allowed = {"short"} if together >= SHORT_SECONDS else set()
    if narrow_allowed:
        allowed.add("narrow-band")
    for name, quality in recordings:
        for risk in risks_of(quality):
            if risk.kind not in allowed:
                yield f"{name}: {risk.kind}: {risk.message}"


def is_narrow(bandwidth_hz: float) -> bool:
    """Whether a recording has the bandwidth of a telephone."""
    return bandwidth_hz <= NARROW_HZ
