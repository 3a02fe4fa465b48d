"""Imported vectors of other tools, in the commands that take vectors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
import pytest

import timbral
from conftest import Ask
from timbral.embeddings.table import read_embeddings
from timbral.errors import ConfigError, DataError
from vector_files import NAMES, ROWS, VECTORS, datasets_folder, npz, parquet_folder, torch_dict


def test_encoders_are_never_mixed(tmp_path: Path) -> None:
    source = npz(tmp_path)
    hashes = {}
    for name, options in {
        "unknown": {},
        "again": {},
        "named": {"encoder": "resnet34"},
        "weights": {"encoder": "resnet34", "weights": source},
    }.items():
        done = timbral.import_embeddings(source, tmp_path / name, **options)  # type: ignore[arg-type]
        hashes[name] = done.weights_sha256
    np.savez(tmp_path / "w.npz", **{name: 2 - row for name, row in ROWS.items()})
    other = timbral.import_embeddings(tmp_path / "w.npz", tmp_path / "other")
    same = timbral.import_embeddings(tmp_path / "w.npz", tmp_path / "same", encoder="resnet34")
    assert hashes["unknown"] == hashes["again"]
    assert other.weights_sha256 != hashes["unknown"], "two unknown encoders are two"
    assert same.weights_sha256 == hashes["named"], "one name is one encoder"
    assert len({*hashes.values(), other.weights_sha256}) == 4
    assert read_embeddings(tmp_path / "named")["encoder"].to_pylist() == ["resnet34"] * 12


def test_every_verb_takes_them(tmp_path: Path, ask: Ask) -> None:
    """speakers, audit, map, score, compare and a gallery on vectors of an unknown encoder."""
    random = np.random.default_rng(1)
    means = random.standard_normal((6, 16))
    rows = {
        f"s{number % 6}-{number}": means[number % 6] + 0.3 * random.standard_normal(16)
        for number in range(36)
    }
    source, emb = tmp_path / "v.npz", tmp_path / "emb"
    np.savez(source, **rows)
    (tmp_path / "utt2spk").write_text("".join(f"{name} {name[:2]}\n" for name in rows))
    made = ask("import-embeddings", source, "--output", emb, "--encoder", "theirs")
    assert (made.code, made.err) == (0, ""), made.err
    assert "36 vectors of 16 numbers, 6 speakers" in made.out
    assert ask("speakers", emb, "--output", tmp_path / "s.parquet").code == 0
    assert ask("audit", emb).code == 0
    names = list(rows)
    lines = [f"{int(a[:2] == b[:2])} {a} {b}\n" for a in names[:12] for b in names[12:30]]
    (tmp_path / "trials").write_text("".join(lines))
    for output in ("one", "two"):
        scored = ask("score", emb, tmp_path / "trials", "--output", tmp_path / output)
        assert scored.code == 0, scored.err
        assert "EER" in scored.out
    gallery = tmp_path / "g.db"
    enrolled = ask("enroll", gallery, "--embeddings", emb, "--force")
    assert enrolled.code == 0, enrolled.err
    other = timbral.import_embeddings(source, tmp_path / "other")
    mixed = ask("enroll", gallery, "--embeddings", tmp_path / "other")
    assert (mixed.code, mixed.err.count("error: ")) == (2, 1)
    assert other.weights_sha256[:8] in mixed.err
    assert ask("embed", "x", tmp_path, "--output", emb).code == 2


def test_trials_are_drawn_from_them(tmp_path: Path, ask: Ask) -> None:
    """By the ids that `score` takes; not where nothing says who speaks."""
    random = np.random.default_rng(2)
    rows = {f"s{number % 6} {number}": random.standard_normal(8) for number in range(24)}
    np.savez(tmp_path / "v.npz", **rows)
    (tmp_path / "who").write_text("".join(f"{name}\t{name[:2]}\n" for name in rows))
    timbral.import_embeddings(tmp_path / "v.npz", tmp_path / "e", speakers=tmp_path / "who")
    drawn = ask("trials", tmp_path / "e", "--per-speaker", "4", "--output", tmp_path / "t")
    assert (drawn.code, "24 target trials and 24 non-target" in drawn.out) == (0, True), drawn.err
    assert "names in the list: the vectors' utterances" in drawn.err
    assert not (tmp_path / "t.columns.tsv").exists(), "norm is no property of a voice"
    scored = timbral.score(tmp_path / "e", tmp_path / "t", tmp_path / "s", draws=0)
    assert (scored.num_trials, scored.missing) == (48, ())
    assert timbral.compare(tmp_path / "s", tmp_path / "s", draws=100).num_speakers == 6
    timbral.import_embeddings(tmp_path / "v.npz", tmp_path / "nobody")
    refused = ask("trials", tmp_path / "nobody", "--output", tmp_path / "t2")
    assert (refused.code, refused.err.count("error: ")) == (2, 1)
    assert "24 of 24 vectors have no speaker, the first 's0 0'" in refused.err
    assert not (tmp_path / "t2").exists()


def test_verbs_say_how_other_tools_vectors_are_read(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for source in (torch_dict(tmp_path), datasets_folder(tmp_path / "data")):
        answer = ask("audit", source)
        assert (answer.code, len(answer.err.splitlines())) == (2, 1)
        assert f"`timbral import-embeddings {source} --output FOLDER`" in answer.err
    assert (
        "`timbral import-embeddings`"
        in ask("audit", parquet_folder(tmp_path) / "part-0.parquet").err
    )


def test_a_mistyped_folder_of_vectors_is_told(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "vectors").mkdir()
    for verb in ("audit", "speakers"):
        answer = ask(verb, tmp_path / "vektors", "--output", tmp_path / "o.parquet")
        assert answer.code == 2
        assert f"vektors: no such file or folder; did you mean {tmp_path}/vectors" in answer.err


def test_what_embed_wrote_in_another_format_is_written_again(
    ask: Ask, run: Path, voices: Path, tmp_path: Path
) -> None:
    other, table = tmp_path / "other", tmp_path / "table"
    assert ask("embed", run, voices, "--format", "coqui", "--output", other).code == 0
    remedy = f"`timbral embed ENCODER CORPUS --reuse {other} --output FOLDER`"
    for words in (("audit", other), ("import-embeddings", other, "--output", table)):
        answer = ask(*words)
        assert (answer.code, len(answer.err.splitlines())) == (2, 1)
        assert remedy in answer.err
    assert ask("embed", run, voices, "--reuse", other, "--output", table).code == 0
    assert ask("audit", table).code == 0


def test_vectors_in_other_forms_are_told(tmp_path: Path) -> None:
    """WeSpeaker's mean_vec.npy lies beside its archives."""
    source = tmp_path / "in"
    source.mkdir()
    (source / "v.ark").write_text("a [ 1 2 ]\n")
    np.save(source / "mean_vec.npy", np.ones(2))
    with pytest.warns(UserWarning, match=r"as a folder of Kaldi; not read: mean_vec\.npy$"):
        assert timbral.import_embeddings(source, tmp_path / "out").num_utterances == 1


