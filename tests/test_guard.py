"""Guarded enrollment: recordings that agree with each other, and with nobody else."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile

import timbral
from timbral.errors import DataError, EnrollmentError, MergeError
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.evidence import CalibratedEvidence, CosineEvidence, evidence_of
from timbral.gallery.gallery import Gallery
from timbral.gallery.search_rates import StrangerSearches
from timbral.gallery.stranger_searches import stranger_searches
from timbral.gallery.voice_search import Voices
from timbral.gallery.voices import EnrolledRecording
from timbral.inference.embedder import Embedder
from timbral.io.types import Vectors

SIZE = 64
ENCODER = EncoderIdentity("campplus-zh-en", "a" * 64, "b" * 64, SIZE)
EVIDENCE = CosineEvidence(0.5)


class Speaker:
    """Recordings of one have cosines of about 0.8 to each other, of two about 0."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.seed, self.count = seed, 0
        self.voice = self.random.standard_normal(SIZE)

    def says(self, seconds: float = 4.0, risks: tuple[str, ...] = ()) -> EnrolledRecording:
        vector = self.voice + 0.5 * self.random.standard_normal(SIZE)
        self.count += 1
        name = f"{self.seed}-{self.count}.wav"
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        return EnrolledRecording(unit, name, name, seconds, seconds, 8000.0, 30.0, risks)


def near(vector: Vectors, noise: float, name: str) -> EnrolledRecording:
    other = vector + noise * np.random.default_rng(1).standard_normal(SIZE) / SIZE**0.5
    return EnrolledRecording((other / np.linalg.norm(other)).astype(np.float32), name, name, 4.0)


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return Gallery.create(tmp_path / "gallery.db", ENCODER)


def refused(gallery: Gallery, name: str, recordings: list[EnrolledRecording]) -> dict[str, str]:
    """Kinds by recordings; nothing may have been written."""
    before = gallery.matrix()[1]
    with pytest.raises(EnrollmentError) as caught:
        gallery.enroll_vectors(name, recordings, EVIDENCE)
    np.testing.assert_array_equal(gallery.matrix()[1], before)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    return {each.recording: each.kind for each in caught.value.refusals}


def test_recordings_of_one_speaker_are_enrolled(gallery: Gallery) -> None:
    adam = Speaker(1)
    enrollment = gallery.enroll_vectors("adam", [adam.says() for _ in range(3)], EVIDENCE)
    assert enrollment.is_new
    assert enrollment.accepted == ("1-1.wav", "1-2.wav", "1-3.wav")
    again = gallery.enroll_vectors("adam", [adam.says()], EVIDENCE, consent="signed")
    assert (again.is_new, again.num_recordings, again.speech_seconds) == (False, 4, 16.0)
    assert gallery.voice("adam").summary.consent == "signed"


class Strict(CosineEvidence):
    """Evidence that is certain only from a cosine of 0.7 on."""

    @property
    def certain_llr(self) -> float:
        return 4.0


def test_recordings_that_are_only_a_little_alike_are_remarked_on(gallery: Gallery) -> None:
    """Of two the shorter one, whichever comes first; of more each; none if checks are skipped."""
    adam, strict = Speaker(1), Strict(0.5)
    first = adam.says()
    across = Speaker(2).says().vector
    across = across - (across @ first.vector) * first.vector
    vector = 0.6 * first.vector + 0.8 * across / np.linalg.norm(across)
    unlike = EnrolledRecording(vector, "x.wav", "x", 1.0, 1.0, 8000.0, 30.0)
    for name, given in (("a", [first, unlike]), ("b", [unlike, first])):
        [remark] = gallery.enroll_vectors(name, given, strict).warnings
        assert remark.startswith("x.wav: sounds only a little like the voice's other recordings (c")
        gallery.remove(name)
    assert gallery.enroll_vectors("a", [first], strict).warnings == ()
    assert len(gallery.enroll_vectors("a", [unlike], strict).warnings) == 1
    gallery.remove("a")
    assert gallery.enroll_vectors("a", [first, unlike], EVIDENCE).warnings == ()
    gallery.remove("a")
    assert gallery.enroll_vectors("a", [first, unlike], strict, force=True).warnings == ()


