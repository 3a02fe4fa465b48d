"""Kaldi's archives of x-vectors, with lists."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from timbral.embeddings.aggregate import speaker_table
from timbral.embeddings.formats.kaldi_ark import check_ids, write_ark, write_list
from timbral.embeddings.formats.vector_format import VectorFormat
from timbral.embeddings.table import vectors_of

__all__ = ["KALDI"]


def _write(table: pa.Table, root: str | Path, output: Path, model_name: str) -> None:
    """xvector.ark and .scp, spk_xvector.ark and .scp, utt2spk, spk2utt, num_utts."""
    utterances, speakers = table["utterance"].to_pylist(), table["speaker"].to_pylist()
    averaged = speaker_table(table)
    write_ark(output / "xvector", utterances, vectors_of(table))
    write_ark(output / "spk_xvector", averaged["speaker"].to_pylist(), vectors_of(averaged))
    write_list(output / "utt2spk", dict(zip(utterances, speakers, strict=True)))
    by_speaker: dict[str, list[str]] = {}
    for utterance, speaker in sorted(zip(utterances, speakers, strict=True)):
        by_speaker.setdefault(speaker, []).append(utterance)
    write_list(output / "spk2utt", {key: " ".join(value) for key, value in by_speaker.items()})
    write_list(output / "num_utts", {key: str(len(value)) for key, value in by_speaker.items()})


def _check(table: pa.Table, root: str | Path, model_name: str) -> list[Path]:
    check_ids([*table["utterance"].to_pylist(), *table["speaker"].to_pylist()])
    return []


KALDI = VectorFormat(_write, _check)
