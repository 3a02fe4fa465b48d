"""What is fuzzed: small valid files made on the spot, and timbral's reader of them."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import kaldiio
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import safetensors.numpy
import safetensors.torch
import soundfile
import torch
from pyarrow import feather
from recordings import CONTAINERS, decode_recording, make_recordings, read_structure

from timbral.bulk.embed_job import EmbedJob
from timbral.bulk.known_rows import with_known_rows
from timbral.bulk.shards import Shard, read_shard
from timbral.calibration.calibration import OperatingPoint
from timbral.calibration.calibration_file import read_calibration, write_calibration
from timbral.calibration.conditions import Conditions
from timbral.calibration.known import SHIPPED
from timbral.checkpoints.checkpoint import Checkpoint, find_checkpoint, save_checkpoint
from timbral.checkpoints.conversion import build_converted
from timbral.checkpoints.foreign.registry import read_foreign
from timbral.checkpoints.weights import load_network
from timbral.config.schema import TrainConfig
from timbral.config.yaml import load_config, to_mapping
from timbral.data.lists.export import TABLE, write_list
from timbral.data.manifest import Utterance
from timbral.data.manifest_reader import read_manifest
from timbral.data.prepared.mels import read_mel
from timbral.data.prepared.open import open_prepared
from timbral.data.prepared.prepare import prepare
from timbral.data.sources import find_utterances
from timbral.data.speakers import read_speakers
from timbral.embeddings.aggregate import speaker_table
from timbral.embeddings.audit.findings import SCHEMA, audit, notes
from timbral.embeddings.audit.findings_file import read_findings
from timbral.embeddings.formats.kaldi_ark import write_ark
from timbral.embeddings.importing import import_embeddings
from timbral.embeddings.named_vectors import read_vectors
from timbral.embeddings.table import read_embeddings, utterance_schema, vectors_of, write_parquet
from timbral.encoders.lstm import LstmConfig, LstmEncoder
from timbral.evaluation.evaluation_job import EvaluationJob
from timbral.inference.decision import PairScore, Question, decide
from timbral.io.files import write_json
from timbral.io.outputs import claim_file
from timbral.io.storage import Folder
from timbral.scoring.score_file import read_scores
from timbral.scoring.trial_list import read_trial_list
from timbral.scoring.trials import read_trials
from timbral.training.identity import DataIdentity, RunIdentity
from timbral.training.run_folder import load_state
from timbral.training.state import TrainState

GOLDEN = Path(__file__).parents[1] / "golden"
CONFIG = TrainConfig(encoder=LstmConfig(1, 8, 6))
DATA = DataIdentity("3 utterances", "0 utterances", {"trim": "none"}, "fp32")


@dataclass(frozen=True)
class Target:
    """A file, how it is changed, and who reads it."""

    make: Callable[[Path], None]
    """valid files into a folder"""
    changed: str
    """the one that is changed"""
    mutation: str
    """in `mutate.MUTATIONS`"""
    read: Callable[[Path], object]
    """reads the folder; may raise a TimbralError and nothing else"""
    is_ours: bool = True
    """parsed by timbral's own code and Python's; else by a library in C++, which a changed file
    may crash, so that `make fuzz` alone runs it"""


def make_checkpoint(folder: Path) -> None:
    torch.manual_seed(0)
    state = TrainState.new(CONFIG, LstmEncoder(CONFIG.encoder), _loss(), torch.device("cpu"))
    sum(parameter.sum() for parameter in state.encoder.parameters()).backward()
    state.optimizer.step()
    checkpoint = Checkpoint(folder, 4, CONFIG, _preprocessing(), state.numbers(), name="tiny")
    save_checkpoint(checkpoint, state.modules(), state.optimizer)


def read_checkpoint(folder: Path) -> None:
    checkpoint = find_checkpoint(folder)
    assert isinstance(checkpoint.validation_threshold, float | None)
    network = load_network(checkpoint)
    with torch.inference_mode():
        network(torch.zeros(1, 16_000), torch.tensor([16_000]))


def resume_checkpoint(folder: Path) -> None:
    state = TrainState.new(CONFIG, LstmEncoder(CONFIG.encoder), _loss(), torch.device("cpu"))
    load_state(Checkpoint.read(folder), state)
    state.numbers()
    sum(parameter.sum() for parameter in state.encoder.parameters()).backward()
    state.optimizer.step()
    assert all(parameter.isfinite().all() for parameter in state.parameters)


def make_run(folder: Path) -> None:
    RunIdentity.of(CONFIG, DATA).write(folder / "run.json")


def read_run(folder: Path) -> None:
    identity = RunIdentity.read(folder / "run.json")
    identity.data.same_utterances(DATA)
    identity.check_same(RunIdentity.of(CONFIG, DATA), folder, has_checkpoint=True)


JOB = EmbedJob("0f" * 32, {"trim": "none"}, [160, 80, 0.75], "fp32", "/corpus")


def make_job(folder: Path) -> None:
    (folder / "job.json").write_bytes(JOB.as_json())


def read_job(folder: Path) -> None:
    job = EmbedJob.of_folder(Folder(folder))
    assert job is not None
    job.differing_words(JOB)


def make_corpus(folder: Path) -> list[Utterance]:
    """Two speakers of two recordings each, of noise."""
    random = np.random.default_rng(0)
    utterances = []
    for speaker in ("ann", "bob"):
        (folder / "corpus" / speaker).mkdir(parents=True)
        for number in range(2):
            path = folder / "corpus" / speaker / f"{number}.wav"
            soundfile.write(path, 0.1 * random.standard_normal(8_000), 16_000)
            name = f"{speaker}/{number}"
            utterances.append(Utterance(name, speaker, "s1", str(path), "folder"))
    return utterances


def make_store(folder: Path) -> None:
    make_corpus(folder)
    prepare(folder / "corpus", folder / "store")


def read_store(folder: Path) -> None:
    data = open_prepared(folder / "store")
    find_utterances(folder / "store")
    data.embed(_Vectors(), range(len(data)))


def prepare_again(folder: Path) -> None:
    prepare(folder / "corpus", folder / "store")


class _Vectors:
    """Takes waves and mels in the place of an encoder."""

    def encode_preprocessed(self, waves: list[np.ndarray]) -> np.ndarray:
        return np.stack([np.resize(wave, 4) for wave in waves])

    encode_mels = encode_preprocessed


def vector_table() -> pa.Table:
    random = np.random.default_rng(0)
    count, size = 12, 4
    names = [f"{speaker}/{number}" for speaker in "abc" for number in range(4)]
    vectors = random.standard_normal((count, size)).astype(np.float32)
    columns = {
        "utterance": names,
        "speaker": [name[0] for name in names],
        "session": ["s1", "s2"] * 6,
        "path": [f"/corpus/{name}.wav" for name in names],
        "duration_seconds": random.uniform(1, 5, count).tolist(),
        "embedding": pa.FixedSizeListArray.from_arrays(vectors.ravel(), size),
        "encoder": ["tiny"] * count,
        "weights_sha256": ["0f"] * count,
        "license": [""] * count,
    }
    return pa.table(columns, utterance_schema(size))


def make_vectors(folder: Path) -> None:
    write_parquet(vector_table(), folder / "utterances.parquet")


def read_vector_table(folder: Path) -> None:
    table = read_embeddings(folder)
    for aggregate in ("mean", "duration-weighted", "trimmed"):
        vectors = speaker_table(table, aggregate, group_by="session")["embedding"].combine_chunks()
        assert np.isfinite(np.asarray(vectors.flatten())).all()
    audit(table)


def make_findings(folder: Path) -> None:
    rows = [
        {"kind": kind, "probability": 0.5, "utterance": "a/1", "speaker": "a", "path": "/a/1.wav"}
        for kind in ("mislabeled", "same-speaker", "mixed-speaker", "duplicate")
    ]
    write_parquet(pa.Table.from_pylist(rows, SCHEMA), folder / "audit.parquet")


def read_notes(folder: Path) -> None:
    notes(read_findings(folder / "audit.parquet"), ["a/1", "b/1"], ["a", "b"])


def make_named_vectors(folder: Path) -> None:
    table = vector_table()
    rows = dict(zip(table["utterance"].to_pylist(), vectors_of(table), strict=True))
    np.savez(folder / "vectors.npz", **rows)
    safetensors.numpy.save_file(rows, folder / "tensors.safetensors")
    write_ark(folder / "xvector", list(rows), vectors_of(table))


def read_named_vectors(name: str) -> Callable[[Path], object]:
    def read(folder: Path) -> None:
        found = read_vectors(folder / name)
        assert np.isfinite(found.vectors).all()
        found.rows_of(found.names)

    return read


def make_foreign_vectors(folder: Path) -> None:
    table = vector_table()
    rows = dict(zip(table["utterance"].to_pylist(), vectors_of(table), strict=True))
    (folder / "v.pkl").write_bytes(pickle.dumps(rows, 5))
    (folder / "v.json").write_text(json.dumps({n: v.tolist() for n, v in rows.items()}))
    torch.save({name: row.tolist() for name, row in rows.items()}, folder / "utt2embedding.pt")
    text = "".join(
        f"{name} [ {' '.join(map(repr, row.tolist()))} ]\n" for name, row in rows.items()
    )
    (folder / "text.ark").write_text(text)
    lines = [f'{name},s,"{row.tolist()}"\n' for name, row in rows.items()]
    (folder / "v.csv").write_text("utt,spk,emb\n" + "".join(lines))
    (folder / "text.txt").write_text(re.sub(r"[\[\]]", "", text))
    records = [{"utt": name, "emb": row.tolist()} for name, row in rows.items()]
    (folder / "v.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    feather.write_feather(pa.Table.from_pylist(records), folder / "v.feather")
    with kaldiio.WriteHelper(f"ark:{folder}/compressed.ark", compression_method=2) as writer:
        for name, row in rows.items():
            writer(name, row[None])


def import_vectors(name: str) -> Callable[[Path], object]:
    def read(folder: Path) -> None:
        shutil.rmtree(folder / "out", ignore_errors=True)
        import_embeddings(folder / name, folder / "out")
        assert np.isfinite(vectors_of(read_embeddings(folder / "out"))).all()

    return read


SHARD = Shard(0, [Utterance("a/1", "a", "", "/corpus/a/1.wav", "folder")])


def make_shard(folder: Path) -> None:
    schema = vector_table().schema.with_metadata(
        {"recordings": SHARD.fingerprint(), "failures": "[]", "failed_rows": "[]"}
    )
    with pa.ipc.new_file(folder / SHARD.file_name, schema) as writer:
        writer.write_table(vector_table().cast(schema))


def read_shards(folder: Path) -> None:
    if SHARD.saved_failures(Folder(folder)) is not None:
        read_shard(Folder(folder), SHARD)


def reuse_shard(folder: Path) -> None:
    [shard] = with_known_rows([SHARD], Folder(folder))
    assert all(np.isfinite(row.vector).all() for row in shard.known.values())


def lstm_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return LstmEncoder(CONFIG.encoder).state_dict()


def make_weights(folder: Path) -> None:
    state = lstm_state()
    torch.save({"model_state": state, "step": 3}, folder / "archive.pt")
    legacy = {"_use_new_zipfile_serialization": False}
    torch.save({"state_dict": state, "step": 3}, folder / "legacy.pt", **legacy)
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    arrays["linear.weight"] = arrays["linear.weight"].T.copy()  # as Paddle has it
    (folder / "step-3.pdparams").write_bytes(pickle.dumps(arrays, 4))
    safetensors.torch.save_file(state, folder / "model.safetensors")


def read_weights(name: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        build_converted(read_foreign(folder / name))

    return read


def make_wavlm(folder: Path) -> None:
    shutil.copytree(GOLDEN / "wavlm-base-tiny", folder / "wavlm")


def make_lists(folder: Path) -> None:
    make_corpus(folder)
    utterances = find_utterances(folder / "corpus")
    for name in ("kaldi", "lhotse"):
        (folder / name).mkdir()
        write_list(utterances, folder / name, name)
    segments = [f"{row.utterance} {row.utterance} 0.0 0.2\n" for row in utterances]
    (folder / "kaldi" / "segments").write_text("".join(segments), "utf-8")
    for path in (folder / "lhotse").glob("*.jsonl.gz"):
        rows = [json.dumps(row) for row in _lhotse_rows(path)]
        path.with_suffix("").write_text("\n".join(rows) + "\n", "utf-8")
        path.unlink()
    for name in ("csv", "tsv", "jsonl", "parquet"):
        write_list(utterances, folder / f"table.{name}", name)
    trials = [f"{row % 2} ann/{row}.wav bob/{row % 3}.wav\n" for row in range(8)]
    (folder / "trials.txt").write_text("".join(trials), "utf-8")
    (folder / "speakers.txt").write_text("ann\nbob\n", "utf-8")


def make_scores(folder: Path) -> None:
    lines = [f"0.{row}5 {row % 2} ann/{row}.wav bob/{row % 3}.wav\n" for row in range(8)]
    (folder / "scores.txt").write_text("".join(lines), "utf-8")


def _lhotse_rows(path: Path) -> list[object]:
    import gzip

    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def read_layout(layout: str) -> Callable[[Path], object]:
    return lambda folder: list(find_utterances(folder / layout, layout))


def read_table(suffix: str) -> Callable[[Path], object]:
    return lambda folder: list(read_manifest(folder / f"table.{suffix}"))


def claim(name: str) -> Callable[[Path], object]:
    return lambda folder: claim_file(folder / name, TABLE)


def make_mel(folder: Path) -> None:
    np.save(folder / "a.npy", np.ones((20, 40), np.float32))


def make_evaluation(folder: Path) -> None:
    write_json(
        folder / ".evaluation" / "job.json",
        asdict(EvaluationJob("0f", "1f", "fp32", "2f", "/", "")),
    )


def make_calibration(folder: Path) -> None:
    rates = (0.1, 0.2, 0.3, 0.4)
    published = replace(
        read_calibration(SHIPPED / "campplus-zh-en.json"),
        points=tuple(OperatingPoint(llr, *rates) for llr in (-1.0, 2.0)),
    )
    write_calibration(folder / "calibration.json", published)


def read_and_decide(folder: Path) -> None:
    calibration = read_calibration(folder / "calibration.json")
    conditions = Conditions(np.array([2.0]), np.array([4000.0]), np.array([10.0]))
    decision = decide(
        PairScore(0.5, 0.5), Question(calibration=calibration), conditions, conditions
    )
    assert np.isfinite([decision.llr, decision.threshold, decision.probability]).all()
    assert decision.why


def make_config(folder: Path) -> None:
    write_json(folder / "config.yaml", to_mapping(CONFIG))


def _loss() -> torch.nn.Module:
    from timbral.losses.registry import build_loss

    return build_loss(CONFIG.loss, 6, 0)


def _preprocessing():
    from timbral.audio.preprocessing import Preprocessing

    return Preprocessing()


TARGETS: dict[str, Target] = {
    "checkpoint.json": Target(make_checkpoint, "checkpoint.json", "json", read_checkpoint),
    "checkpoint.json to resume": Target(
        make_checkpoint, "checkpoint.json", "json", resume_checkpoint
    ),
    "model.safetensors": Target(make_checkpoint, "model.safetensors", "bytes", read_checkpoint),
    "optimizer.safetensors": Target(
        make_checkpoint, "optimizer.safetensors", "bytes", resume_checkpoint
    ),
    "run.json": Target(make_run, "run.json", "json", read_run),
    "config.yaml": Target(
        make_config, "config.yaml", "json", lambda folder: load_config(folder / "config.yaml")
    ),
    "job.json": Target(
        lambda folder: (folder / "job.json").write_bytes(JOB.as_json()),
        "job.json",
        "json",
        read_job,
    ),
    "store.json": Target(make_store, "store/store.json", "json", read_store),
    "store.json prepared again": Target(make_store, "store/store.json", "json", prepare_again),
    "times": Target(make_store, "store/recordings.parquet", "bytes", prepare_again, is_ours=False),
    "times columns": Target(make_store, "store/recordings.parquet", "table", prepare_again),
    "store columns": Target(make_store, "store/utterances.parquet", "table", read_store),
    "plan.json": Target(make_store, "store/plan.json", "json", prepare_again),
    "store table": Target(
        make_store, "store/utterances.parquet", "bytes", read_store, is_ours=False
    ),
    "store shard": Target(
        make_store, "store/shards/00000.arrow", "bytes", read_store, is_ours=False
    ),
    "vectors": Target(
        make_vectors, "utterances.parquet", "bytes", read_vector_table, is_ours=False
    ),
    "vector columns": Target(make_vectors, "utterances.parquet", "table", read_vector_table),
    "findings": Target(make_findings, "audit.parquet", "bytes", read_notes, is_ours=False),
    "finding columns": Target(make_findings, "audit.parquet", "table", read_notes),
    "npz": Target(make_named_vectors, "vectors.npz", "bytes", read_named_vectors("vectors.npz")),
    "named tensors": Target(
        make_named_vectors,
        "tensors.safetensors",
        "bytes",
        read_named_vectors("tensors.safetensors"),
    ),
    "ark": Target(make_named_vectors, "xvector.ark", "bytes", read_named_vectors("xvector.ark")),
    "scp": Target(make_named_vectors, "xvector.scp", "lines", read_named_vectors("xvector.scp")),
    "scp of a changed ark": Target(
        make_named_vectors, "xvector.ark", "bytes", read_named_vectors("xvector.scp")
    ),
    **{
        f"import of {name}": Target(
            make_foreign_vectors,
            name,
            mutation,
            import_vectors(name),
            is_ours=not name.endswith((".pt", ".feather")),
        )
        for name, mutation in {
            "v.pkl": "bytes",
            "v.json": "json",
            "text.ark": "bytes",
            "text.txt": "lines",
            "v.jsonl": "lines",
            "v.feather": "bytes",
            "compressed.ark": "bytes",
            "v.csv": "lines",
            "utt2embedding.pt": "bytes",
        }.items()
    },
    "stale shard": Target(make_shard, SHARD.file_name, "bytes", reuse_shard, is_ours=False),
    "embed shard": Target(make_shard, SHARD.file_name, "bytes", read_shards, is_ours=False),
    "arrays": Target(make_weights, "step-3.pdparams", "bytes", read_weights("step-3.pdparams")),
    "archive": Target(
        make_weights, "archive.pt", "bytes", read_weights("archive.pt"), is_ours=False
    ),
    "legacy": Target(make_weights, "legacy.pt", "bytes", read_weights("legacy.pt"), is_ours=False),
    "safetensors": Target(
        make_weights, "model.safetensors", "bytes", read_weights("model.safetensors")
    ),
    "wavlm config": Target(make_wavlm, "wavlm/config.json", "json", read_weights("wavlm")),
    "wav.scp": Target(make_lists, "kaldi/wav.scp", "lines", read_layout("kaldi")),
    "utt2spk": Target(make_lists, "kaldi/utt2spk", "lines", read_layout("kaldi")),
    "segments": Target(make_lists, "kaldi/segments", "lines", read_layout("kaldi")),
    "recordings": Target(
        make_lists, "lhotse/recordings.jsonl", "json-lines", read_layout("lhotse")
    ),
    "supervisions": Target(
        make_lists, "lhotse/supervisions.jsonl", "json-lines", read_layout("lhotse")
    ),
    "csv": Target(make_lists, "table.csv", "lines", read_table("csv")),
    "tsv": Target(make_lists, "table.tsv", "lines", read_table("tsv")),
    "jsonl": Target(make_lists, "table.jsonl", "json-lines", read_table("jsonl")),
    "parquet": Target(make_lists, "table.parquet", "bytes", read_table("parquet"), is_ours=False),
    "parquet columns": Target(make_lists, "table.parquet", "table", read_table("parquet")),
    "trials": Target(
        make_lists, "trials.txt", "lines", lambda folder: read_trials(folder / "trials.txt")
    ),
    "trial list": Target(
        make_lists, "trials.txt", "lines", lambda folder: read_trial_list(folder / "trials.txt")
    ),
    "scores": Target(
        make_scores, "scores.txt", "lines", lambda folder: read_scores(folder / "scores.txt")
    ),
    "speakers": Target(
        make_lists, "speakers.txt", "lines", lambda folder: read_speakers(folder / "speakers.txt")
    ),
    "output": Target(make_lists, "table.csv", "lines", claim("table.csv")),
    "output of JSON": Target(make_lists, "table.jsonl", "json-lines", claim("table.jsonl")),
    "mel": Target(make_mel, "a.npy", "bytes", lambda folder: read_mel(folder / "a.npy")),
    "calibration": Target(make_calibration, "calibration.json", "json", read_and_decide),
    "evaluation": Target(make_evaluation, ".evaluation/job.json", "json", EvaluationJob.of_folder),
    **{
        f"{name} structure": Target(make_recordings, name, "bytes", read_structure(name))
        for name in (*CONTAINERS, "m4a")
    },
    **{
        f"{name} recording": Target(
            make_recordings, name, "bytes", decode_recording(name), is_ours=False
        )
        for name in CONTAINERS
    },
}
