"""Verbs over a corpus: prepare."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from timbral.cli.shared import count_failures
from timbral.errors import ConfigError
from timbral.progress import bar

if TYPE_CHECKING:
    pass

__all__ = ["prepare"]


def prepare(
    *,
    output_dir: Path,
    folder: Path | None = None,
    kaldi: Path | None = None,
    trim: Literal["none", "energy", "system-a", "system-b"] = "none",
    loudness: str = "-30",
    workers: int = os.cpu_count() or 1,
) -> int:
    """Turn a corpus into data that training reads without waiting.

    Args:
        output_dir: where the prepared data goes; a killed run is continued there
        folder: a corpus of the layout SPEAKER/[SESSION/]UTTERANCE.wav
        kaldi: a Kaldi data directory (wav.scp, utt2spk)
        trim: how silence is cut; system-b needs the extra [vad]
        loudness: raise quieter recordings to this level in dBFS, or none
        workers: processes
    """
    from timbral import api
    from timbral.audio import Preprocessing

    sources = {"folder": folder, "kaldi": kaldi}
    given = [(layout, root) for layout, root in sources.items() if root is not None]
    if len(given) != 1:
        raise ConfigError(f"one of --folder and --kaldi is needed, got {len(given)} of them")
    preprocessing = Preprocessing(trim, _decibels(loudness))
    layout, root = given[0]
    with bar("preparing") as advance:
        report = api.prepare(
            root,
            layout,
            output_dir,
            preprocessing,
            workers=_at_least_one("--workers", workers),
            progress=advance,
        )
    state = "was complete already" if report.reused else "prepared"
    print(
        f"{state}: {report.utterances:,} utterances of {report.speakers:,} speakers, "
        f"{report.hours:.2f} h, in {output_dir}"
    )
    return count_failures(report.failures, output_dir)


def _decibels(text: str) -> float | None:
    if text == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--loudness is a level in dBFS or none, got {text!r}") from None


def _at_least_one(flag: str, value: int) -> int:
    if value < 1:
        raise ConfigError(f"{flag} must be 1 or more, got {value}")
    return value
