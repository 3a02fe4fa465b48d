"""A corpus to files of vectors: formats as consumers read them, resumption, bad files."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch

from interrupted_writes import interrupted_after
from timbral import api
from timbral.audio.decode import Wave
from timbral.audio.preprocessing import Preprocessing
from timbral.bulk.embed import embed_corpus
from timbral.bulk.embed_job import EmbedJob, tie_folder
from timbral.bulk.readable_audio import silence_of
from timbral.bulk.shards import SHARD_UTTERANCES, parse_shard
from timbral.data.corpora.scanning import scan_corpus
from timbral.embeddings.table import LINE_FIELDS, embedded_schema, read_embeddings, vectors_of
from timbral.errors import ConfigError, DataError, MissingExtraError
from timbral.inference.embedder import Embedder
from timbral.io.storage import Folder
from timbral.io.types import Vectors


def test_the_table_has_every_utterance_with_its_vector(
    embedder: Embedder, voices: Path, tmp_path: Path
) -> None:
    summary = api.embed(embedder, voices, tmp_path / "out")
    assert (summary.num_utterances, summary.num_speakers, summary.num_failures) == (48, 8, 0)
    table = pyarrow.parquet.read_table(tmp_path / "out" / "utterances.parquet")
    assert table.column_names == [
        "utterance", "speaker", "session", "path", "duration_seconds", "embedding", "encoder",
        "weights_sha256", "license", "speech_seconds", "risks", "bandwidth_hz", "snr_db",
        "embedding_sha256",
    ]  # fmt: skip
    assert table["utterance"].to_pylist() == [r.utterance for r in scan_corpus("folder", voices)]
    assert set(table["weights_sha256"].to_pylist()) == {embedder.weights_sha256}
    assert set(table["embedding_sha256"].to_pylist()) == {embedder.embedding_identity()}
    for row in (0, 20, 47):
        alone = embedder.encode(table["path"][row].as_py())
        np.testing.assert_allclose(table["embedding"][row].as_py(), alone, atol=1e-5)

    speakers = pyarrow.parquet.read_table(tmp_path / "out" / "speakers.parquet")
    assert speakers["speaker"].to_pylist() == sorted(set(table["speaker"].to_pylist()))
    mean = vectors_of(table)[:6].mean(axis=0)
    np.testing.assert_allclose(
        speakers["embedding"][0].as_py(), mean / np.linalg.norm(mean), atol=1e-6
    )
    assert speakers["num_utterances"].to_pylist() == [6] * 8
    assert sum(speakers["duration_seconds"].to_pylist()) == pytest.approx(summary.audio_seconds)


def test_shards_of_older_versions_join_those_of_this_one() -> None:
    schema = embedded_schema(2)
    older = pyarrow.schema([field for field in schema if field not in LINE_FIELDS])
    read = []
    for kept in (schema, older):
        row = dict.fromkeys(kept.names, "x") | {"duration_seconds": 1.0, "embedding": [0.6, 0.8]}
        row |= dict.fromkeys(("speech_seconds", "risks", "bandwidth_hz", "snr_db"))
        table = pyarrow.Table.from_pylist([row], schema=kept)
        sink = pyarrow.BufferOutputStream()
        with pyarrow.ipc.new_file(sink, kept) as writer:
            writer.write_table(table)
        read.append(parse_shard(sink.getvalue().to_pybytes(), "a.arrow"))
    joined = pyarrow.concat_tables([table.replace_schema_metadata(None) for table in read])
    assert joined.column_names == schema.names


def test_npy_is_the_tree_of_paddlespeech(embedder: Embedder, voices: Path, tmp_path: Path) -> None:
    api.embed(embedder, voices, tmp_path / "out", format="npy")
    sources = sorted(path.relative_to(voices) for path in voices.glob("*/*.ogg"))
    written = sorted(
        path.relative_to(tmp_path / "out")
        for path in (tmp_path / "out").rglob("*/*.npy")
        if ".embed" not in path.parts
    )
    assert written == [path.with_suffix(".npy") for path in sources]
    vector = np.load(tmp_path / "out" / written[3])
    assert vector.dtype == np.float32
    assert vector.shape == (embedder.embedding_dim,)
    np.testing.assert_allclose(vector, embedder.encode(voices / sources[3]), atol=1e-5)


def test_torch_is_the_layout_of_ddvc(embedder: Embedder, shared: Path, tmp_path: Path) -> None:
    """Read as ZeroShotFastSpeech2 does: ``torch.load(path)[0]``."""
    api.embed(
        embedder,
        shared / "LibriTTS",
        tmp_path,
        layout="libritts",
        format="torch",
        model_name="ecapa",
    )
    ddvc_files = shared / "system-a-embeddings"
    for path in sorted((shared / "LibriTTS").rglob("*.wav"))[:5]:
        relative = path.relative_to(shared / "LibriTTS").with_suffix(".ecapa_embedding")
        assert (ddvc_files / relative).exists()
        written = torch.load(tmp_path / relative, weights_only=True)
        assert written.shape == (1, embedder.embedding_dim)
        assert written.dtype == torch.float32
        assert written.device.type == "cpu"
    for averaged in ddvc_files.glob("*/*.ecapa_averaged_embedding"):
        relative = averaged.relative_to(ddvc_files)
        written = torch.load(tmp_path / relative, weights_only=True)[0]
        of_speaker = [
            torch.load(path, weights_only=True)[0]
            for path in (tmp_path / relative).parent.rglob("*.ecapa_embedding")
        ]
        torch.testing.assert_close(written, torch.stack(of_speaker).mean(dim=0))


def test_resumed_job_gives_the_same_table(
    embedder: Embedder, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SHARD_UTTERANCES, "cpu", 10)
    api.embed(embedder, voices, tmp_path / "whole")
    embedded: list[int] = []
    encode_preprocessed = Embedder.encode_preprocessed

    def interrupted(self: Embedder, waves: list[np.ndarray]) -> np.ndarray:
        if sum(embedded) >= 30:
            raise KeyboardInterrupt
        embedded.append(len(waves))
        return encode_preprocessed(self, waves)

    with monkeypatch.context() as patch:
        patch.setattr(Embedder, "encode_preprocessed", interrupted)
        with pytest.raises(KeyboardInterrupt):
            api.embed(embedder, voices, tmp_path / "resumed")
    summary = api.embed(embedder, voices, tmp_path / "resumed")
    assert 0 < summary.new_audio_seconds < 0.5 * summary.audio_seconds, "only the rest is embedded"
    first = pyarrow.parquet.read_table(tmp_path / "whole" / "utterances.parquet")
    second = pyarrow.parquet.read_table(tmp_path / "resumed" / "utterances.parquet")
    assert first.drop_columns("embedding").equals(second.drop_columns("embedding"))
    assert np.abs(vectors_of(first) - vectors_of(second)).max() <= 1e-5
    again = api.embed(embedder, voices, tmp_path / "resumed")
    assert (again.new_audio_seconds, again.num_utterances) == (0.0, 48)


def test_killed_and_resumed(run: Path, voices: Path, tmp_path: Path) -> None:
    """SIGKILL after some shards; the table is that of an uninterrupted run."""
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom timbral import api\n"
        "from timbral.bulk import shards\nshards.SHARD_UTTERANCES['cpu'] = 6\n"
        "encoder = api.load_encoder(sys.argv[1], device='cpu')\n"
        "api.embed(encoder, Path(sys.argv[2]), Path(sys.argv[3]),"
        " progress=lambda done, *rest: (print(done, flush=True), time.sleep(0.05)))\n"
    )

    folder = tmp_path / "resumed"

    def embed(kill_at: int | None = None) -> int:
        command = [sys.executable, "-c", code, str(run), str(voices), str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                if kill_at is not None and int(line) >= kill_at:
                    process.send_signal(signal.SIGKILL)
        return process.returncode

    assert embed(kill_at=24) == -signal.SIGKILL
    assert len(list((folder / ".embed").glob("*.arrow"))) >= 3
    assert embed() == 0
    api.embed(api.load_encoder(run, device="cpu"), voices, tmp_path / "whole")
    whole, resumed = read_embeddings(tmp_path / "whole"), read_embeddings(folder)
    assert whole.drop_columns("embedding").equals(resumed.drop_columns("embedding"))
    assert np.abs(vectors_of(whole) - vectors_of(resumed)).max() <= 1e-5


def test_unusable_recordings_are_listed(embedder: Embedder, voices: Path, tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    shutil.copytree(voices, root)
    bad = sorted(root.glob("*/*.ogg"))[5]
    bad.unlink()
    bad.write_bytes(b"not ogg")
    shown: list[tuple[int, int]] = []

    def note(done: int, total: int, seconds: float, failures: int) -> None:
        shown.append((done, failures))

    summary = api.embed(embedder, root, tmp_path / "out", progress=note)
    assert (summary.num_utterances, summary.num_failures, summary.reused) == (47, 1, False)
    assert shown[0] == (0, 0)
    assert {shown[-2], shown[-1]} == {(48, 1)}, "also before the shard is done"
    again = api.embed(embedder, root, tmp_path / "out", progress=note)
    assert shown[-1] == (48, 1), "an earlier run's failures count"
    assert (again.num_failures, again.reused) == (1, True)
    [line] = (tmp_path / "out" / "failures.jsonl").read_text().splitlines()
    assert json.loads(line)["path"] == str(bad)
    assert "cannot be read as audio" in json.loads(line)["reason"]


def test_repaired_recording_is_embedded(
    embedder: Embedder, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SHARD_UTTERANCES, "cpu", 10)
    root = tmp_path / "corpus"
    shutil.copytree(voices, root)
    path = sorted(root.glob("*/*.ogg"))[5]
    whole = path.read_bytes()
    path.write_bytes(b"not ogg")
    assert api.embed(embedder, root, tmp_path / "out").num_failures == 1
    path.write_bytes(whole)
    summary = api.embed(embedder, root, tmp_path / "out")
    assert (summary.num_utterances, summary.num_failures) == (48, 0)
    assert summary.new_audio_seconds < 0.4 * summary.audio_seconds, (
        "only its shard is embedded again"
    )


def test_only_new_recordings_of_a_grown_corpus_are_embedded(
    embedder: Embedder, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A speaker in front of all others, a recording replaced by another one, and one that fails."""
    monkeypatch.setitem(SHARD_UTTERANCES, "cpu", 10)
    root, aside = tmp_path / "corpus", tmp_path / "aside"
    shutil.copytree(voices, root)
    first, *_, last = sorted(root.iterdir())
    first.rename(aside)
    (root / last.name / "x.ogg").write_bytes(b"not ogg")
    api.embed(embedder, root, tmp_path / "out")
    aside.rename(first)
    replaced, other = sorted(root.glob("*/*.ogg"))[20:22]
    shutil.copy(other, replaced)
    embedded: list[int] = []
    encode = Embedder.encode_preprocessed
    monkeypatch.setattr(
        Embedder,
        "encode_preprocessed",
        lambda self, waves: [embedded.append(len(waves)), encode(self, waves)][1],
    )
    grown = api.embed(embedder, root, tmp_path / "out")
    assert (sum(embedded), grown.num_utterances, grown.num_failures) == (6, 48, 1)
    api.embed(embedder, root, tmp_path / "whole")
    tables = [read_embeddings(tmp_path / name) for name in ("out", "whole")]
    assert tables[0].drop(["embedding"]) == tables[1].drop(["embedding"])
    assert np.abs(vectors_of(tables[0]) - vectors_of(tables[1])).max() <= 1e-5


