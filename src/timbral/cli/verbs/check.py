"""The verb check."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional

from timbral.audio.segments import Segment
from timbral.cli.common_options import (
    DEFAULT_RUNNING,
    OK,
    SOME_FAILED,
    ChannelOption,
    Layout,
    Running,
    load_embedder,
    option,
)
from timbral.cli.early_checks import check_channel, check_folders
from timbral.cli.wording import by_kind, count, name_flags
from timbral.errors import AudioError, ConfigError
from timbral.io.progress import bar

if TYPE_CHECKING:
    from timbral.audio.quality.measures import Quality
    from timbral.bulk.check_summary import Checked, CheckSummary

__all__ = ["run"]


def run(
    recordings: Annotated[
        Positional[tuple[str, ...]],
        option("RECORDING …", "recordings, and corpora: folders or tables (path, speaker)"),
    ],
    *,
    encoder: Annotated[
        str | None,
        option("ENCODER", "also look for several speakers within a recording, using this encoder"),
    ] = None,
    output: Annotated[
        Path | None, option("FILE", "write a table (.parquet or .csv) instead of lines")
    ] = None,
    json: Annotated[bool, option(None, "print one JSON object with everything")] = False,
    exit_code: Annotated[
        bool, option(None, "exit with 1 also if any recording has a risk")
    ] = False,
    channel: ChannelOption = "mix",
    layout: Layout = "auto",
    running: Running = DEFAULT_RUNNING,
) -> int:
    """Check whether recordings are good enough to decide on.

    example: timbral check a.wav b.wav
    """
    from timbral import api

    if not recordings:
        raise ConfigError("give one or more recordings; folders and tables are allowed, too")
    check_folders(*(Segment.of(given).file for given in recordings))
    check_channel(channel, *recordings)
    embedder = None if encoder is None else load_embedder(encoder, running)
    with bar("checking") as advance:
        summary = api.check(
            recordings,
            layout=layout,
            channel=None if channel == "mix" else int(channel),
            encoder=embedder,
            output=output,
            progress=advance,
        )
    if json:
        print(summary.as_json())
    elif output is None:
        for checked in summary.recordings:
            print(_lines(checked))
    else:
        print(_counts(summary))
    return _report_failures(summary, exit_code)


def _lines(checked: Checked) -> str:
    """A recording's measures in one line, and a line for each risk."""
    risks = [f"  {risk.kind}: {name_flags(risk.message, 'check')}" for risk in checked.risks]
    return "\n".join([f"{checked.path}: {_measures(checked.quality)}", *risks])


def _measures(quality: Quality) -> str:
    from timbral.audio.quality.risks import is_speech  # imports numpy

    channels = {1: "mono", 2: "stereo"}.get(
        quality.num_channels, f"{quality.num_channels} channels"
    )
    snr = "no pauses" if quality.snr_db is None else f"SNR {quality.snr_db:.0f} dB"
    speech = f"{quality.speech_seconds:.1f} s of speech" if is_speech(quality) else "no speech"
    return (
        f"{speech} in {quality.seconds:.1f} s, "
        f"{quality.speech_dbfs:.0f} dBFS, {snr}, {quality.bandwidth_hz / 1000:.1f} kHz, {channels}"
    )


def _counts(summary: CheckSummary) -> str:
    kinds = by_kind(summary.risk_counts)
    checked = count(len(summary.recordings), "recording")
    return f"{checked}, {summary.num_risky:,} at risk{': ' if kinds else ''}{kinds}"


def _unread(failures: Sequence[AudioError]) -> str:
    """The number of failures by kind: ``2 recordings and 1 folder``."""
    folders = sum(Path(failure.path).is_dir() for failure in failures)
    kinds = (("recording", len(failures) - folders), ("folder", folders))
    return " and ".join(count(number, kind) for kind, number in kinds if number)


def _report_failures(summary: CheckSummary, exit_code: bool) -> int:
    """Print what could not be read; returns the verb's exit code."""
    for failure in summary.failures:
        print(failure, file=sys.stderr)
    if summary.failures:
        print(f"{_unread(summary.failures)} could not be read", file=sys.stderr)
    risky = exit_code and summary.num_risky
    return SOME_FAILED if summary.failures or risky else OK
