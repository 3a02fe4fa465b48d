"""`embed` keeps vectors of recordings at risk; two columns say what speaks against them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import soundfile

import timbral
from conftest import Ask
from timbral.audio.decode import decode
from timbral.embeddings.table import RISK_FIELDS

NAMES = [field.name for field in RISK_FIELDS]


@pytest.fixture
def corpus(voices: Path, tmp_path: Path) -> Path:
    """A good recording, a short one, a stereo one whose channels differ, of one speaker each."""
    paths = sorted(voices.glob("*/*.ogg"))[::6][:3]
    for kind, path in zip(("channels", "good", "short"), paths, strict=True):
        wave, rate = decode(path)
        wave = wave[: int(1.5 * rate)] if kind == "short" else wave
        stereo = np.stack([np.r_[wave, 0 * wave], np.r_[0 * wave, wave]], axis=1)
        (tmp_path / "corpus" / kind).mkdir(parents=True)
        file = tmp_path / "corpus" / kind / f"{kind}.wav"
        soundfile.write(file, stereo if kind == "channels" else wave, rate)
    return tmp_path / "corpus"


def rows(output: Path) -> dict[str, tuple[float | None, list[str] | None]]:
    table = pyarrow.parquet.read_table(output / "utterances.parquet")
    return {
        row["utterance"].split("/")[-1]: (row["speech_seconds"], row["risks"])
        for row in table.to_pylist()
    }


def as_older_versions_wrote(output: Path) -> None:
    """The shards without the columns of risks; nothing else is left."""
    for shard in (output / ".embed").glob("*.arrow"):
        table = pa.ipc.open_file(shard.read_bytes()).read_all().drop_columns(NAMES)
        with pa.ipc.new_file(shard, table.schema) as writer:
            writer.write_table(table)
    (output / "utterances.parquet").unlink()


def test_columns_say_what_check_says(ask: Ask, run: Path, corpus: Path, tmp_path: Path) -> None:
    answer = ask("embed", run, corpus, "--output", tmp_path / "out")
    assert answer.code == 0
    assert "3 utterances of 3 speakers" in answer.out
    assert "2 recordings at risk (channels-differ 1, short 1)" in answer.out
    checked = {
        Path(each.path).stem: (each.quality.speech_seconds, each.kinds)
        for each in timbral.check(corpus).recordings
    }
    assert rows(tmp_path / "out") == checked
    assert checked["good"][1] == []


def test_vectors_are_those_of_encode(run: Path, corpus: Path, tmp_path: Path) -> None:
    encoder = timbral.load_encoder(run)
    timbral.embed(encoder, corpus, tmp_path / "out")
    table = pyarrow.parquet.read_table(tmp_path / "out" / "utterances.parquet")
    for path, vector in zip(table["path"].to_pylist(), table["embedding"].to_pylist(), strict=True):
        np.testing.assert_allclose(vector, encoder.encode(path), atol=1e-5)


def test_what_an_older_version_embedded_is_resumed(run: Path, corpus: Path, tmp_path: Path) -> None:
    """Its rows were not measured, which null says; recordings with other content are."""
    output = tmp_path / "out"
    encoder = timbral.load_encoder(run)
    timbral.embed(encoder, corpus, output)
    as_older_versions_wrote(output)
    summary = timbral.embed(encoder, corpus, output)
    assert summary.reused
    assert (summary.num_risky, summary.risk_counts) == (0, {})
    assert set(rows(output).values()) == {(None, None)}

    wave, rate = soundfile.read(corpus / "short" / "short.wav")
    soundfile.write(corpus / "short" / "other.wav", 0.9 * wave, rate)
    assert timbral.embed(encoder, corpus, output).num_risky == 1
    found = rows(output)
    assert found.pop("other")[1] == ["short"]
    assert set(found.values()) == {(None, None)}
    assert timbral.speakers(output).num_rows == 3


def test_verify_warns_of_a_call_until_a_channel_is_chosen(
    ask: Ask, run: Path, corpus: Path
) -> None:
    call, good = corpus / "channels" / "channels.wav", corpus / "good" / "good.wav"
    wave, rate = soundfile.read(call, dtype="float32")
    mixed = ask("verify", run, call, good)
    assert f"note: {call}: channels-differ: " in mixed.err
    assert "use --channel 1 or 2" in mixed.err
    first = ask("verify", run, call, good, "--channel", "1", "--json")
    assert "channels-differ" not in first.err
    encoder = timbral.load_encoder(run)
    alone = encoder.verify((wave[:, 0], rate), good)
    assert json.loads(first.out)["score"] == pytest.approx(alone.score, abs=1e-5)
    assert ask("verify", run, call, good, "--channel", "3").code == 2
    second = ask("verify", run, call, good, "--channel", "2", "--json")
    other = encoder.verify((wave[:, 1], rate), good)  # a mono side is taken as it is
    assert json.loads(second.out)["score"] == pytest.approx(other.score, abs=1e-5)


def test_a_decision_warns_of_each_recording(run: Path, corpus: Path) -> None:
    encoder = timbral.load_encoder(run)
    short, good = corpus / "short" / "short.wav", corpus / "good" / "good.wav"
    [itself] = encoder.verify(good, good).warnings
    assert itself.startswith("both sides are the same recording")
    [warning] = encoder.verify(short, [good, short]).warnings
    assert warning.startswith(f"{short}: short: ")