def test_no_utterances_is_an_error(embedder: Embedder, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least one utterance"):
        embed_corpus(embedder, [], tmp_path, tmp_path / "out")


def test_model_name_with_slash(embedder: Embedder, voices: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="remove the /"):
        api.embed(embedder, voices, tmp_path / "o", format="torch", model_name="microsoft/wavlm")


def test_no_usable_recording_is_an_error(embedder: Embedder, tmp_path: Path) -> None:
    (tmp_path / "corpus" / "anna").mkdir(parents=True)
    (tmp_path / "corpus" / "anna" / "a.wav").touch()
    with pytest.raises(DataError, match=r"the only recording cannot be used: .*0 bytes"):
        api.embed(embedder, tmp_path / "corpus", tmp_path / "out")
    with pytest.raises(
        DataError, match=r"contains no vectors: `embed` was interrupted or could use"
    ):
        read_embeddings(tmp_path / "out")
    (tmp_path / "corpus" / "wav.scp").write_text(f"lost\na {tmp_path}/corpus/anna/a.wav\n")
    (tmp_path / "corpus" / "utt2spk").write_text("a anna\n")
    with pytest.raises(DataError, match=r"the only recording cannot be used: .*0 bytes"):
        api.embed(embedder, tmp_path / "corpus", tmp_path / "out2", layout="kaldi")
    (tmp_path / "corpus" / "anna" / "b.wav").touch()
    with pytest.raises(DataError, match=r"none of the 2 recordings can be used; the first: "):
        api.embed(embedder, tmp_path / "corpus", tmp_path / "out3", layout="folder")


def test_a_detector_that_is_not_installed_leaves_no_folder(
    embedder: Embedder, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "_webrtcvad", None)
    trimmed = Embedder(embedder.network, Preprocessing(trim="webrtc"), weights_sha256="a")
    with pytest.raises(MissingExtraError, match=r"\[vad\]"):
        api.embed(trimmed, voices, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_weights_are_an_error(embedder: Embedder, voices: Path, tmp_path: Path) -> None:
    api.embed(embedder, voices, tmp_path / "out")
    other = Embedder(embedder.network, embedder.preprocessing, weights_sha256="other")
    with pytest.raises(DataError, match="of another encoder"):
        api.embed(other, voices, tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "not readable JSON"),
        (b"[]", "should contain only weights_sha256, preprocessing"),
        (b'{"precision": "fp32"}', "should contain only weights_sha256, preprocessing"),
        (
            b'{"weights_sha256": 3, "preprocessing": {}, "windows": null, "precision": "fp32",'
            b' "corpus": ""}',
            "weights_sha256 cannot be 3",
        ),
    ],
)
def test_damaged_job_file_is_an_error(
    embedder: Embedder, voices: Path, tmp_path: Path, content: bytes, words: str
) -> None:
    (tmp_path / ".embed").mkdir()
    (tmp_path / ".embed" / "job.json").write_bytes(content)
    with pytest.raises(DataError, match=rf"job\.json: .*{words}"):
        api.embed(embedder, voices, tmp_path)