def test_recording_that_disagrees_is_named(gallery: Gallery) -> None:
    adam, eve = Speaker(1), Speaker(2)
    mixed = [adam.says(), adam.says(), eve.says(), adam.says()]
    assert refused(gallery, "adam", mixed) == {"2-1.wav": "disagrees"}
    enrollment = gallery.enroll_vectors("adam", mixed, EVIDENCE, partial=True)
    assert [each.recording for each in enrollment.refused] == ["2-1.wav"]
    assert gallery.voice("adam").summary.num_recordings == 3
    assert refused(gallery, "adam", [eve.says(), adam.says()]) == {"2-2.wav": "disagrees"}


def test_without_majority_nothing_is_enrolled(gallery: Gallery) -> None:
    adam, eve = Speaker(1), Speaker(2)
    assert set(refused(gallery, "adam", [adam.says(), eve.says()]).values()) == {"disagrees"}
    even = [adam.says(), eve.says(), adam.says(), eve.says()]
    assert len(refused(gallery, "adam", even)) == 4
    with pytest.raises(EnrollmentError):
        gallery.enroll_vectors("adam", even, EVIDENCE, partial=True)
    enrollment = gallery.enroll_vectors("adam", even, EVIDENCE, force=True)
    assert enrollment.num_recordings == 4


def test_voice_that_is_there_under_another_name_is_refused(gallery: Gallery) -> None:
    adam = Speaker(1)
    gallery.enroll_vectors("adam", [adam.says(), adam.says()], EVIDENCE)
    again = [adam.says(), adam.says()]
    assert refused(gallery, "adam 2", again) == {"2 recordings": "already-enrolled"}
    said = r"sounds like the voice 'adam' \(cosine 0\.8\d, threshold 0\.50\)"
    with pytest.raises(EnrollmentError, match=said):
        gallery.enroll_vectors("adam 2", [adam.says()], EVIDENCE)
    gallery.enroll_vectors("adam 2", again, EVIDENCE, force=True)
    assert len(gallery) == 2


def test_recording_that_is_nearer_to_another_voice_is_refused(gallery: Gallery) -> None:
    adam, eve = Speaker(1), Speaker(2)
    eve.voice = adam.voice + 0.9 * eve.voice  # alike: cosines of about 0.7
    gallery.enroll_vectors("adam", [adam.says() for _ in range(4)], EVIDENCE)
    gallery.enroll_vectors("eve", [eve.says() for _ in range(4)], EVIDENCE, force=True)
    assert refused(gallery, "adam", [eve.says()]) == {"2-5.wav": "another-voice"}
    said = "than like the other recordings for 'adam', enrolled or given now"
    with pytest.raises(EnrollmentError, match=said):
        gallery.enroll_vectors("adam", [eve.says()], EVIDENCE)


def test_added_recordings_do_not_make_a_voice_another(gallery: Gallery) -> None:
    """One in the middle: nearer to its own voice, and yet the two would be one."""
    adam, eve = Speaker(1), Speaker(2)
    gallery.add("adam", [adam.says()])
    gallery.add("eve", [eve.says()])
    first, second = (gallery.voice(name).vector for name in ("adam", "eve"))
    between = near(0.52 * first + 0.48 * second, 0.0, "between.wav")
    evidence = CosineEvidence(0.3)
    with pytest.raises(EnrollmentError) as caught:
        gallery.enroll_vectors("adam", [between], evidence)
    assert [each.kind for each in caught.value.refusals] == ["another-voice"]


def test_same_recording_twice_is_refused(gallery: Gallery) -> None:
    adam, eve = Speaker(1), Speaker(2)
    one = adam.says()
    other_format = near(one.vector, 0.005, "one.flac")
    assert refused(gallery, "adam", [one, adam.says(), one]) == {"1-1.wav": "same-recording"}
    assert refused(gallery, "adam", [one, other_format]) == {"one.flac": "same-recording"}
    gallery.enroll_vectors("adam", [one], EVIDENCE)
    assert refused(gallery, "eve", [one]) == {"1-1.wav": "same-recording"}
    assert refused(gallery, "adam", [other_format, adam.says()]) == {"one.flac": "same-recording"}
    gallery.enroll_vectors("eve", [eve.says()], EVIDENCE)


