"""VoxCeleb 1 and 2: celebrities in videos; the video is the session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from timbral.data.corpora.corpus import Corpus
from timbral.data.corpora.folders import speaker_folders, utterances_below
from timbral.data.corpora.speaker_details import with_details
from timbral.data.manifest import Utterance
from timbral.errors import AudioError, DataError
from timbral.io.text import read_lines

__all__ = ["VOXCELEB1", "VOXCELEB2"]

PADDLESPEECH_NATIONALITIES = {"australia", "canada", "ireland", "uk", "usa"}
"""those of VoxCeleb1's speakers that PaddleSpeech keeps"""


def _scan_voxceleb1(root: Path) -> Iterator[Utterance | AudioError]:
    """VoxCeleb1 as PaddleSpeech takes it: development speakers of five English-speaking nations.

    ``vox1_meta.csv`` (tab-separated) has a speaker's id first, the nationality fourth and the
    set last.
    """
    if not (root / "vox1_meta.csv").is_file() or not (root / "wav").is_dir():
        return iter(())
    listed = read_lines(root / "vox1_meta.csv", "VoxCeleb1's list of speakers")[1:]
    lines = [line.split("\t") for _, line in listed]
    for (number, _), fields in zip(listed, lines, strict=True):
        if len(fields) < 5:
            raise DataError(
                f"{root}/vox1_meta.csv: line {number} should have five fields separated by tabs "
                f"(id, VGGFace id, gender, nationality, set), got {fields}"
            )
    kept = {
        line[0]
        for line in lines
        if line[-1] == "dev" and line[3].lower() in PADDLESPEECH_NATIONALITIES
    }
    details = {line[0]: {"gender": line[2], "nationality": line[3]} for line in lines}
    return with_details(utterances_below(root / "wav", "voxceleb1", {".wav"}, kept), details)


VOXCELEB1 = Corpus(
    _scan_voxceleb1,
    ("vox1_meta.csv", "wav/SPEAKER/VIDEO/UTTERANCE.wav"),
    folder="VoxCeleb1",
    size="352 h, 1,251 speakers; of these the development set's English-speaking nations",
    license="CC BY 4.0, the recordings' own rights aside",
    page="https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html",
    trim="webrtc",
)
VOXCELEB2 = Corpus(
    speaker_folders("voxceleb2", "wav", "dev/aac", suffixes={".wav", ".m4a"}),
    ("wav/SPEAKER/VIDEO/UTTERANCE.wav", "or dev/aac/SPEAKER/VIDEO/UTTERANCE.m4a"),
    folder="VoxCeleb2",
    size="2,442 h, 6,112 speakers",
    license="CC BY 4.0, the recordings' own rights aside",
    page="https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox2.html",
    trim="webrtc",
)