def test_unknown_format_is_an_error(embedder: Embedder, voices: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'parquet'"):
        api.embed(embedder, voices, tmp_path / "out", format="parket")


def test_folder_without_embeddings_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"contains no utterances\.parquet"):
        read_embeddings(tmp_path)


def test_table_of_speakers_is_an_error(embedder: Embedder, voices: Path, tmp_path: Path) -> None:
    api.embed(embedder, voices, tmp_path)
    with pytest.raises(DataError, match="has no column path, utterance"):
        read_embeddings(tmp_path / "speakers.parquet")


@pytest.mark.gpu
def test_gpu_gives_the_same_vectors(run: Path, voices: Path) -> None:
    paths = sorted(voices.glob("*/*.ogg"))[:8]
    on_cpu, on_gpu = (api.load_encoder(run, device=device) for device in ("cpu", "cuda"))
    for path in paths:
        assert np.abs(on_cpu.encode(path) - on_gpu.encode(path)).max() <= 1e-4


def test_damaged_shard_is_embedded_again(embedder: Embedder, voices: Path, tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    for folder in sorted(voices.glob("*/"))[:2]:
        (tmp_path / "two" / folder.name).symlink_to(folder)
    voices, tmp_path = tmp_path / "two", tmp_path / "vectors"
    api.embed(embedder, voices, tmp_path)
    whole = read_embeddings(tmp_path)
    shard = tmp_path / ".embed" / "000000.arrow"
    content = shard.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"no arrow"):
        shard.write_bytes(damaged)
        api.embed(embedder, voices, tmp_path)
        assert read_embeddings(tmp_path).equals(whole)


