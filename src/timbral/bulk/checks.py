"""Check whether recordings, single or in corpora, are good enough to decide on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from timbral.audio.call_side import check_channel, side_of_call
from timbral.audio.decode import decode_channels, failures_of
from timbral.audio.quality.measure import measure
from timbral.audio.quality.risks import risks_of
from timbral.bulk.check_sources import recordings_of
from timbral.bulk.check_summary import CHECKS, Checked, CheckSummary
from timbral.errors import AudioError, ConfigError
from timbral.inference.load import embedder_of
from timbral.inference.several_speakers import several_speakers
from timbral.io.outputs import claim_file
from timbral.io.threads import map_ahead
from timbral.io.types import Progress

if TYPE_CHECKING:
    from timbral.inference.embedder import Embedder

__all__ = ["check"]


def check(
    recordings: str | Path | Sequence[str | Path],
    *,
    layout: str = "auto",
    channel: int | None = None,
    encoder: Embedder | str | Path | None = None,
    output: str | Path | None = None,
    progress: Progress = lambda done, total: None,
) -> CheckSummary:
    """Check whether recordings are good enough to decide on: their measures and risks.

    Args:
        recordings: the path or URL of a recording, a corpus folder or table, or a list of these
        layout: layout of a corpus folder, as for `inspect`
        channel: which channel to check, from 1, for recordings with several; None: all
        encoder: an Embedder, or anything that `load_encoder` takes, to detect several speakers in a
            recording; None: do not
        output: a table to write (.parquet or .csv), one row per recording; None: none
        progress: called with the number of recordings checked so far, and in all

    Returns:
        a CheckSummary: `.recordings`, each with `.path`, `.quality` and `.risks` (each with `.kind`
        and `.message`), and `.failures`, an AudioError for each unreadable recording

    Raises DataError if a corpus cannot be read or `output` exists and is not such a table,
    ConfigError for a channel below 1, or above 1 if all recordings have one channel only.
    """
    sources = [recordings] if isinstance(recordings, str | Path) else list(recordings)
    if output is not None:
        claim_file(Path(output), CHECKS, sources)
    paths, failures = recordings_of(sources, layout)
    if channel is not None and channel < 1:
        raise ConfigError(f"channel: channels are counted from 1, got {channel}")
    check_channel(channel, paths)
    embedder = None if encoder is None else embedder_of(encoder)
    summary = _check_all(paths, channel, failures, embedder, progress)
    if output is not None:
        summary.write(Path(output))
    return summary


def _check_all(
    paths: Sequence[str],
    channel: int | None,
    failures: Iterable[AudioError],
    embedder: Embedder | None,
    progress: Progress,
) -> CheckSummary:
    """Check recordings, which are read in threads; `failures` are added to the summary."""
    checked: list[Checked] = []
    failed = list(failures)
    for done, found in enumerate(map_ahead(partial(_try_check, channel), paths), start=1):
        if isinstance(found, AudioError):
            failed.append(found)
        else:
            checked.append(found if embedder is None else _with_speakers(found, embedder))
        progress(done, len(paths))
    return CheckSummary(tuple(checked), tuple(failed))


def _try_check(channel: int | None, path: str) -> Checked | AudioError:
    try:
        path = path if channel is None else side_of_call(path, channel)
        with failures_of(path):
            quality = measure(*decode_channels(path))
            return Checked(path, quality, risks_of(quality))
    except AudioError as error:
        return error


def _with_speakers(checked: Checked, embedder: Embedder) -> Checked:
    """The recording with the risk of several speakers, if the encoder finds it."""
    if "no-speech" in checked.kinds:
        return checked
    try:
        risk = several_speakers(embedder, checked.path)
    except AudioError:  # such as a recording too short for a vector; its measures are kept
        return checked
    return checked if risk is None else replace(checked, risks=(*checked.risks, risk))
