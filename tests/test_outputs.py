"""A verb writes to what is new, empty or its own: never over its input or anything else."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import SMALL, Ask
from timbral import api
from timbral.audio.preprocessing import Preprocessing
from timbral.data.lists.export import claim_list
from timbral.data.prepared.store import Store
from timbral.encoders.registry import ENCODERS
from timbral.errors import ConfigError, DataError, TimbralError
from timbral.evaluation.evaluation_job import EvaluationJob, claim_evaluation, folder_for
from timbral.inference.embedder import Embedder
from timbral.io.outputs import PREPARED, claim_file, claim_folder
from timbral.plots.png_figure import PLOT
from timbral.reports.voice_map import MAP_PAGE


@pytest.fixture(scope="module")
def embedded(embedder: Embedder, voices: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outputs") / "embedded"
    api.embed(embedder, voices, folder)
    return folder


@pytest.fixture
def data(store: Store, tmp_path: Path) -> Path:
    return Path(shutil.copytree(store.folder, tmp_path / "data"))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def refused(folder: Path, call: Callable[[], object], match: str) -> None:
    """The call is refused, and nothing below `folder` is another."""
    before = contents(folder)
    with pytest.raises(TimbralError, match=match) as raised:
        call()
    assert "output" in str(raised.value)
    assert contents(folder) == before


@pytest.mark.parametrize("format", ["parquet", "npy", "torch"])
def test_embed_leaves_prepared_data_alone(embedder: Embedder, data: Path, format: str) -> None:
    refused(data, lambda: api.embed(embedder, data, data, format=format), "contains prepared data")


def test_embed_refuses_a_folder_that_it_did_not_make(
    embedder: Embedder, voices: Path, run: Path, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("words")
    for format in ("parquet", "npy"):
        refused(
            tmp_path,
            lambda: api.embed(embedder, voices, tmp_path, format=format),  # noqa: B023
            r"is not empty \(it has 'thesis.txt'\)",
        )
    refused(run, lambda: api.embed(embedder, voices, run), "contains a training run")
    corpus = Path(shutil.copytree(voices, tmp_path / "corpus"))
    refused(corpus, lambda: api.embed(embedder, corpus, corpus), "is not empty")


def test_training_refuses_a_folder_that_it_did_not_make(
    data: Path, tmp_path: Path, small_config: Callable[..., api.TrainConfig]
) -> None:
    config = small_config()
    refused(data, lambda: api.train(config, data, data, device="cpu"), "contains prepared data")
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "train.log").write_text("the terminal's log may lie there")
    (tmp_path / "output" / "config.yaml").write_text("mine")
    refused(
        tmp_path / "output",
        lambda: api.train(config, data, tmp_path / "output", device="cpu"),
        "it has 'config.yaml'",
    )


def test_encoders_are_not_written_over_encoders_in_training(run: Path) -> None:
    checkpoint = run / "checkpoints" / "step-4"
    other = run / "checkpoints" / "step-2"
    refused(
        run,
        lambda: api.average([checkpoint, other], checkpoint),
        "contains a checkpoint of a training run",
    )


def test_an_average_is_not_written_over_its_input(embedder: Embedder, tmp_path: Path) -> None:
    embedder.save(tmp_path / "a")
    embedder.save(tmp_path / "b")
    refused(
        tmp_path,
        lambda: api.average([tmp_path / "a", tmp_path / "b"], tmp_path / "a"),
        "is one of the inputs",
    )
    api.average([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    api.average([tmp_path / "a", tmp_path / "b"], tmp_path / "c")


def test_tables_are_not_written_over_their_input(embedded: Path) -> None:
    table = embedded / "utterances.parquet"
    for source in (embedded, table):
        refused(embedded, lambda: api.speakers(source, table), "overwritten")  # noqa: B023
        refused(embedded, lambda: api.audit(source, table), "overwritten")  # noqa: B023
        refused(embedded, lambda: api.map(source, table), "overwritten")  # noqa: B023
        refused(embedded, lambda: api.inspect(source, output=table), "overwritten")  # noqa: B023
        refused(embedded, lambda: api.export_list(table, table), "overwritten")


def test_tables_are_written_over_those_of_their_kind_only(embedded: Path, tmp_path: Path) -> None:
    table = tmp_path / "speakers.parquet"
    table.touch()  # of mktemp
    api.speakers(embedded, table)
    api.speakers(embedded, table, "medoid")
    api.audit(embedded, tmp_path / "audit.parquet")
    api.audit(embedded, tmp_path / "audit.parquet")
    refused(tmp_path, lambda: api.audit(embedded, table), "is not a table of findings")
    other = tmp_path / "audit.parquet"
    refused(tmp_path, lambda: api.speakers(embedded, other), "is not a table of speakers")
    (tmp_path / "audit.csv").write_text("name,amount\n")
    refused(tmp_path, lambda: api.audit(embedded, other), "audit.csv: exists and is not")


def test_outputs_without_a_name_or_of_another_kind(embedded: Path, tmp_path: Path) -> None:
    root = Path("/")
    with pytest.raises(DataError, match=r"/: is not empty|/: cannot be created"):
        claim_folder(root, PREPARED)
    with pytest.raises(DataError, match=r"/: is a folder"):
        claim_file(root, MAP_PAGE)
    for folder in (".", "/"):
        with pytest.raises(DataError, match="is a folder"):
            api.audit(embedded, folder)
    with pytest.raises(ConfigError, match=r"as Parquet, so its name must end in \.parquet"):
        api.speakers(embedded, tmp_path / "voices.csv")


@pytest.mark.parametrize("format", ["parquet", "csv", "tsv", "jsonl"])
def test_lists_are_written_over_lists_only(voices: Path, tmp_path: Path, format: str) -> None:
    table = tmp_path / f"list.{format}"
    for _ in range(2):
        api.export_list(voices, table, format=format)
    refused(
        tmp_path,
        lambda: api.export_list(table, table, format=format),
        "is one of the inputs",
    )
    link = tmp_path / f"link.{format}"
    link.symlink_to(table)
    refused(
        tmp_path,
        lambda: api.export_list(link, table, format=format),
        "is one of the inputs",
    )
    table.write_text("name,amount\nx,1\n")
    refused(
        tmp_path,
        lambda: api.export_list(voices, table, format=format),
        "is not a list of utterances",
    )


@pytest.mark.parametrize("format", ["kaldi", "lhotse"])
def test_folders_of_lists(voices: Path, tmp_path: Path, format: str) -> None:
    folder = tmp_path / "list"
    for _ in range(2):
        api.export_list(voices, folder, format=format)
    refused(
        tmp_path,
        lambda: api.export_list(folder, folder, format=format, layout=format),
        "is one of the inputs",
    )
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "wav.scp").write_text("a /a.wav\n")
    with pytest.raises(DataError, match=r"it has 'wav\.scp'"):
        claim_list(tmp_path / "theirs", format, [voices])


def test_pages_and_plots(embedded: Path, voices: Path, tmp_path: Path) -> None:
    for _ in range(2):
        api.map(embedded, tmp_path / "map.html")
        api.inspect(voices, output=tmp_path / "page.html")
    refused(tmp_path, lambda: api.map(embedded, tmp_path / "page.html"), "is not a page that `map`")
    refused(
        tmp_path,
        lambda: api.inspect(voices, output=tmp_path / "map.html"),
        "is not a page that `inspect`",
    )
    (tmp_path / "holiday.png").write_bytes(b"\x89PNG a photograph")
    refused(tmp_path, lambda: api.map(embedded, tmp_path / "holiday.html"), "holiday.png: exists")
    assert PLOT.is_in(tmp_path / "map.png")


def test_evaluate_leaves_the_scores_of_other_weights(
    embedder: Embedder, voices: Path, tmp_path: Path
) -> None:
    names = [str(path.relative_to(voices)) for path in sorted(voices.glob("*/*.ogg"))]
    trials = tmp_path / "trials.txt"
    trials.write_text(f"1 {names[0]} {names[1]}\n0 {names[0]} {names[-1]}\n")
    for _ in range(2):
        api.evaluate(embedder, trials, voices, tmp_path / "out")
    other = Embedder(embedder.network, embedder.preprocessing, weights_sha256="other weights")
    refused(
        tmp_path,
        lambda: api.evaluate(other, trials, voices, tmp_path / "out"),
        "contains the scores of other weights",
    )
    refused(tmp_path, lambda: api.evaluate(other, trials, voices, tmp_path), "is not empty")


def test_evaluate_leaves_the_scores_of_another_list(
    embedder: Embedder, voices: Path, tmp_path: Path
) -> None:
    """Of the same weights: another list, other recordings, another precision."""
    first, second, *_, other, last = (str(p.relative_to(voices)) for p in voices.glob("*/*"))
    trials, out = tmp_path / "trials.txt", tmp_path / "out"
    trials.write_text(f"1 {first} {second}\n0 {first} {other}\n")
    api.evaluate(embedder, trials, voices, out)
    shutil.copytree(voices, tmp_path / "noisy")
    shutil.copy(voices / second, tmp_path / "noisy" / first)
    refused(
        out,
        lambda: api.evaluate(embedder, trials, tmp_path / "noisy", out),
        "other recordings, of another corpus",
    )
    louder = embedder.with_inference(Preprocessing(min_rms_dbfs=-20.0))
    refused(out, lambda: api.evaluate(louder, trials, voices, out), "with other preprocessing")
    trials.write_text(f"1 {first} {second}\n0 {first} {last}\n")
    refused(out, lambda: api.evaluate(embedder, trials, voices, out), "another list of trials")


def test_unsaved_networks_are_told_apart(voices: Path, tmp_path: Path) -> None:
    """They have no file whose hash could tell; vectors of one are not those of another."""
    first, second, *_, other = (str(p.relative_to(voices)) for p in sorted(voices.glob("*/*")))
    (tmp_path / "t.txt").write_text(f"1 {first} {second}\n0 {first} {other}\n")
    one, another = (Embedder(ENCODERS["tdnn"](SMALL["tdnn"])) for _ in range(2))
    for _ in range(2):
        api.evaluate(one, tmp_path / "t.txt", voices, tmp_path / "scores")
        api.embed(one, voices, tmp_path / "vectors", pattern="*_00.ogg")
    assert one.weights_sha256 == another.weights_sha256 == ""
    refused(
        tmp_path,
        lambda: api.evaluate(another, tmp_path / "t.txt", voices, tmp_path / "scores"),
        "scores of other weights",
    )
    refused(
        tmp_path,
        lambda: api.embed(another, voices, tmp_path / "vectors", pattern="*_00.ogg"),
        "of another encoder",
    )


def test_default_folder_of_other_scores(tmp_path: Path) -> None:
    job = EvaluationJob("a" * 64, "0", "fp32", "0", "/corpus", "")
    folder = tmp_path / "trials"
    assert folder_for(job, folder) == folder
    claim_evaluation(folder, job)
    assert folder_for(job, folder) == folder
    assert folder_for(replace(job, weights_sha256="b" * 64), folder).name == "trials-bbbbbbbb"
    other_list = replace(job, trials_sha256="1")
    assert folder_for(other_list, folder).name == f"trials-{other_list.digest[:8]}"


def test_damaged_job_of_an_evaluation(tmp_path: Path) -> None:
    claim_evaluation(tmp_path, EvaluationJob("a", "b", "fp32", "c", "d", ""))
    path = tmp_path / ".evaluation" / "job.json"
    for content in ("[]", "{", '{"root": "/"}', path.read_text().replace('"a"', "1")):
        path.write_text(content)
        with pytest.raises(DataError, match=r"job\.json: "):
            EvaluationJob.of_folder(tmp_path)


@pytest.mark.parametrize("claim", [claim_folder, claim_file])
def test_output_below_a_file_is_refused_before_the_work(
    claim: Callable[..., None], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    kind = PREPARED if claim is claim_folder else MAP_PAGE
    with pytest.raises(
        DataError, match=r"x: cannot be created, because .*/file is a file; choose another"
    ):
        claim(tmp_path / "file" / "deeper" / "x", kind)


def test_refusals_of_the_system_name_what_was_asked_for(ask: Ask, voices: Path) -> None:
    """And no temporary file or number. Nobody can write in /proc, root included."""
    answer = ask("export-list", voices, "--format", "csv", "--output", "/proc/list.csv")
    assert answer.code == 2
    assert re.fullmatch(r"error: /proc/list\.csv: cannot be (written|made).*\n", answer.err)
    answer = ask("export-list", voices, "--format", "csv", "--output", 300 * "x")
    assert answer.err == f"error: {300 * 'x'}: File name too long\n"