@pytest.mark.parametrize("kind", ["no-speech", "several-speakers", "channels-differ"])
def test_recordings_at_risk_are_refused(gallery: Gallery, kind: str) -> None:
    adam = Speaker(1)
    bad = adam.says(risks=(kind, "noisy"))
    assert refused(gallery, "adam", [adam.says(), bad]) == {bad.source: kind}
    gallery.enroll_vectors("adam", [adam.says(risks=("noisy", "narrow-band"))], EVIDENCE)


def test_too_little_speech_is_refused(gallery: Gallery) -> None:
    adam = Speaker(1)
    assert refused(gallery, "adam", [adam.says(1.0)]) == {"1-1.wav": "too-little-speech"}
    assert refused(gallery, "adam", [adam.says(0.3), adam.says()]) == {
        "1-2.wav": "too-little-speech"
    }
    gallery.enroll_vectors("adam", [adam.says(1.0), adam.says(1.2)], EVIDENCE)


def test_meeting_profiles_stay_clean(gallery: Gallery, tmp_path: Path) -> None:
    """Profiles that grow by segments over four stages, one in four another speaker's."""
    unguarded = Gallery.create(tmp_path / "unguarded.db", ENCODER)
    random = np.random.default_rng(0)
    speakers = [Speaker(seed) for seed in range(6)]
    for number, speaker in enumerate(speakers):
        for each in (gallery, unguarded):
            each.enroll_vectors(f"s{number}", [speaker.says(), speaker.says()], EVIDENCE)
    for _ in range(4):
        for number, speaker in enumerate(speakers):
            others = [each for each in speakers if each is not speaker]
            segments = [
                random.choice(others).says() if random.random() < 0.25 else speaker.says()
                for _ in range(4)
            ]
            unguarded.add(f"s{number}", segments)
            try:
                gallery.enroll_vectors(f"s{number}", segments, EVIDENCE, partial=True)
            except EnrollmentError:
                continue

    def mixed(of: Gallery) -> float:
        own = [
            (f"{number}-", each.source)
            for number in range(6)
            for each in of.voice(f"s{number}").recordings
        ]
        return float(np.mean([not source.startswith(start) for start, source in own]))

    assert mixed(gallery) == 0
    assert mixed(unguarded) > 0.15
    assert sum(each.num_recordings for each in gallery.voices()) > 0.9 * 6 * (2 + 12)


def test_evidence_is_the_calibration_of_the_encoder(run: Path) -> None:
    encoder = timbral.load_encoder(run)
    assert isinstance(evidence_of(encoder), CosineEvidence)
    assert "validation" in evidence_of(encoder).description
    shipped = Path(timbral.__file__).parent / "calibration/published/campplus-zh-en.json"
    with pytest.raises(DataError, match="cosines of different encoders"):
        evidence_of(encoder, shipped)
    from timbral.calibration.calibration_file import read_calibration

    calibration = read_calibration(shipped)
    encoder.calibration = calibration
    evidence = evidence_of(encoder)
    assert evidence == CalibratedEvidence(calibration)
    one = near(np.eye(SIZE, dtype=np.float32)[0], 0.0, "a")
    from timbral.gallery.voices import conditions_of

    sides = conditions_of([one]), conditions_of([one])
    scores = np.array([0.9])
    np.testing.assert_array_equal(
        evidence.llr(scores, *sides), calibration.unlimited_llr(scores, *sides)
    )


@pytest.fixture(scope="module")
def encoder(run: Path) -> Embedder:
    return timbral.load_encoder(run)


