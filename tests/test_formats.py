"""Precomputed mels and FLAC; whatever the format, an interrupted run ends as an unbroken one."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal.windows import hann

from test_prepare import digests
from timbral.audio.decode import decode, to_int16
from timbral.audio.preprocessing import Preprocessing, load
from timbral.data.corpora.scanning import scan_corpus
from timbral.data.lists.export import write_list
from timbral.data.manifest import Manifest, Utterance
from timbral.data.prepared.formats import FORMATS
from timbral.data.prepared.prepare import prepare
from timbral.errors import ConfigError, DataError

PADDLESPEECH = Preprocessing(trim="webrtc")

PREPARE = """
import resource, signal, sys, time
from pathlib import Path
from timbral.audio.preprocessing import Preprocessing
from timbral.data.prepared import prepare as module
from timbral.data.manifest_reader import read_manifest

table, output, format, limit = sys.argv[1:]
if int(limit):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), -1))
module.SHARD_UTTERANCES = 8
def show(done, total):
    print(done, flush=True)
    time.sleep(0.05)
module.prepare(
    read_manifest(Path(table)), Path(output), Preprocessing(), format=format, progress=show
)
"""


LIBROSA = np.load(Path(__file__).parent / "golden" / "librosa.npz")


def paddlespeech_mel(path: str) -> np.ndarray | None:
    """PaddleSpeech's mel of a recording, from its description; None when it leaves it out."""
    import webrtcvad
    from scipy.ndimage import binary_dilation

    wave, rate = soundfile.read(path, dtype="float32")
    assert rate == 16_000
    gain = -30 - 10 * np.log10(np.mean(wave**2))
    wave = wave * 10 ** (gain / 20) if gain > 0 else wave
    wave = wave[: len(wave) // 480 * 480]
    pcm = np.round(wave * 32_767).astype(np.int16)
    vad = webrtcvad.Vad(3)
    flags = [vad.is_speech(row.tobytes(), 16_000) for row in pcm.reshape(-1, 480)]
    padded = np.concatenate([np.zeros(3), flags, np.zeros(4)])
    average = np.array([padded[start : start + 8].mean() for start in range(len(flags))])
    wave = wave[np.repeat(binary_dilation(np.round(average).astype(bool), np.ones(7)), 480)]
    mel = librosas_mel(wave)
    return mel if len(mel) >= 160 else None


def librosas_mel(wave: np.ndarray) -> np.ndarray:
    """``melspectrogram(n_fft=400, hop_length=160, n_mels=40)`` at 16 kHz, (F, 40)."""
    frames = sliding_window_view(np.pad(wave.astype(np.float64), 200), 400)[::160]
    power = np.abs(np.fft.rfft(frames * hann(400, sym=False))) ** 2
    return (power @ LIBROSA["filters.40"].T).astype(np.float32)


def test_description_of_mels_is_librosas() -> None:
    for name in ("first", "second"):
        expected = LIBROSA[f"{name}.mel"].T
        np.testing.assert_allclose(
            librosas_mel(LIBROSA[f"{name}.wave"]), expected, rtol=1e-4, atol=1e-7
        )


def test_precomputed_mels_equal_paddlespeechs(voices: Path, tmp_path: Path) -> None:
    """Names, sources, what is left out, and the mels themselves."""
    rows = scan_corpus("folder", voices)[:12]
    short, rate = soundfile.read(rows[0].path)
    (tmp_path / "short.wav").parent.mkdir(exist_ok=True)
    soundfile.write(tmp_path / "short.wav", short[: 5 * rate // 4], rate)
    speaker = rows[0].speaker
    extra = Utterance(f"{speaker}/s1/zz", speaker, "s1", str(tmp_path / "short.wav"), "folder")
    rows = sorted([*rows, extra], key=lambda row: (row.speaker, row.utterance))
    summary = prepare(rows, tmp_path / "tree", PADDLESPEECH, format="npy")
    expected = {}
    for row in rows:
        name = row.utterance.removeprefix(f"{row.speaker}/").replace("/", "_")
        mel = paddlespeech_mel(row.path)
        if mel is not None:
            expected[f"{row.speaker}/{name}.npy"] = mel
    assert summary.num_failures == summary.num_too_short == len(rows) - len(expected) > 0
    # as PaddleSpeech's loader sees the tree: every folder a speaker, every *.npy an utterance
    folders = [path for path in (tmp_path / "tree").glob("*") if path.is_dir()]
    found = {
        f"{path.parent.name}/{path.name}" for folder in folders for path in folder.glob("*.npy")
    }
    assert found == expected.keys()
    for name, mel in expected.items():
        ours = np.load(tmp_path / "tree" / name)
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, mel, atol=2e-6 * mel.max())
    sources = (tmp_path / "tree" / speaker / "_sources.txt").read_text()
    own = [row for row in rows if row.speaker == speaker]
    assert sources == "".join(
        f"{row.utterance.removeprefix(f'{speaker}/').replace('/', '_')}.npy,{row.path}\n"
        for row in own
    )


def test_flac_store(voices: Path, tmp_path: Path) -> None:
    rows = scan_corpus("folder", voices)[:3]
    prepare(rows, tmp_path / "flac", Preprocessing(trim="energy"), format="flac")
    for row in rows:
        written, rate = decode(tmp_path / "flac" / f"{row.utterance}.flac")
        assert rate == 16_000
        kept = load(row.path, Preprocessing(trim="energy"))
        np.testing.assert_array_equal(to_int16(written), to_int16(kept))
    # the tree is a plain folder again, sessions kept
    again = scan_corpus("folder", tmp_path / "flac")
    assert [row.utterance for row in again] == [row.utterance for row in rows]


def test_sessions_are_folders_of_flac(tmp_path: Path, voices: Path) -> None:
    source = scan_corpus("folder", voices)[0].path
    rows = [Utterance("19-198-0001", "19", "198", source, "librispeech")]
    prepare(rows, tmp_path / "flac", Preprocessing(), format="flac")
    assert (tmp_path / "flac" / "19" / "198" / "19-198-0001.flac").exists()


@pytest.mark.parametrize("format", ["npy", "flac"])
@pytest.mark.parametrize(
    "row",
    [
        Utterance("u", "../up", "", "x.wav", "c"),
        Utterance("../../u", "a", "", "x.wav", "c"),
        Utterance("u", ".hidden", "", "x.wav", "c"),
    ],
)
def test_names_never_lead_out_of_the_folder(tmp_path: Path, format: str, row: Utterance) -> None:
    with pytest.raises(DataError, match="cannot be a file name"):
        prepare([row], tmp_path / "out", Preprocessing(), format=format)


def test_two_utterances_with_one_file_name(tmp_path: Path) -> None:
    rows = [Utterance(name, "a", "", "x.wav", "c") for name in ("a/s_1/u", "a/s/1_u")]
    with pytest.raises(DataError, match="would get the same file"):
        prepare(rows, tmp_path / "out", Preprocessing(), format="npy")


def test_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'npy'"):
        prepare([], tmp_path, Preprocessing(), format="npz")


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_interrupted_run_is_resumed(format: str, voices: Path, tmp_path: Path) -> None:
    """SIGKILL, a full disk, another SIGKILL: the files equal those of an unbroken run."""
    rows = scan_corpus("folder", voices)
    bad = tmp_path / "bad.wav"
    bad.touch()
    rows = Manifest.of([*rows, Utterance("zz/bad", "zz", "", str(bad), "folder")])
    write_list(rows, tmp_path / "list.parquet", "parquet")

    def run(output: str, *, kill_at: int = 0, file_limit: int = 0) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PREPARE, str(tmp_path / "list.parquet")]
        command += [str(tmp_path / output), format, str(file_limit)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if kill_at and int(line) >= kill_at:
                    process.send_signal(signal.SIGKILL)
            process.stderr_text = process.stderr.read()  # type: ignore[attr-defined,union-attr]
        return process

    assert run("unbroken").returncode == 0
    assert run("broken", kill_at=8).returncode == -signal.SIGKILL
    full = run("broken", file_limit=20_000)
    assert full.returncode == 1
    assert "File too large" in full.stderr_text  # type: ignore[attr-defined]
    assert run("broken", kill_at=24).returncode == -signal.SIGKILL
    assert run("broken").returncode == 0
    assert digests(tmp_path / "broken") == digests(tmp_path / "unbroken")
    assert not list((tmp_path / "broken").rglob("*timbral-tmp"))
    assert not (tmp_path / "broken" / ".prepare").exists()


@pytest.mark.parametrize("format", FORMATS)
def test_workers_change_nothing(format: str, voices: Path, tmp_path: Path) -> None:
    rows = scan_corpus("folder", voices)[:6]
    prepare(rows, tmp_path / "one", Preprocessing(), format=format)
    prepare(rows, tmp_path / "two", Preprocessing(), format=format, workers=2)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_file_limits_work_here() -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
