"""Voice drift: similarity of a long recording, over time, to its beginning or to another one."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

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
BAND_WINDOWS = 6
"""maximum number of windows per recording, so that long ones do not dominate"""


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
    """range of 95 % of the windows of real recordings, compared with another recording of the same
    speaker; None without a corpus"""
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
        corpus: real recordings, two or more per speaker, for the range of one speaker
        layout: layout of the corpus
        seconds: length of a window; windows overlap by half

    Raises AudioError for unusable recordings, ConfigError for a recording no longer than its
    beginning, and for a `corpus` without two recordings of a speaker.
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
            "compared with; give a `reference`"
        )
    cosines = unit_length(vectors) @ voice
    failures: list[str] = []
    band = None if corpus is None else _band(embedder, corpus, layout, seconds, failures)
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
    embedder: Embedder, corpus: str | Path, layout: str, seconds: float, failures: list[str]
) -> tuple[float, float]:
    """Cosines of windows of one recording to another recording of the same speaker.

    Recordings that cannot be used are appended to `failures`.
    """
    recordings: dict[str, list[str]] = {}
    for row in find_utterances(corpus, layout):
        recordings.setdefault(row.speaker, []).append(row.path)
    speakers = [paths for _, paths in sorted(recordings.items()) if len(paths) > 1]
    cosines: list[float] = []
    for paths in speakers[:: max(1, -(-len(speakers) // BAND_SPEAKERS))]:
        try:
            voice = unit_length(embedder.encode(paths[0]))
            times, vectors = embedder.encode_windows(paths[-1], seconds, seconds / 2)
        except AudioError as error:
            failures.append(str(error))
            continue
        whole = times[:, 1] - times[:, 0] >= 0.9 * seconds
        cosines += (unit_length(vectors[whole])[:BAND_WINDOWS] @ voice).tolist()
    if not cosines:
        raise ConfigError(
            f"corpus: {corpus} has no speaker with two usable recordings of {seconds:g} s or more; "
            "give another corpus, or none"
        )
    low, high = np.percentile(cosines, BAND)
    return float(low), float(high)


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
