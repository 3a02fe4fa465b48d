"""Corpora to stores: layouts, bad files, interruption."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest
import soundfile

from test_audio import broken_files
from timbral.audio.decode import Wave, to_int16
from timbral.audio.preprocessing import Preprocessing, load
from timbral.data.corpora.scanning import scan_corpus
from timbral.data.prepared.prepare import prepare
from timbral.data.prepared.store import Store
from timbral.errors import DataError
from timbral.io.locks import folder_lock

Tone = Callable[..., Wave]


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_store_holds_what_was_decoded(store: Store, voices: Path) -> None:
    utterances = scan_corpus("folder", voices)
    assert store.table["utterance"].to_pylist() == [row.utterance for row in utterances]
    assert len(store) == 48
    for row in (0, 17, 47):
        expected = to_int16(load(utterances[row].path, Preprocessing()))
        np.testing.assert_array_equal(store.pcm(row), expected)
        np.testing.assert_array_equal(store.pcm(row, 1000, 500), expected[1000:1500])
        assert store.samples[row] == len(expected)
    assert store.table.column_names[:7] == [
        "utterance", "speaker", "session", "path", "duration_seconds", "sample_rate", "corpus",
    ]  # fmt: skip


def test_shards_are_plain_arrow_files(store: Store) -> None:
    with pa.memory_map(str(store.folder / "shards" / "00000.arrow")) as source:
        table = pa.ipc.open_file(source).read_all()
    assert table["utterance"].to_pylist() == store.table["utterance"].to_pylist()
    np.testing.assert_array_equal(table["pcm"][3].values.to_numpy(), store.pcm(3))


def test_workers_change_nothing(
    store: Store, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utterances = scan_corpus("folder", voices)
    calls: list[tuple[int, int]] = []
    summary = prepare(
        utterances,
        tmp_path / "two",
        Preprocessing(),
        workers=2,
        progress=lambda *call: calls.append(call),
    )
    assert digests(tmp_path / "two") == digests(store.folder)
    assert calls[-1] == (48, 48)
    assert (summary.num_utterances, summary.num_speakers, summary.num_failures) == (48, 8, 0)


def test_finished_work_is_not_repeated(voices: Path, tmp_path: Path) -> None:
    utterances = scan_corpus("folder", voices)
    prepare(utterances, tmp_path / "s", Preprocessing())
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "s").rglob("*.arrow")}
    assert prepare(utterances, tmp_path / "s", Preprocessing()).reused
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "s").rglob("*.arrow")}


def test_bad_files_are_listed_and_do_not_abort(tmp_path: Path, tone: Tone) -> None:
    root = tmp_path / "corpus"
    (root / "anna").mkdir(parents=True)
    (root / "ben").mkdir()
    broken = broken_files(root / "anna", tone(1.0))
    broken.pop("is a folder").rmdir()
    broken.pop("no such file")
    (root / "anna" / "notes.txt").write_text("not audio")
    (root / "TRANS.txt").write_text("stray")
    (root / "stray.wav").write_bytes(b"belongs to nobody")
    soundfile.write(root / "ben" / "ü b.wav", tone(1.0, 48_000), 48_000)
    (root / "ben" / "loop").symlink_to(root)
    (tmp_path / "elsewhere").mkdir()
    soundfile.write(tmp_path / "elsewhere" / "c.wav", tone(1.0), 16_000)
    (root / "carl").symlink_to(tmp_path / "elsewhere")
    summary = prepare(scan_corpus("folder", root), tmp_path / "s", Preprocessing())
    assert (summary.num_utterances, summary.num_speakers, summary.num_failures) == (
        2,
        2,
        len(broken) + 1,  # with stray.wav
    )
    lines = (tmp_path / "s" / "failures.jsonl").read_text().splitlines()
    reasons = {Path(row["path"]).name: row["reason"] for row in map(json.loads, lines)}
    for words, path in broken.items():
        assert words in reasons[path.name]


def test_only_bad_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "corpus" / "anna").mkdir(parents=True)
    (tmp_path / "corpus" / "anna" / "a.wav").touch()
    with pytest.raises(DataError, match=r"the only recording cannot be used: .*0 bytes"):
        prepare(scan_corpus("folder", tmp_path / "corpus"), tmp_path / "s", Preprocessing())


def test_other_data_in_the_folder_is_an_error(store: Store, voices: Path, tmp_path: Path) -> None:
    utterances = scan_corpus("folder", voices)
    with pytest.raises(DataError, match="other recordings or with other settings"):
        prepare(utterances, store.folder, Preprocessing(trim="energy"))
    with pytest.raises(DataError, match="other recordings"):
        prepare(utterances[:-1], store.folder, Preprocessing())
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match=r"is not empty \(it has 'thesis.txt'\)"):
        prepare(utterances, tmp_path, Preprocessing())


def test_second_writer_is_refused(voices: Path, tmp_path: Path) -> None:
    with (
        folder_lock(tmp_path / "s"),
        pytest.raises(DataError, match="another timbral process"),
    ):
        prepare(scan_corpus("folder", voices), tmp_path / "s", Preprocessing())


def test_killed_run_is_resumed(tmp_path: Path, voices: Path) -> None:
    """SIGKILL at several moments; the outcome is that of an unbroken run, byte for byte."""
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from timbral.audio.preprocessing import Preprocessing\n"
        "from timbral.data.prepared import prepare as module\n"
        "from timbral.data.corpora.scanning import scan_corpus\n"
        "module.SHARD_UTTERANCES = 8\n"
        "module.prepare(scan_corpus('folder', Path(sys.argv[1])), Path(sys.argv[2]),"
        " Preprocessing(), progress=lambda done, total: (print(done, flush=True),"
        " time.sleep(0.05)))\n"
    )

    def run(folder: Path, kill_at: int | None = None) -> int:
        command = [sys.executable, "-c", code, str(voices), str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                if kill_at is not None and int(line) >= kill_at:
                    process.send_signal(signal.SIGKILL)
        return process.returncode

    assert run(tmp_path / "unbroken") == 0
    for done in (8, 24):
        assert run(tmp_path / "killed", kill_at=done) == -signal.SIGKILL
    with pytest.raises(DataError, match="was not finished"):
        Store.open(tmp_path / "killed")
    (tmp_path / "killed" / "shards" / ".00004.arrow.timbral-tmp").write_bytes(b"half")
    assert run(tmp_path / "killed") == 0
    assert digests(tmp_path / "killed") == digests(tmp_path / "unbroken")


def test_files_that_a_power_failure_emptied_are_written_again(
    tmp_path: Path, voices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("timbral.data.prepared.prepare.SHARD_UTTERANCES", 4)
    corpus = scan_corpus("folder", voices)
    prepare(corpus, tmp_path / "unbroken", Preprocessing(), format="flac")

    def interrupt(done: int, total: int) -> None:
        if done >= 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(corpus, tmp_path / "a", Preprocessing(), format="flac", progress=interrupt)
    first, *_, last = sorted((tmp_path / "a").rglob("*.flac"))
    first.write_bytes(b"")
    last.unlink()
    prepare(corpus, tmp_path / "a", Preprocessing(), format="flac")
    assert digests(tmp_path / "a") == digests(tmp_path / "unbroken")


def test_other_folders_are_no_store(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="contains no prepared data"):
        Store.open(tmp_path)
    with pytest.raises(DataError, match=r"nowhere: no such folder$"):
        Store.open(tmp_path / "nowhere")
    (tmp_path / "anna").mkdir()
    (tmp_path / "anna" / "a.wav").touch()
    command = f"timbral prepare {tmp_path} --output {tmp_path.name}-prepared"
    with pytest.raises(
        DataError, match=f"recordings, not prepared data; prepare them first: {command}$"
    ):
        Store.open(tmp_path)


@pytest.mark.parametrize(
    ("layout", "folder", "speakers", "utterances", "sessions"),
    [
        ("libritts", "LibriTTS", 4, 59, 8),
        ("librispeech", "LibriSpeech", 3, 60, 6),
        ("librispeech", "LibriSpeech/train-other-500", 3, 60, 6),
        ("librispeech", "librispeech-251", 251, 251, 251),
        ("vctk", "VCTK", 4, 40, 1),
        ("kaldi", "speechocean762-train", 125, 2500, 1),
    ],
)
def test_real_layouts(
    shared: Path, layout: str, folder: str, speakers: int, utterances: int, sessions: int
) -> None:
    rows = scan_corpus(layout, shared / folder)
    assert len(rows) == utterances
    assert len({row.speaker for row in rows}) == speakers
    assert len({row.session for row in rows}) == sessions
    assert all(Path(row.path).is_absolute() for row in rows)


def test_links_in_circles_are_not_followed(tmp_path: Path, tone: Tone) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "to-b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "to-a").symlink_to(tmp_path / "a")
    soundfile.write(tmp_path / "a" / "x.wav", tone(0.5), 16_000)
    names = [row.utterance for row in scan_corpus("folder", tmp_path)]
    assert names == ["a/x", "b/to-a/x"]


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/M\xfcller"
    Path(os.fsdecode(folder)).mkdir()
    Path(os.fsdecode(folder), "a.wav").touch()
    with pytest.raises(DataError, match="not UTF-8; rename"):
        scan_corpus("folder", tmp_path)


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    code = (
        "import os, sys, time\nfrom concurrent.futures import ProcessPoolExecutor\n"
        "import multiprocessing\nfrom timbral.io.processes import end_with_parent\n"
        "if __name__ == '__main__':\n"
        "    pool = ProcessPoolExecutor(1, multiprocessing.get_context('spawn'),"
        " initializer=end_with_parent)\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n    time.sleep(60)\n"
    )
    (tmp_path / "parent.py").write_text(code)
    command = [sys.executable, str(tmp_path / "parent.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        process.kill()
        process.wait()
        for _ in range(50):
            if not Path(f"/proc/{worker}/status").exists():
                return
            if "State:\tZ" in Path(f"/proc/{worker}/status").read_text():
                return
            time.sleep(0.1)
    pytest.fail("the worker is still alive")


def test_layout_mistakes(tmp_path: Path, voices: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        scan_corpus("folder", tmp_path / "none")
    with pytest.raises(DataError, match=r"no audio found in layout folder\n.*found:\n.*nothing$"):
        scan_corpus("folder", tmp_path)
    with pytest.raises(DataError, match=r"\[SUBSET/\]SPEAKER/CHAPTER/SPEAKER_\S+ +af_") as error:
        scan_corpus("libritts", voices)
    assert str(error.value).splitlines()[-1].split()[-1].startswith("af_"), "the way to a file"
    with pytest.raises(DataError, match="did you mean 'vctk'"):
        scan_corpus("vtck", voices)


def test_two_files_with_one_id(tmp_path: Path) -> None:
    (tmp_path / "anna").mkdir()
    for name in ("a.wav", "a.flac"):
        (tmp_path / "anna" / name).touch()
    with pytest.raises(DataError, match=r"more than one file, such as 'anna/a': .*a\.flac"):
        scan_corpus("folder", tmp_path)


@pytest.mark.parametrize(
    ("scp", "utt2spk", "words"),
    [
        ("a wget -O - http://x/x.wav |", "a anna", "is a command"),
        ("a x.wav", "b anna", "no speaker for 'a'"),
        ("a", "a anna", "should be two words"),
        ("a x.wav\na y.wav", "a anna", "'a' occurs more than once"),
    ],
)
def test_kaldi_mistakes(tmp_path: Path, scp: str, utt2spk: str, words: str) -> None:
    (tmp_path / "wav.scp").write_text(scp + "\n")
    (tmp_path / "utt2spk").write_text(utt2spk + "\n")
    with pytest.raises(DataError, match=words):
        scan_corpus("kaldi", tmp_path)


def test_vctk_takes_the_first_microphone(tmp_path: Path) -> None:
    folder = tmp_path / "wav48_silence_trimmed" / "p225"
    folder.mkdir(parents=True)
    for name in ("p225_001_mic1.flac", "p225_001_mic2.flac"):
        (folder / name).touch()
    assert [row.utterance for row in scan_corpus("vctk", tmp_path)] == ["p225_001"]


def test_a_lock_goes_with_its_process(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from timbral.io.locks import folder_lock\n"
        "with folder_lock(Path(sys.argv[1])):\n  print('held', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(DataError, match="another timbral process"), folder_lock(tmp_path):
            pass
        process.kill()
    with folder_lock(tmp_path):
        pass
