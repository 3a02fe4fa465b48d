"""Every corpus in its official tree, with real utterances inside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from timbral.audio.preprocessing import Preprocessing
from timbral.cli.verbs import prepare as prepare_verb
from timbral.data.corpora.registry import CORPORA
from timbral.data.corpora.scanning import scan_corpus, scan_datasets
from timbral.data.prepared.prepare import prepare
from timbral.demo.shipped import VOICES
from timbral.errors import DataError

VOXCELEB1_META = """VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet
id10001\tA.J._Buckley\tm\tIreland\tdev
id10002\tA.R._Rahman\tm\tIndia\tdev
id10003\tAaron_Tveit\tm\tUSA\tdev
id10270\tEartha_Kitt\tf\tUSA\ttest
"""
CLIENTS = "client_id\tpath\tsentence\tage\nffee01\tcommon_voice_en_1.mp3\tSo \"far.\tteens\n" \
    "ffee01\tcommon_voice_en_2.mp3\tGood.\t\nab23\tcommon_voice_en_3.mp3\tYes.\t\n"  # fmt: skip

TREES: dict[str, list[str]] = {
    "librispeech_other": [
        "train-other-500/1006/135212/1006-135212-0000.flac",
        "train-other-500/1006/135212/1006-135212-0001.flac",
        "train-other-500/20/205/20-205-0000.flac",
        "train-clean-100/19/198/19-198-0000.flac",
    ],
    "voxceleb1": [
        "wav/id10001/1zcIwhmdeo4/00001.wav",
        "wav/id10001/7gWzIy6yIIk/00001.wav",
        "wav/id10002/0_laIeN-Q44/00001.wav",
        "wav/id10003/_JpqQQ1fsgo/00003.wav",
        "wav/id10270/5r0dWxy17C8/00001.wav",
    ],
    "voxceleb2": [
        "wav/id00012/21Uxsk56VDQ/00001.wav",
        "wav/id00012/2DLq_Kkc1r8/00016.wav",
        "wav/id00015/0fijmz4vTVU/00001.wav",
    ],
    "aidatatang_200zh": [
        "train/G0013/T0055G0013S0001.wav",
        "train/G0013/T0055G0013S0002.wav",
        "train/G0014/T0055G0014S0001.wav",
    ],
    "magicdata": [
        "train/14_3466/14_3466_20170826171159.wav",
        "train/5_1812/5_1812_20170615222551.wav",
    ],
    "librispeech": [
        "train-clean-100/19/198/19-198-0000.flac",
        "dev-other/116/288045/116-288045-0000.flac",
    ],
    "libritts": ["train-clean-100/19/198/19_198_000000_000000.wav"],
    "vctk": [
        "wav48_silence_trimmed/p225/p225_001_mic1.flac",
        "wav48_silence_trimmed/p225/p225_001_mic2.flac",
        "wav48_silence_trimmed/s5/s5_001_mic1.flac",
    ],
    "aishell3": [
        "train/wav/SSB0005/SSB00050001.wav",
        "test/wav/SSB0011/SSB00110001.wav",
    ],
    "cnceleb1": [
        "data/id00000/singing-01-001.flac",
        "data/id00000/vlog-02-001.flac",
        "data/id00800/interview-01-001.flac",
    ],
    "cnceleb2": ["data/id10000/live_broadcast-01-001.flac", "data/id10001/drama-01-001.flac"],
    "commonvoice": [f"cv-corpus-17.0/en/clips/common_voice_en_{n}.mp3" for n in (1, 2, 3)],
}  # fmt: skip
OTHER_FILES = {
    "librispeech_other": {"SPEAKERS.TXT": "stray"},
    "voxceleb1": {"vox1_meta.csv": VOXCELEB1_META},
    "magicdata": {"train/TRANS.txt": "stray", "train/14_3466/notes.txt": "stray"},
    "cnceleb1": {"dev/dev.lst": "id00000\nid00001\n"},
    "commonvoice": {"cv-corpus-17.0/en/validated.tsv": CLIENTS},
}
EXPECTED: dict[str, list[tuple[str, str, str]]] = {
    "librispeech_other": [
        ("LibriSpeech_train-other-500_1006", "135212_1006-135212-0000", "135212"),
        ("LibriSpeech_train-other-500_1006", "135212_1006-135212-0001", "135212"),
        ("LibriSpeech_train-other-500_20", "205_20-205-0000", "205"),
    ],
    "voxceleb1": [
        ("VoxCeleb1_wav_id10001", "1zcIwhmdeo4_00001", "1zcIwhmdeo4"),
        ("VoxCeleb1_wav_id10001", "7gWzIy6yIIk_00001", "7gWzIy6yIIk"),
        ("VoxCeleb1_wav_id10003", "_JpqQQ1fsgo_00003", "_JpqQQ1fsgo"),
    ],
    "voxceleb2": [
        ("VoxCeleb2_wav_id00012", "21Uxsk56VDQ_00001", "21Uxsk56VDQ"),
        ("VoxCeleb2_wav_id00012", "2DLq_Kkc1r8_00016", "2DLq_Kkc1r8"),
        ("VoxCeleb2_wav_id00015", "0fijmz4vTVU_00001", "0fijmz4vTVU"),
    ],
    "aidatatang_200zh": [
        ("aidatatang_200zh_train_G0013", "T0055G0013S0001", ""),
        ("aidatatang_200zh_train_G0013", "T0055G0013S0002", ""),
        ("aidatatang_200zh_train_G0014", "T0055G0014S0001", ""),
    ],
    "magicdata": [
        ("magicdata_train_14_3466", "14_3466_20170826171159", ""),
        ("magicdata_train_5_1812", "5_1812_20170615222551", ""),
    ],
    "librispeech": [
        ("LibriSpeech_dev-other_116", "288045_116-288045-0000", "288045"),
        ("LibriSpeech_train-clean-100_19", "198_19-198-0000", "198"),
    ],
    "libritts": [("LibriTTS_train-clean-100_19", "198_19_198_000000_000000", "198")],
    "vctk": [
        ("VCTK_wav48_silence_trimmed_p225", "p225_001_mic1", ""),
        ("VCTK_wav48_silence_trimmed_s5", "s5_001_mic1", ""),
    ],
    "aishell3": [
        ("AISHELL-3_test_wav_SSB0011", "SSB00110001", ""),
        ("AISHELL-3_train_wav_SSB0005", "SSB00050001", ""),
    ],
    "cnceleb1": [
        ("CN-Celeb_flac_data_id00000", "singing-01-001", "singing"),
        ("CN-Celeb_flac_data_id00000", "vlog-02-001", "vlog"),
    ],
    "cnceleb2": [
        ("CN-Celeb2_flac_data_id10000", "live_broadcast-01-001", "live_broadcast"),
        ("CN-Celeb2_flac_data_id10001", "drama-01-001", "drama"),
    ],
    "commonvoice": [
        ("CommonVoice_ab23", "common_voice_en_3", ""),
        ("CommonVoice_ffee01", "common_voice_en_1", ""),
        ("CommonVoice_ffee01", "common_voice_en_2", ""),
    ],
}
"""(speaker, name, session) of every utterance, with --datasets-root"""


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[str], Path]:
    """Lay a corpus out as its authors do; what is in a file counts, not its name."""
    recordings = sorted(VOICES.glob("*/*.ogg"))

    def make(name: str) -> Path:
        root = tmp_path / CORPORA[name].folder
        for number, file in enumerate(TREES[name]):
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).symlink_to(recordings[number])
        for file, text in OTHER_FILES.get(name, {}).items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_text(text)
        return tmp_path

    return make


def test_every_corpus_is_tested() -> None:
    assert TREES.keys() == EXPECTED.keys() == {n for n, c in CORPORA.items() if c.folder}
    for corpus in CORPORA.values():
        if corpus.folder:
            assert corpus.size
            assert corpus.license
            assert corpus.page.startswith("https://")


@pytest.mark.parametrize("name", TREES)
def test_official_layouts(name: str, tree: Callable[[str], Path]) -> None:
    root = tree(name)
    rows = scan_datasets(root, [name])
    found = [(r.speaker, r.utterance.removeprefix(f"{r.speaker}/"), r.session) for r in rows]
    assert found == EXPECTED[name]
    assert {row.corpus for row in rows} == {name}
    summary = prepare(rows, root / "out", Preprocessing())
    assert (summary.num_utterances, summary.num_failures) == (len(found), 0)
    # the same corpus as `embed --layout` takes it: its own ids
    plain = scan_corpus(name, root / CORPORA[name].folder)
    assert sorted(row.path for row in plain) == sorted(row.path for row in rows)
    assert {row.speaker for row in plain} <= {id for r in rows for id in _unprefixed(r.speaker)}


def _unprefixed(speaker: str) -> set[str]:
    words = speaker.split("_")
    return {"_".join(words[start:]) for start in range(len(words))}


def test_vctk_layouts(tmp_path: Path) -> None:
    for folder in ("wav", "wav48"):
        root = tmp_path / folder
        (root / folder / "p225").mkdir(parents=True)
        (root / folder / "p225" / "p225_001.wav").touch()
        (root / "txt" / "p225").mkdir(parents=True)
        (root / "txt" / "p225" / "p225_001.txt").write_text("Please call Stella.")
        assert [row.utterance for row in scan_corpus("vctk", root)] == ["p225_001"]


def test_several_corpora_and_subsets(tree: Callable[[str], Path]) -> None:
    root = tree("librispeech")
    tree("magicdata")
    both = scan_datasets(root, ["magicdata", "librispeech/train-clean-100"])
    assert [row.corpus for row in both] == ["librispeech", "magicdata", "magicdata"]
    with pytest.raises(DataError, match=r"expected below it:.*found:\s+\[SUBSET/\].*nothing"):
        scan_datasets(root, ["librispeech/train-clean-360"])
    with pytest.raises(DataError, match="more than one file"):
        scan_datasets(root, ["librispeech", "librispeech"])


def test_prepare_counts_what_it_passes_over_in_each_corpus(
    tree: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tree("magicdata")
    tree("librispeech")
    (root / "LibriSpeech" / "train-clean-100" / "SONG.xyz").touch()
    (root / CORPORA["magicdata"].folder / "NOTES.xyz").touch()
    (root / "beside-the-corpora.xyz").touch()
    prepare_verb.run(
        output=tmp_path / "out",
        datasets_root=root,
        dataset_names=("magicdata", "librispeech/train-clean-100"),
        trim="none",
        workers=1,
    )
    assert "passed over: 2 .txt, 2 .xyz\n" in capsys.readouterr().out


def test_wrong_folder_error_shows_expected_and_found(
    tmp_path: Path, tree: Callable[[str], Path]
) -> None:
    root = tree("voxceleb1")
    (root / "VoxCeleb1" / "vox1_meta.csv").unlink()
    with pytest.raises(DataError) as error:
        scan_datasets(root, ["voxceleb1"])
    lines = str(error.value).splitlines()
    assert lines[1].split() == ["expected", "below", "it:", "found:"]
    assert lines[2].split() == ["vox1_meta.csv", "wav/"]
    assert lines[3].split() == [
        "wav/SPEAKER/VIDEO/UTTERANCE.wav",
        "wav/id10001/1zcIwhmdeo4/00001.wav",
    ]
    with pytest.raises(DataError, match=r"CN-Celeb_flac: no such folder; in .*: VoxCeleb1/"):
        scan_datasets(root, ["cnceleb1"])
    with pytest.raises(DataError, match=rf"no such folder; did you mean {root / 'VoxCeleb1'}\?"):
        scan_corpus("voxceleb1", root / "voxceleb1")
    with pytest.raises(DataError, match="did you mean 'voxceleb2'"):
        scan_datasets(root, ["voxceleb3"])


@pytest.mark.parametrize(
    ("name", "file", "text", "words"),
    [
        ("voxceleb1", "vox1_meta.csv", "id,set\nid10001,dev\n", "line 2 should have five fields"),
        ("commonvoice", "en/validated.tsv", "client_id\tfile\na\tb\n", "Common Voice's list"),
    ],
)
def test_unreadable_lists_are_errors(
    tmp_path: Path, name: str, file: str, text: str, words: str
) -> None:
    (tmp_path / "wav").mkdir()
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    with pytest.raises(DataError, match=words):
        scan_corpus(name, tmp_path)


def test_voxceleb2_as_downloaded(tmp_path: Path) -> None:
    """m4a through PyAV, and a clear refusal without it."""
    av = pytest.importorskip("av")
    import sys

    from timbral.audio.decode import decode
    from timbral.audio.preprocessing import load
    from timbral.errors import AudioError, MissingExtraError

    folder = tmp_path / "VoxCeleb2" / "dev" / "aac" / "id00012" / "21Uxsk56VDQ"
    folder.mkdir(parents=True)
    wave = load(next(VOICES.glob("*/*.ogg")))
    with av.open(str(folder / "00001.m4a"), "w") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate = 16_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    rows = scan_datasets(tmp_path, ["voxceleb2"])
    assert [row.speaker for row in rows] == ["VoxCeleb2_dev_aac_id00012"]
    decoded, rate = decode(rows[0].path)
    assert rate == 16_000
    assert abs(len(decoded) - len(wave)) < 3_000
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "av", None)
        with pytest.raises(MissingExtraError, match=r"\[ffmpeg\].*pip install"):
            prepare(rows, tmp_path / "out", Preprocessing())
        with pytest.raises(AudioError, match=r"00001\.m4a: .*\[ffmpeg\]"):
            decode(rows[0].path)
    assert prepare(rows, tmp_path / "out", Preprocessing()).num_utterances == 1
