"""Voice drift: similarity of a long recording, over time, to its beginning or to another one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from timbral.data.manifest import Utterance
from timbral.data.sources import find_utterances
from timbral.embeddings.vectors import unit_length, unit_mean
from timbral.errors import AudioError, ConfigError, MissingExtraError
from timbral.inference.embedder import Embedder
from timbral.inference.load import embedder_of
from timbral.io.files import atomic_write, write_json
from timbral.io.outputs import DRIFT_FILE, SIMILARITY, claim_folder
from timbral.io.types import Floats, Vectors
from timbral.plots.values_over_time import draw_values_over_time

__all__ = ["VoiceDrift", "voice_drift"]

BEGINNING_SECONDS = 10.0
"""length of the recording's start that is its reference if none is given"""
BAND = (2.5, 97.5)
"""percentiles of real windows of one speaker that bound the band"""
BAND_SPEAKERS = 30
"""maximum number of speakers of the corpus, spread over it"""
BAND_WINDOWS = 360
"""maximum number of windows, shared equally among the speakers"""


@dataclass(frozen=True)
class VoiceDrift:
    """The similarity of each window of a recording to its voice."""

    encoder: str
    weights_sha256: str
    times: Floats
    """start and end of each window in seconds (W, 2)"""
    cosines: Floats
    """cosines (W,) to the reference, or to the start of the recording"""
    band: tuple[float, float] | None
    """range of 95 % of the windows of real recordings, compared like those of the recording: with
    ten seconds of the same session, or with a reference; None without a corpus"""
    slope: float
    """slope of a straight line through the cosines after the start, per minute"""
    below: float | None
    """fraction of the windows below the band; None without a band"""
    failures: tuple[str, ...] = ()
    """recordings of the corpus that could not be used"""


def voice_drift(
    encoder: Embedder | str | Path,
    recording: str | Path,
    reference: str | Path | None = None,
    output: str | Path | None = None,
    *,
    corpus: str | Path | None = None,
    layout: str = "auto",
    seconds: float = 3.0,
) -> VoiceDrift:
    """Compare the windows of a long recording with its voice.

    Args:
        encoder: an Embedder, or anything that `load_encoder` takes
        recording: a long recording, such as a synthesized chapter
        reference: a recording of the voice; None: the first ten seconds
        output: a folder for drift.png, drift.csv and drift.json; None: none
        corpus: real recordings, for the range of one speaker: compared with the first ten seconds
            of their session, or if there is a `reference`, with another recording of the speaker,
            of another session if there is one
        layout: layout of the corpus
        seconds: length of a window; windows overlap by half

    Raises AudioError for unusable recordings, ConfigError for a recording no longer than its
    beginning, and for a `corpus` with too little of each speaker.
    """
    embedder = embedder_of(encoder)
    inputs = [given for given in (recording, reference, corpus) if given is not None]
    if output is not None:
        claim_folder(Path(output), SIMILARITY, inputs)
    times, vectors = embedder.encode_windows(recording, seconds, seconds / 2)
    is_beginning = times[:, 1] <= max(BEGINNING_SECONDS, seconds)
    if reference is None:
        voice = unit_mean(vectors[is_beginning])
        later = ~is_beginning
    else:
        voice, later = unit_length(embedder.encode(reference)), np.ones(len(times), dtype=bool)
    if not later.any():
        raise ConfigError(
            f"{recording}: is not longer than the {BEGINNING_SECONDS:g} s at its start that it is "
            "compared with; give a second recording"
        )
    cosines = unit_length(vectors) @ voice
    failures: list[str] = []
    compare = _to_beginning if reference is None else _to_reference
    band = None if corpus is None else _band(embedder, corpus, layout, seconds, compare, failures)
    drift = VoiceDrift(
        encoder=embedder.name,
        weights_sha256=embedder.weights_identity(),
        times=times,
        cosines=cosines.astype(np.float64),
        band=band,
        slope=_slope(times[later].mean(axis=1) / 60, cosines[later]),
        below=None if band is None else float((cosines[later] < band[0]).mean()),
        failures=tuple(failures),
    )
    if output is not None:
        _write(Path(output), drift, "its beginning" if reference is None else "the reference")
    return drift