def test_vectors_of_another_folder_are_reused(
    embedder: Embedder, voices: Path, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus"
    for speaker in sorted(voices.iterdir())[:2]:
        shutil.copytree(speaker, corpus / speaker.name)
    first = api.embed(embedder, corpus, tmp_path / "table")
    again = api.embed(
        embedder, corpus, tmp_path / "kaldi", format="kaldi", reuse=tmp_path / "table"
    )
    assert (again.reused, again.new_audio_seconds) == (True, 0.0)
    assert again.num_utterances == first.num_utterances
    api.embed(embedder, corpus, tmp_path / "again", format="kaldi")
    for name in ("xvector.ark", "spk_xvector.ark", "utt2spk"):
        assert (tmp_path / "kaldi" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    added = sorted(voices.glob("*/*.ogg"))[-1]
    shutil.copy(added, corpus / sorted(corpus.iterdir())[0].name)
    more = api.embed(embedder, corpus, tmp_path / "npy", format="npy", reuse=tmp_path / "kaldi")
    assert more.num_utterances == first.num_utterances + 1
    assert 0 < more.new_audio_seconds < 10


def test_a_copy_that_was_killed_is_resumed_and_is_nobody_elses(
    embedder: Embedder, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SHARD_UTTERANCES, "cpu", 4)
    few = tmp_path / "few"
    for speaker in sorted(voices.iterdir())[:2]:
        shutil.copytree(speaker, few / speaker.name)
    api.embed(embedder, few, tmp_path / "out")
    with interrupted_after(2, monkeypatch, ".arrow"):
        api.embed(embedder, few, tmp_path / "new", format="npy", reuse=tmp_path / "out")
    other = replace(EmbedJob.of(embedder, few), weights_sha256="0" * 64)
    with pytest.raises(DataError, match="of another encoder"):
        tie_folder(Folder(tmp_path / "new") / ".embed", other)
    done = api.embed(embedder, few, tmp_path / "new", format="npy", reuse=tmp_path / "out")
    assert done.new_audio_seconds == 0


def test_a_recording_that_is_written_while_it_is_embedded_is_embedded_again(
    embedder: Embedder, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = tmp_path / "few"
    shutil.copytree(sorted(voices.iterdir())[0], few / "a")
    changing = sorted(few.rglob("*.ogg"))[0]
    other = sorted(sorted(voices.iterdir())[1].glob("*.ogg"))[0]
    later = other.read_bytes()
    encode = Embedder.encode_preprocessed

    def write_later(self: Embedder, waves: list[Wave], *rest: Any) -> Vectors:
        changing.write_bytes(later)
        return encode(self, waves, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(Embedder, "encode_preprocessed", write_later)
        api.embed(embedder, few, tmp_path / "out")
    again = api.embed(embedder, few, tmp_path / "out")
    assert 0 < again.new_audio_seconds < 10
    table = pyarrow.parquet.read_table(tmp_path / "out" / "utterances.parquet")
    assert table["embedding"][0].as_py() == pytest.approx(embedder.encode(other), abs=1e-5)
    assert api.embed(embedder, few, tmp_path / "out").new_audio_seconds == 0


def test_a_table_apart_from_its_corpus_has_no_sound(
    embedder: Embedder, voices: Path, tmp_path: Path
) -> None:
    few = tmp_path / "few"
    shutil.copytree(sorted(voices.iterdir())[0], few / "a")
    api.embed(embedder, few, tmp_path / "out")
    assert silence_of(tmp_path / "out", None) is None
    apart = tmp_path / "labels" / "labels.parquet"
    apart.parent.mkdir()
    shutil.copy(tmp_path / "out" / "utterances.parquet", apart)
    silence = silence_of(apart, None)
    assert silence is not None
    assert "the folder of its corpus is unknown" in silence.reason
    assert silence.folder == str(few / "a")
    assert silence_of(apart, few) is None
    shutil.rmtree(few)
    silence = silence_of(apart, None)
    assert silence is not None
    assert silence.folder == ""
    assert silence_of(tmp_path / "missing.parquet", None) is None