def test_recordings_are_measured_and_named(tmp_path: Path, voices: Path, encoder: Embedder) -> None:
    folder = sorted(voices.iterdir())[0]
    paths = sorted(folder.iterdir())[:3]
    gallery = Gallery.create(tmp_path / "gallery.db", encoder)
    enrollment = gallery.enroll(
        "adam", [paths[0], paths[1].read_bytes()], encoder, force=True, sources=["one", "two"]
    )
    assert enrollment.accepted == ("one", "two")
    kept = gallery.voice("adam").recordings
    np.testing.assert_allclose(kept[0].vector, encoder.encode(paths[0]), atol=1e-5)
    assert all(len(each.sha256) == 64 and each.speech_seconds for each in kept)
    with pytest.raises(EnrollmentError, match="two: it is already enrolled") as caught:
        gallery.enroll("eve", paths[1], encoder, sources=["two"])
    assert caught.value.refusals[0].kind == "same-recording"
    noise = tmp_path / "noise.wav"
    soundfile.write(noise, 0.1 * np.random.default_rng(0).standard_normal(32_000), 16_000)
    with pytest.raises(EnrollmentError) as caught:
        gallery.enroll("eve", [noise, tmp_path / "missing.wav"], encoder)
    assert {Path(each.recording).name: each.kind for each in caught.value.refusals} == {
        "noise.wav": "no-speech",
        "missing.wav": "unusable",
    }
    other = EncoderIdentity("other", "f" * 64, "", encoder.embedding_dim)
    with pytest.raises(DataError, match="different encoders"):
        Gallery.create(tmp_path / "o.db", other).enroll("adam", paths, encoder)


def test_refused_voices_count_as_searches_of_strangers(gallery: Gallery) -> None:
    for seed in range(20):
        gallery.enroll_vectors(f"v{seed}", [Speaker(seed).says()], EVIDENCE)
    alone = searches(gallery)
    twin = near(gallery.voice("v3").vector, 0.5, "twin.wav")
    assert refused(gallery, "Gemma", [twin]) == {"twin.wav": "already-enrolled"}
    refused(gallery, "Gemma", [twin])  # once more: the same one
    (kept,) = gallery.refused_searches()
    cosine = float(gallery.voice("v3").vector @ twin.vector)
    assert kept.llr == pytest.approx(20 * (cosine - 0.5), abs=1e-3)
    for path in Path(gallery.location).parent.iterdir():  # the log of SQLite, too
        assert b"Gemma" not in path.read_bytes()
    found = searches(gallery)
    assert (alone.independent, found.independent) == (10.0, 10.5)
    assert found.best[-1] == pytest.approx(kept.llr)
    assert found.best[-2] < kept.llr
    assert found.weights[-1] == 2.0  # the search of the other one of the pair, too
    assert found.bounds(found.best[-1:])[0] > alone.bounds(found.best[-1:])[0]
    gallery.enroll_vectors("Gemma", [twin], EVIDENCE, force=True)
    assert gallery.refused_searches() == []


def test_refused_recording_counts_among_those_of_its_speaker(gallery: Gallery) -> None:
    adam, eve = Speaker(1), Speaker(2)
    gallery.enroll_vectors("eve", [eve.says(), eve.says()], EVIDENCE)
    gallery.enroll_vectors("adam", [adam.says()], EVIDENCE)
    mixed = near(adam.says().vector + 1.2 * eve.says().vector, 0.1, "mixed.wav")
    assert refused(gallery, "adam", [mixed]) == {"mixed.wav": "another-voice"}
    assert searches(gallery).num_speakers == 2
    gallery.remove("adam")
    assert gallery.refused_searches() == []


def searches(gallery: Gallery) -> StrangerSearches:
    found = stranger_searches(gallery, Voices.of(gallery.snapshot(), EVIDENCE))
    assert found is not None
    return found


def test_voices_of_two_speakers_are_not_merged(gallery: Gallery) -> None:
    adam, eve = Speaker(1), Speaker(2)
    for name, speaker in (("adam", adam), ("adam again", adam), ("eve", eve)):
        gallery.add(name, [speaker.says(), speaker.says()])
    before = gallery.voices()
    with pytest.raises(MergeError, match=r"nothing was merged.*does not sound like 'adam'") as one:
        gallery.merge("adam", "eve", EVIDENCE)
    assert "threshold 0.50" in str(one.value)
    assert str(pickle.loads(pickle.dumps(one.value))) == str(one.value)
    assert gallery.voices() == before
    gallery.merge("adam", "adam again", EVIDENCE)
    gallery.merge("adam", "eve")  # nobody asks
    assert [each.num_recordings for each in gallery.voices()] == [6]
