"""Profiles of a meeting app, fed with segments some of which are another speaker's.

    python recipes/gallery/meetings.py EMBEDDINGS SPEAKERS [MEETINGS]

EMBEDDINGS is a folder that `timbral embed campplus-zh-en` wrote. SPEAKERS is a file of speaker ids,
one per line, that the calibration was not fitted on, with twelve utterances or more. The results
are in docs/gallery.md.

A meeting has six speakers. Each profile starts with two utterances of its speaker. In each of four
stages a diarization adds four more, each of which is another participant's with a probability of
25 %. There are three apps: one adds everything, one adds what has a cosine of 0.25 or more to the
profile (a threshold copied from elsewhere), and one enrolls with `Gallery.enroll_vectors`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from timbral.calibration.calibration_file import read_calibration
from timbral.errors import EnrollmentError
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.evidence import CalibratedEvidence, Evidence
from timbral.gallery.from_embeddings import EmbeddedSpeakers
from timbral.gallery.gallery import Gallery
from timbral.gallery.voices import EnrolledRecording, conditions_of, voice_vector

CALIBRATION = Path(__file__).parents[2] / "src/timbral/calibration/published/campplus-zh-en.json"
PARTICIPANTS, STAGES, SEGMENTS, MIXED = 6, 4, 4, 0.25
START, TESTED = 2, 3
COPIED_THRESHOLD = 0.25
APPS = ("adds everything", "adds from a cosine of 0.25", "guarded")

Figures = list[tuple[float, float, float]]
Profiles = dict[str, list[EnrolledRecording]]


def add(app: str, gallery: Gallery, name: str, new: list[EnrolledRecording], by: Evidence) -> None:
    if app == "guarded":
        try:
            gallery.enroll_vectors(name, new, by, partial=True)
        except EnrollmentError:
            return
    elif app == "adds everything":
        gallery.add(name, new)
    else:
        profile = gallery.voice(name).vector
        fitting = [each for each in new if float(each.vector @ profile) >= COPIED_THRESHOLD]
        if fitting:
            gallery.add(name, fitting)


def measure(gallery: Gallery, tests: Profiles, by: Evidence) -> tuple[float, float, float]:
    """Means over profiles: the fraction of other speakers' recordings in it, the number of its
    own, and the rate of false accepts: other participants' utterances with an llr of 0 or more.
    """
    foreign, own, accepted = [], [], []
    for name in tests:
        recordings = gallery.voice(name).recordings
        right = [each.source.startswith(f"{name}|") for each in recordings]
        foreign.append(np.mean(np.logical_not(right)))
        own.append(sum(right))
        others = [each for other in tests if other != name for each in tests[other]]
        accepted += [llr(each, recordings, by) >= 0 for each in others]
    return float(np.mean(foreign)), float(np.mean(own)), float(np.mean(accepted))


def llr(one: EnrolledRecording, profile: Sequence[EnrolledRecording], by: Evidence) -> float:
    """The llr of a recording and a profile's recordings together."""
    vectors = by.compensate(np.stack([voice_vector([one]), voice_vector(profile)]))
    sides = (conditions_of([one]).together, conditions_of(profile).together)
    return float(by.llr(np.array([vectors[0] @ vectors[1]]), *sides)[0])


class Meeting:
    """A meeting in which each of the participants' utterances is said at most once."""

    def __init__(self, speakers: Profiles, random: np.random.Generator) -> None:
        self.speakers, self.random = speakers, random
        self.names = random.choice(sorted(speakers), PARTICIPANTS, replace=False).tolist()
        self.left: dict[str, list[int]] = {
            name: random.permutation(len(speakers[name])).tolist() for name in self.names
        }

    def says(self, name: str) -> EnrolledRecording:
        return self.speakers[name][self.left[name].pop()]

    def segments(self, name: str) -> list[EnrolledRecording]:
        """The segments that a diarization attributes to this speaker."""
        found = []
        for _ in range(SEGMENTS):
            others = [each for each in self.names if each != name and self.left[each]]
            mixed = self.random.random() < MIXED and others
            speaker = self.random.choice(others) if mixed else name
            if self.left[speaker]:
                found.append(self.says(speaker))
        return found


def hold(meeting: Meeting, by: Evidence, encoder: EncoderIdentity) -> list[Figures]:
    """The figures of `measure` for each stage and app."""
    tests = {name: [meeting.says(name) for _ in range(TESTED)] for name in meeting.names}
    start = {name: [meeting.says(name) for _ in range(START)] for name in meeting.names}
    with tempfile.TemporaryDirectory() as folder:
        galleries = [Gallery.create(Path(folder) / f"{app}.db", encoder) for app in APPS]
        for gallery in galleries:
            gallery.add_many(start.items())
        results = [[measure(each, tests, by) for each in galleries]]
        for _ in range(STAGES):
            for name in meeting.names:
                segments = meeting.segments(name)
                for app, gallery in zip(APPS, galleries, strict=True):
                    if segments:
                        add(app, gallery, name, segments, by)
            results.append([measure(each, tests, by) for each in galleries])
        for gallery in galleries:
            gallery.close()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("speakers", type=Path)
    parser.add_argument("meetings", type=int, nargs="?", default=30)
    options = parser.parse_args()
    embedded = EmbeddedSpeakers.read(options.embeddings)
    wanted = set(options.speakers.read_text().split())
    speakers = {
        name: [replace(each, source=f"{name}|{each.source}") for each in recordings]
        for name, recordings in embedded
        if name in wanted and len(recordings) >= START + TESTED + 7
    }
    by = CalibratedEvidence(read_calibration(CALIBRATION))
    random = np.random.default_rng(0)
    results = np.array(
        [hold(Meeting(speakers, random), by, embedded.encoder) for _ in range(options.meetings)]
    )  # (meetings, stages, apps, 3)
    print(f"{len(speakers)} speakers, {options.meetings} meetings of {PARTICIPANTS}")
    print("stage", *APPS, sep=" | ")
    for stage, row in enumerate(results.mean(axis=0)):
        cells = [f"{100 * bad:.1f} %, {own:.1f}, {100 * yes:.1f} %" for bad, own, yes in row]
        print(stage, *cells, sep=" | ")
    worst = (results[:, -1, :, 0] > 0).mean(axis=0)
    print("meetings with a profile that is mixed:", *(f"{100 * each:.0f} %" for each in worst))


if __name__ == "__main__":
    main()
