"""Import vectors of other tools as an `embed` folder, for everything that reads one.

Vectors are normalized to unit length as in `embed`; the column `norm` keeps the original length.
The encoder's weights are not available, so its hash is that of its name, or for an unknown encoder
that of the vectors themselves. So two unknown encoders are never mixed up.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from timbral.data.name_pairs import read_pairs
from timbral.embeddings.aggregate import speaker_table
from timbral.embeddings.foreign.found import FoundVector
from timbral.embeddings.foreign.registry import read_foreign_vectors
from timbral.embeddings.table import UTTERANCES, utterance_schema, write_table
from timbral.embeddings.vectors import LARGEST_NUMBER
from timbral.errors import ConfigError, DataError
from timbral.io.files import file_sha256, write_json, write_jsonl
from timbral.io.outputs import IMPORTED, claim_folder
from timbral.io.types import Vectors

__all__ = ["UNKNOWN", "ImportSummary", "import_embeddings"]

UNKNOWN = "unknown"


@dataclass(frozen=True)
class ImportSummary:
    """What `import_embeddings` wrote."""

    num_utterances: int
    num_speakers: int
    """0 if speakers are unknown"""
    embedding_dim: int
    num_failures: int
    """number of unusable vectors"""
    weights_sha256: str
    """hash that identifies the encoder in the table"""


def import_embeddings(
    sources: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    encoder: str = UNKNOWN,
    weights: str | Path | None = None,
    speakers: str | Path | None = None,
    paths: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    license: str = "",
) -> ImportSummary:
    """Import vectors of other tools as a folder for all commands that take embeddings.

    Args:
        sources: files or folders: Kaldi's .ark (binary, compressed, text) and .scp, .npy, .npz,
            .safetensors, torch's .pt and .pth, pickles of arrays, JSON, text, CSV, TSV, Parquet,
            Feather, folders of WeSpeaker, SpeechBrain, CosyVoice, Coqui and datasets, trees of .npy
            or .pt files. No code in them is run
        output: the folder to write
        encoder: name of the encoder that computed them; imports with the same name and size count
            as one encoder. ``unknown``: different from all others
        weights: the weights file of that encoder, whose hash then identifies it
        speakers: a file of lines ``utterance speaker`` (utt2spk); None: the speakers in the
            sources, the folder of a file in a tree, or a file utt2spk next to a source
        paths: a file of lines ``utterance recording`` (wav.scp), for playback
        columns: names of a table's columns for ``utterance``, ``path``, ``speaker``, ``session``
            and ``embedding``, if they are not common ones
        license: license of the encoder's weights

    Zero and non-finite vectors are listed in OUTPUT/failures.jsonl and counted.

    Raises DataError if nothing can be read, for duplicate names and mixed sizes; ConfigError for an
    empty encoder name or a missing column.
    """
    given = [sources] if isinstance(sources, str | Path) else list(sources)
    if not given or not encoder.strip():
        raise ConfigError(
            "import_embeddings needs a source, and the name of the encoder or unknown"
        )
    folder = Path(output)
    claim_folder(folder, IMPORTED, given)
    found = [each for source in given for each in read_foreign_vectors(Path(source), columns or {})]
    found = _with_speakers(found, speakers, [Path(source) for source in given])
    found = _with_paths(found, paths)
    kept, failures = _usable(found)
    if not kept:
        first = f"; the first: {failures[0]['path']}: {failures[0]['reason']}" if failures else ""
        raise DataError(f"{given[0]}: contains no usable vectors{first}")
    _check_names(kept)
    vectors = _stacked(kept)
    digest = _identity(encoder, weights, kept, vectors)
    table = _table(kept, vectors, encoder, digest, license)
    write_table(table, folder / UTTERANCES)
    num_speakers = len(set(table["speaker"].to_pylist()) - {""})
    if num_speakers:
        named = table.filter(pc.not_equal(table["speaker"], ""))
        write_table(speaker_table(named, "normalized-mean"), folder / "speakers.parquet")
    write_jsonl(folder / "failures.jsonl", failures)
    write_json(
        folder / IMPORTED_FILE,
        {"sources": [str(source) for source in given], "encoder": encoder, "sha256": digest},
    )
    return ImportSummary(len(kept), num_speakers, vectors.shape[1], len(failures), digest)


IMPORTED_FILE = IMPORTED.markers[0]


def _with_speakers(
    found: list[FoundVector], given: str | Path | None, sources: Sequence[Path]
) -> list[FoundVector]:
    """The vectors with the speakers of a list; vectors that it does not name are unchanged."""
    lists = [Path(given)] if given is not None else [
        path for source in sources
        for path in (source / "utt2spk", source.parent / "utt2spk") if path.is_file()
    ][:1]  # fmt: skip
    for path in lists:
        known = read_pairs(path, "a list of speakers")
        named = [replace(each, speaker=known.get(each.name, each.speaker)) for each in found]
        if given is not None and not any(each.name in known for each in found):
            raise DataError(
                f"{path}: has no speaker for any of the vectors. Its first name is "
                f"{next(iter(known), 'none')!r}, that of the vectors "
                f"{found[0].name if found else 'none'!r}"
            )
        found = named
    return found


def _with_paths(found: list[FoundVector], given: str | Path | None) -> list[FoundVector]:
    if given is None:
        return found
    known = read_pairs(Path(given), "a list of recordings")
    return [replace(each, path=known.get(each.name, each.path)) for each in found]


def _usable(found: Sequence[FoundVector]) -> tuple[list[FoundVector], list[dict[str, str]]]:
    """The usable vectors, and rows of failures.jsonl for the others."""
    kept, failures = [], []
    for each in found:
        numbers = np.asarray(each.vector, dtype=np.float64)
        if not np.isfinite(numbers).all() or np.abs(numbers).max() > LARGEST_NUMBER:
            reason, kind = (
                "the vector contains NaN, infinite or absurdly large numbers",
                "not-finite",
            )
        elif not numbers.any():
            reason, kind = "the vector is zero, so it is not from a voice", "empty"
        elif not each.name.strip() or "\0" in each.name:
            reason, kind = "the vector has no name", "bad-name"
        else:
            kept.append(each)
            continue
        failures.append({"path": each.path or each.name, "reason": reason, "kind": kind})
    return kept, failures


def _check_names(kept: Sequence[FoundVector]) -> None:
    name, count = Counter(each.name for each in kept).most_common(1)[0]
    if count > 1:
        raise DataError(
            f"{count} vectors have the name {name!r}; import sources that use the same names for "
            "other recordings into separate folders"
        )


def _stacked(kept: Sequence[FoundVector]) -> Vectors:
    """The vectors (N, E); DataError if they differ in size, as those of different encoders do."""
    sizes = {len(each.vector): each.name for each in kept}
    if len(sizes) > 1:
        shown = ", ".join(f"{size} ({name})" for size, name in sorted(sizes.items())[:3])
        raise DataError(
            f"the vectors have different sizes, so they are not from one encoder: {shown}; import "
            "each size separately"
        )
    return np.stack([each.vector for each in kept]).astype(np.float32)


def _identity(
    encoder: str, weights: str | Path | None, kept: Sequence[FoundVector], vectors: Vectors
) -> str:
    """The hash that identifies the weights."""
    if weights is not None:
        try:
            return file_sha256(Path(weights))
        except OSError as error:
            raise DataError(f"{weights}: cannot be read ({error.strerror})") from None
    digest = hashlib.sha256(json.dumps(["imported", encoder, vectors.shape[1]]).encode())
    if encoder == UNKNOWN:
        for row in sorted(range(len(kept)), key=lambda row: kept[row].name):
            digest.update(kept[row].name.encode("utf-8", "surrogateescape"))
            digest.update(vectors[row].tobytes())
    return digest.hexdigest()


def _table(
    kept: Sequence[FoundVector], vectors: Vectors, encoder: str, digest: str, license: str
) -> pa.Table:
    """The table for utterances.parquet, with the further column `norm`."""
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    unit = (vectors / norms[:, None]).astype(np.float32)
    size = vectors.shape[1]
    columns: dict[str, Any] = {
        "utterance": [each.name for each in kept],
        "speaker": [each.speaker for each in kept],
        "session": [each.columns.get("session", "") for each in kept],
        "path": [each.path for each in kept],
        "duration_seconds": [0.0] * len(kept),
        "embedding": pa.FixedSizeListArray.from_arrays(pa.array(unit.ravel()), size),
        "encoder": [encoder] * len(kept),
        "weights_sha256": [digest] * len(kept),
        "license": [license] * len(kept),
    }
    table = pa.table([columns[name] for name in utterance_schema(size).names],
                     utterance_schema(size))  # fmt: skip
    return table.append_column("norm", pa.array(norms))