def test_vectors_that_cannot_be_used_are_counted(tmp_path: Path, ask: Ask) -> None:
    rows = {**ROWS, "zero": np.zeros(8), "nan": np.full(8, np.nan)}
    np.savez(tmp_path / "v.npz", **rows)
    made = ask("import-embeddings", tmp_path / "v.npz", "--output", tmp_path / "out")
    assert made.code == 1
    assert "2 recordings could not be used" in made.err
    lines = (tmp_path / "out" / "failures.jsonl").read_text().splitlines()
    failures = [json.loads(line) for line in lines]
    assert {row["path"]: row["kind"] for row in failures} == {"zero": "empty", "nan": "not-finite"}


def test_lists_of_speakers_and_paths(tmp_path: Path) -> None:
    source = npz(tmp_path)
    (tmp_path / "who").write_text("".join(f"{name} x{name[1]}\n" for name in NAMES[:8]))
    (tmp_path / "wav.scp").write_text(f"{NAMES[0]} /data/my file.wav\n")
    options = {"speakers": tmp_path / "who", "paths": tmp_path / "wav.scp", "license": "mit"}
    timbral.import_embeddings(source, tmp_path / "out", **options)  # type: ignore[arg-type]
    table = read_embeddings(tmp_path / "out")
    assert table["speaker"].to_pylist() == [f"x{name[1]}" for name in NAMES[:8]] + [""] * 4
    assert table["path"].to_pylist() == ["/data/my file.wav"] + [""] * 11
    assert pc.all(pc.equal(table["license"], "mit")).as_py()
    (tmp_path / "who").write_text("other s\n")
    with pytest.raises(
        DataError, match=r"has no speaker for any of the vectors\. Its first name is 'other'"
    ):
        timbral.import_embeddings(source, tmp_path / "o", speakers=tmp_path / "who")


def test_columns_by_name(tmp_path: Path) -> None:
    table = pa.table({"wer": NAMES, "vec": VECTORS.tolist(), "id": ["same"] * 12})
    pa.parquet.write_table(table, tmp_path / "v.parquet")
    columns = {"utterance": "wer", "embedding": "vec"}
    timbral.import_embeddings(tmp_path / "v.parquet", tmp_path / "out", columns=columns)
    assert read_embeddings(tmp_path / "out")["utterance"].to_pylist() == NAMES
    expected = {"utterance": r"no column 'vecs'; did you mean 'vec'", "x": "'x' is unknown"}
    for wrong, message in expected.items():
        with pytest.raises(ConfigError, match=message):
            timbral.import_embeddings(
                tmp_path / "v.parquet", tmp_path / "o", columns={wrong: "vecs"}
            )


def test_only_its_own_folder_is_written_again(tmp_path: Path) -> None:
    source = npz(tmp_path)
    first = timbral.import_embeddings(source, tmp_path / "out")
    assert timbral.import_embeddings(source, tmp_path / "out") == first
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").touch()
    with pytest.raises(DataError, match="is not empty"):
        timbral.import_embeddings(source, tmp_path / "mine")
    with pytest.raises(DataError, match="they need no import"):
        timbral.import_embeddings(tmp_path / "out", tmp_path / "twice")
