"""The names that other tools use for the columns of a table of utterances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["ALIASES", "find_columns", "in_words"]

ALIASES: Mapping[str, tuple[str, ...]] = {
    "path": ("audio_filepath", "audio_path", "file_path", "filepath", "wav_path", "wav", "audio",
             "file", "filename", "file_name"),
    "speaker": ("speaker_id", "spk", "spk_id", "client_id", "label"),
    "utterance": ("utterance_id", "utt", "utt_id", "uttid"),
    "session": ("session_id",),
    "start": ("offset",),
}  # fmt: skip
"""the likeliest first; `start` and a column `duration` are NeMo's"""


def find_columns(names: Sequence[str]) -> dict[str, str]:
    """The table's column for each of ours that it has, under our name or another."""
    found = {name: name for name in ("path", "speaker", "utterance", "session", "corpus", "start",
                                     "end") if name in names}  # fmt: skip
    for name, aliases in ALIASES.items():
        known = [each for each in aliases if each in names and each not in found.values()]
        if name not in found and known:
            found[name] = known[0]
    if found.get("start") == "offset" and "duration" in names:
        found["duration"] = "duration"
    return found


def in_words(found: Mapping[str, str]) -> str:
    """Which columns stand for which, where the names differ."""
    return ", ".join(f"{name} is {column}" for name, column in found.items() if name != column)