def _slope(minutes: Floats, cosines: Vectors) -> float:
    centered = minutes - minutes.mean()
    squares = float(centered @ centered)
    return float(centered @ (cosines - cosines.mean())) / squares if squares else 0.0


def _band(
    embedder: Embedder,
    corpus: str | Path,
    layout: str,
    seconds: float,
    compare: Callable[[_Windows, list[Utterance], int], Vectors],
    failures: list[str],
) -> tuple[float, float]:
    """The range of the cosines of one speaker, by `compare`, over the speakers of a corpus.

    Recordings that cannot be used are appended to `failures`.
    """
    of_speaker: dict[str, list[Utterance]] = {}
    for row in find_utterances(corpus, layout):
        of_speaker.setdefault(row.speaker, []).append(row)
    speakers = [rows for _, rows in sorted(of_speaker.items())]
    speakers = speakers[:: max(1, -(-len(speakers) // BAND_SPEAKERS))]
    most = -(-BAND_WINDOWS // len(speakers))
    windows = _Windows(embedder, seconds, failures)
    cosines = np.concatenate([compare(windows, rows, most) for rows in speakers])
    if not len(cosines):
        needed = f"more than {BEGINNING_SECONDS:g} s of one session"
        if compare is _to_reference:
            needed = f"two recordings, one of {seconds:g} s or more"
        raise ConfigError(
            f"corpus: no speaker of {corpus} has {needed} that can be used; give another corpus, "
            "or none"
        )
    low, high = np.percentile(cosines, BAND)
    return float(low), float(high)


@dataclass(frozen=True)
class _Windows:
    """Windows of recordings, and the recordings that have none because they are unusable."""

    embedder: Embedder
    seconds: float
    failures: list[str]

    def of(self, rows: Sequence[Utterance], most: int) -> Vectors:
        """The vectors (W, E) of whole windows, one recording after the other, until `most`."""
        found = [np.zeros((0, self.embedder.embedding_dim), np.float32)]
        for row in rows:
            if sum(map(len, found)) >= most:
                break
            try:
                times, vectors = self.embedder.encode_windows(
                    row.path, self.seconds, self.seconds / 2
                )
            except AudioError as error:
                self.failures.append(str(error))
                continue
            found.append(unit_length(vectors[times[:, 1] - times[:, 0] >= 0.9 * self.seconds]))
        return np.concatenate(found)[:most]


def _to_beginning(windows: _Windows, rows: list[Utterance], most: int) -> Vectors:
    """Cosines of a speaker's windows to the first ten seconds of the same session.

    It is the session with the most recordings that is long enough.
    """
    start = 1 + int(max(0.0, BEGINNING_SECONDS - windows.seconds) // (windows.seconds / 2))
    for session, _ in Counter(row.session for row in rows).most_common():
        vectors = windows.of([row for row in rows if row.session == session], start + most)
        if len(vectors) > start:
            return np.asarray(vectors[start:] @ unit_mean(vectors[:start]))
    return np.zeros(0, np.float32)


def _to_reference(windows: _Windows, rows: list[Utterance], most: int) -> Vectors:
    """Cosines of a speaker's windows to a recording of another session, if there is one."""
    reference, *others = rows
    elsewhere = [row for row in others if row.session != reference.session] or others
    if not elsewhere:
        return np.zeros(0, np.float32)
    try:
        voice = unit_length(windows.embedder.encode(reference.path))
    except AudioError as error:
        windows.failures.append(str(error))
        return np.zeros(0, np.float32)
    return np.asarray(windows.of(elsewhere, most) @ voice)


def _write(folder: Path, drift: VoiceDrift, to: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table(
        {"start": drift.times[:, 0], "end": drift.times[:, 1], "cosine": drift.cosines}
    )
    with atomic_write(folder / "drift.csv") as temporary:
        pa.csv.write_csv(table, temporary)
    title = f"Similarity to {to}, {drift.encoder}"
    middles = drift.times.mean(axis=1)
    with suppress(MissingExtraError):  # the table contains the values anyway
        draw_values_over_time(folder / "drift.png", middles, drift.cosines, drift.band, title)
    content = asdict(drift) | {"times": drift.times.tolist(), "cosines": drift.cosines.tolist()}
    write_json(folder / DRIFT_FILE, content)
