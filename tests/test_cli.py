"""The verbs as a user types them: output, exit codes, no tracebacks."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import soundfile

from conftest import Answer, Ask, timbral, without_progress
from timbral.checkpoints.known_names import PUBLISHED_NAMES
from timbral.checkpoints.published import PUBLISHED
from timbral.cli import long_recordings
from timbral.cli.long_recordings import announce_length
from timbral.cli.verb_table import STAGES, VERBS, load_verb
from timbral.cli.verbs import evaluate
from timbral.cli.wording import count, name_flags
from timbral.data.prepared.store import Store
from timbral.io.durations import duration, too_short
from timbral.version import __version__


def test_help_names_every_verb(ask: Ask) -> None:
    answer = ask("--help")
    assert (answer.code, answer.err) == (0, "")
    for stage, verbs in STAGES.items():
        assert f"\n{stage}\n" in answer.out
        for name, summary in verbs.items():
            assert f"  {name} " in answer.out
            assert summary.rstrip(".") in answer.out
    assert "--version" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80
    assert ask("--version").out == ask("-V").out == f"timbral {__version__}\n"


def test_top_level_help_imports_no_verb() -> None:
    """So it needs a tenth of a second; a verb's own help needs no torch."""
    code = "import sys, timbral.cli.main; print('tyro' in sys.modules, 'numpy' in sys.modules)"
    assert python(code) == "False False\n"
    code = (
        "import sys; from timbral.cli.verb_table import VERBS, load_verb; "
        "registries = {'embed', 'export-list', 'prepare'}; "  # these name the formats
        "[load_verb(name) for name in VERBS if name not in registries]; "
        "print(*sorted({'torch', 'pyarrow', 'numpy', 'yaml'} & sys.modules.keys())); "
        "[load_verb(name) for name in registries]; "
        "print(*sorted({'torch', 'yaml'} & sys.modules.keys()))"
    )
    assert python(code) == "\n\n"


def python(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb(verb: str, ask: Ask) -> None:
    answer = ask(verb, "--help")
    assert (answer.code, answer.err) == (0, "")
    text = answer.out
    assert text.startswith(f"usage: timbral {verb} [-h]")
    assert f"\n{VERBS[verb]}\n" in text
    assert f"\nexample: timbral {verb}" in text
    assert "None" not in text


def test_help_after_other_words_is_the_same(ask: Ask) -> None:
    text = ask("evaluate", "--help").out
    assert ask("evaluate", "campplus", "trials.txt", "--draws", "3", "--help").out == text
    assert "ENCODER TRIALS" in text


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_has_a_help_text(verb: str) -> None:
    for name, annotation in options_of(load_verb(verb)).items():
        assert any(getattr(item, "help", None) for item in annotation.__metadata__), name


def options_of(function: object) -> dict[str, Any]:
    """Annotations of a verb's options, those of its groups too."""
    hints = get_type_hints(function, include_extras=True)
    hints.pop("return", None)
    found = {}
    for name, annotation in hints.items():
        make = getattr(annotation.__metadata__[-1], "constructor_factory", None)
        group = make() if make else annotation.__origin__
        found |= options_of(group) if dataclasses.is_dataclass(group) else {name: annotation}
    return found


def test_completion_knows_all_verbs(ask: Ask) -> None:
    script = ask("--tyro-print-completion", "bash").out
    assert all(verb in script for verb in VERBS)


def test_closed_pipe_ends_quietly() -> None:
    """As in `timbral configs | head -1`: no message."""
    command = [sys.executable, "-m", "timbral", "configs", "lstm-ge2e"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0


def test_counts_have_singular_and_plural() -> None:
    assert count(1, "speaker") == "1 speaker"
    assert count(2000, "speaker") == "2,000 speakers"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (12.34, "12.3 s"), (270, "4.5 min"), (2520, "0.70 h"), (7.2e6, "2,000.00 h")],
)
def test_durations_have_a_unit_that_shows_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_what_is_below_a_limit_is_not_shown_as_the_limit() -> None:
    assert [too_short(each) for each in (1.96, 1.9, 0.3, 2.3, 0.04)] == [
        *("1.9 s", "1.9 s", "0.3 s", "2.3 s", "0.0 s")
    ]


def test_messages_of_the_library_name_flags() -> None:
    message = "`weights_dir` goes with `device`, not with `nothing`"
    expected = "--weights-dir goes with --device, not with `nothing`"
    assert name_flags(message, "embed") == expected
    assert name_flags(message, "corpora") == message
    assert name_flags(message, "") == message


def test_interrupted(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> dict[str, str]:
        raise KeyboardInterrupt

    monkeypatch.setattr("timbral.config.named.describe_configs", interrupt)
    assert ask("configs") == Answer(130, "", "interrupted; what is finished is kept\n")


def test_dash_is_standard_input_and_output(
    ask: Ask, run: Path, voices: Path, tmp_path: Path
) -> None:
    listed = ask("export-list", voices, "--format", "csv", "--output", "-")
    assert listed.out.splitlines()[0].startswith('"utterance","speaker"')
    assert len(listed.out.splitlines()) == 49
    assert listed.err == "48 utterances in standard output\n"
    refused = ask("export-list", voices, "--output", "-")
    assert refused.code == 2
    assert "--format parquet cannot go to standard output" in refused.err
    first, second, third = (path.relative_to(voices) for path in sorted(voices.glob("*/*"))[4:7])
    trials = f"1 {first} {second}\n0 {first} {third}\n"
    words = ["evaluate", run, "-", "--root", voices, "--output", tmp_path / "e"]
    scored = ask(*words, standard_input=trials)
    assert scored.code == 0, scored.err
    written = f"scores: {tmp_path}/e/scores.txt\nreport: {tmp_path}/e/report.html\n"
    assert scored.out.startswith(f"{written}EER ")
    assert f"<h1>{run} on standard input</h1>" in (tmp_path / "e" / "report.html").read_text()
    result = json.loads((tmp_path / "e" / "evaluation.json").read_text())
    assert result["trial_list"] == "standard input"
    refused = ask(*words, standard_input="1 a b c\n")
    assert refused.err.startswith("error: standard input:1: a trial should be")


def test_evaluation_folder_follows_from_encoder_and_trials(tmp_path: Path) -> None:
    run_folder = tmp_path / "run"
    (run_folder / "checkpoints" / "step-2").mkdir(parents=True)
    for encoder in (run_folder, run_folder / "checkpoints" / "step-2"):
        assert evaluate._home(str(encoder)) == run_folder / "evaluation"
    assert evaluate._home("campplus-zh-en") == Path("evaluation/campplus-zh-en")


def test_configs_are_listed_and_shown(ask: Ask) -> None:
    listed = ask("configs").out.splitlines()
    assert "tdnn-ge2e-small" in [line.split()[0] for line in listed]
    assert max(map(len, listed)) <= 100
    assert "loss: ge2e\n" in ask("configs", "tdnn-ge2e-small").out
    unknown = ask("configs", "tdnn-ge2e")
    assert unknown.code == 2
    assert "did you mean 'tdnn-ge2e-small'" in unknown.err


@pytest.mark.slow
def test_train_embed_and_evaluate(voices: Path, tmp_path: Path) -> None:
    data, run, out = tmp_path / "data", tmp_path / "run", tmp_path / "out"
    prepared = timbral("prepare", voices, "--output", data)
    assert prepared.returncode == 0, prepared.stderr
    assert "prepared: 48 utterances of 8 speakers" in prepared.stdout
    config = tmp_path / "c.yaml"
    config.write_text("encoder: {name: tdnn, channels: 16}\ndata: {speakers_per_batch: 4}\n")
    train = ["train", config, "--data", data, "--output", run, "--validation-speakers", 2]
    trained = timbral(*train, "--opts", "schedule.steps", 2, "data.utterances_per_speaker", 3)
    assert trained.returncode == 0, trained.stderr
    assert without_progress(trained.stderr) == ""
    assert "best validation EER" in trained.stdout

    files = sorted(voices.glob("*/*.ogg"))
    same = timbral("verify", run, files[0], files[0], "--threshold", "0.5")
    assert same.stdout == "cosine 1.000\nsame speaker (threshold 0.500)\n"
    other = timbral("verify", run, files[0], files[-1])
    assert other.returncode == 0
    assert "speaker" in other.stdout

    embedded = timbral("embed", run, voices, "--output", out)
    assert embedded.returncode == 0, embedded.stderr
    drawn = timbral("map", out, "--output", tmp_path / "map.html")
    assert drawn.returncode == 0, drawn.stderr
    assert (tmp_path / "map.html").stat().st_size > 1_000_000
    assert (tmp_path / "map.png").stat().st_size > 10_000


def mistakes(
    store: Path, run: Path, voices: Path, tmp: Path
) -> dict[str, tuple[list[object], str]]:
    """Command lines that are wrong, and words that their answer must have."""
    (tmp / "bad.yaml").write_text("encoder: lstm\nschedule: {stepz: 3}\n")
    (tmp / "good.yaml").write_text("encoder: lstm\n")
    (tmp / "list.txt").write_text("nobody\n")
    (tmp / "empty").mkdir()
    (tmp / "trials.txt").write_text("1 a.wav b.wav\n0 a.wav c.wav\n")
    recording = sorted(voices.glob("*/*.ogg"))[0]
    to = ["--output", tmp / "d"]
    train = ["train", tmp / "good.yaml", "--data", store, "--output", tmp / "r"]
    return {
        "no source": (["prepare", *to], "give a corpus"),
        "no folder": (["prepare", tmp / "x", *to], "no such folder"),
        "no audio": (["prepare", tmp / "empty", *to], "no audio found"),
        "min_rms_dbfs": (
            ["prepare", voices, *to, "--min-rms-dbfs", "loud"],
            "level in dBFS or none",
        ),
        "unknown key": (["train", tmp / "bad.yaml", *train[2:]], "did you mean 'steps'"),
        "no config": (["train", tmp / "none.yaml", *train[2:]], "cannot be read"),
        "no data": ([*train[:3], tmp / "empty", *train[4:]], "timbral prepare"),
        "speaker list": ([*train, "--exclude-speakers", tmp / "list.txt"], "such as 'nobody'"),
        "too few speakers": (train, "only 8 speakers"),
        "no run": (["verify", tmp / "empty", recording, recording], "holds no checkpoint"),
        "no recording": (["verify", run, recording, tmp / "gone.wav"], "no such file"),
        "folder as recording": (["verify", run, recording, voices], "is a folder"),
        "trials": (
            ["evaluate", run, tmp / "trials.txt", "--output", tmp / "e"],
            "--root should be the folder that the paths of the list are relative to: none of",
        ),
        "page name": (["map", tmp / "empty", "--output", tmp / "map"], "such as map.html"),
        "no vectors": (["map", tmp / "empty", "--output", tmp / "m.html"], "utterances.parquet"),
        "layout": (
            ["embed", run, voices, "--layout", "vctk", "--output", tmp / "o"],
            "no audio found in layout vctk",
        ),
        "file as output": (
            ["embed", run, voices, "--output", tmp / "good.yaml"], "good.yaml",
        ),
        "unknown flag": (["prepare", voices, "--outputt", voices], "--output"),
        "unknown verb": (["embbed"], "did you mean 'embed'"),
        "unknown config": (["train", "tdnn-ge2e", *train[2:]], "did you mean 'tdnn-ge2e-small'"),
        "empty word": (["verify", recording, ""], f"the word after {recording} is empty"),
        "empty option": ([*train[:2], "--data", ""], "the word after --data is empty"),
        "nothing to check": (["check", "--exit-code"], "give one or more recordings"),
        "nobody to identify": (["identify", "g.db", "--exit-code"], "give one or more recordings"),
        "one of a pair": (
            ["gallery", "migrate", "g.db", "--bridge", tmp], "--bridge: takes 2 values, got 1"
        ),
        "no verb": ([], "usage: timbral COMMAND"),
    }  # fmt: skip


def test_mistakes_are_one_line_and_exit_code_2(
    ask: Ask, store: Store, run: Path, voices: Path, tmp_path: Path
) -> None:
    for name, (words, expected) in mistakes(store.folder, run, voices, tmp_path).items():
        answer = ask(*words)
        output = answer.out + answer.err
        assert answer.code == 2, f"{name}: exit code {answer.code}: {output}"
        assert expected in " ".join(output.split()), f"{name}: {output}"
        assert "Traceback" not in output, name


@pytest.mark.parametrize("verb", ["verify", "identify", "check", "similarity"])
def test_a_recording_that_cannot_be_used_is_exit_code_1(
    ask: Ask, run: Path, voices: Path, tmp_path: Path, verb: str
) -> None:
    """Scripts can then tell it from a mistake in their command."""
    recording, bad = sorted(voices.glob("*/*.ogg"))[0], tmp_path / "bad.wav"
    bad.write_bytes(b"no audio at all")
    gallery = tmp_path / "g.db"
    assert ask("enroll", gallery, "one", recording, "--encoder", run, "--force").code == 0
    words = {"verify": [run], "identify": [gallery, "--encoder", run], "check": []}
    words["similarity"] = ["--drift", "--output", tmp_path / "drift", run]
    for option in ([], ["--exit-code"])[: 1 if verb == "similarity" else 2]:
        answer = ask(verb, *words[verb], recording, bad, *option)
        assert answer.code == 1
        assert "bad.wav: cannot be read as audio" in answer.err


@pytest.mark.parametrize("verb", ["verify", "identify", "enroll", "check"])
def test_arguments_that_fit_no_recording_are_exit_code_2(
    ask: Ask, run: Path, voices: Path, tmp_path: Path, verb: str
) -> None:
    """A missing recording, and the second channel of recordings with one."""
    gallery = tmp_path / "g.db"
    first, second, third = sorted(voices.glob("*/*.ogg"))[:3]
    assert ask("enroll", gallery, "one", third, "--encoder", run, "--force").code == 0
    words = {"verify": [run], "identify": [gallery], "enroll": [gallery, "two"], "check": []}[verb]
    answer = ask(verb, *words, first, tmp_path / "gone.wav")
    assert (answer.code, answer.out) == (2, "")
    assert f"error: {tmp_path / 'gone.wav'}: no such file" in answer.err
    if verb != "check":
        answer = ask(verb, *words, first.with_suffix(".wav"), second)
        assert f".wav: no such file; there is {first.name}" in answer.err
    answer = ask(verb, *words, f"{first}#t=0,1", second, "--channel", "2")
    assert (answer.code, answer.out) == (2, "")
    assert "--channel 2: all 2 recordings have one channel only" in answer.err


def test_mistakes_are_found_before_torch_is_imported(tmp_path: Path) -> None:
    """Which takes seconds."""
    (tmp_path / "t.txt").write_text("1 a b\n")
    (tmp_path / "a.wav").touch()
    (tmp_path / "empty").mkdir()
    given = ["--data", tmp_path, "--output", tmp_path / "r"]
    verify = ["verify", "ge2e-lstm", tmp_path / "a.wav", tmp_path / "a.wav"]
    commands: dict[str, list[object]] = {
        "did you mean 'tdnn-ge2e-small'": ["train", "tdnn-ge2e", *given],
        "none.yaml: cannot be read": ["train", tmp_path / "none.yaml", *given],
        "nowhere: no such file or folder": ["train", "--data", tmp_path / "nowhere", *given[2:]],
        "ids.txt: no such file": ["train", *given, "--exclude-speakers", "ids.txt"],
        "v.txt: no such file": ["train", *given, "--validation-speakers", "v.txt"],
        "did you mean 'wandb'": ["train", *given, "--trackers", "wandbb"],
        "did you mean 'campplus-zh-en'": ["train", *given, "--init", "campplus-zh"],
        "did you mean 'ge2e-lstm'": ["verify", "ge2e", tmp_path / "a.wav", tmp_path / "a.wav"],
        "runs/x: no such folder": ["verify", "runs/x", tmp_path / "a.wav", tmp_path / "a.wav"],
        "b.wav: no such file": ["verify", "ge2e-lstm", tmp_path / "a.wav", tmp_path / "b.wav"],
        "c.wav#t=1,2: no such file": ["verify", "ge2e-lstm", f"{tmp_path}/c.wav#t=1,2", "a.wav"],
        "c.json: no such file": [*verify, "--calibration", "c.json"],
        "--prior is the probability": [*verify, "--prior", "2"],
        "--false-accept must be between 0 and 1": [*verify, "--false-accept", "7"],
        "--threshold is a cosine and must be in [-1, 1], got 7": [*verify, "--threshold", "7"],
        "corpus: no such file or folder": ["embed", "ecapa", "corpus", "--output", tmp_path / "o"],
        "none of 2 recordings is there": ["evaluate", "ge2e-lstm", tmp_path / "t.txt"],
        "corpus: no such folder": ["prepare", "corpus", "--output", tmp_path / "o"],
        "unknown value 'flacc'": ["prepare", tmp_path, "--format", "flacc", "--output", "o"],
        "unknown layout 'vctkk'": ["prepare", tmp_path, "--layout", "vctkk", "--output", "o"],
        "unknown dataset 'vctkk'": [
            *("prepare", "--datasets-root", tmp_path, "--dataset-names", "vctkk", "--output", "o")
        ],
        "no audio found": ["inspect", tmp_path / "empty"],
        "data: no such folder": ["inspect", "data"],
        "give a file as --output": ["inspect", tmp_path, "--output", tmp_path / "empty"],
        "/empty?": ["embed", "ecapa", tmp_path / "emty", "--output", tmp_path / "o"],
        "in /: ": ["embed", "ecapa", "/zzzzzzzz/y", "--output", tmp_path / "o"],
        "gone: no such folder": ["export-list", "gone", "--output", tmp_path / "list.csv"],
        "root: no such file or folder": ["evaluate", "ecapa", tmp_path / "t.txt", "--root", "root"],
    }
    code = (
        "import sys\nfrom timbral.cli.main import run\n"
        f"for words in {[[str(word) for word in words] for words in commands.values()]!r}:\n"
        "    sys.argv = ['timbral', *words]\n"
        "    sys.stderr = sys.stdout\n"
        "    print('code', run(), 'torch' in sys.modules)\n"
    )
    answers = re.findall(r"(error: .*?)\ncode (.*?)\n", python(code), re.DOTALL)
    for expected, (message, end) in zip(commands, answers, strict=True):
        assert expected in message
        assert end == "2 False", message


def test_known_names_are_those_of_the_published_weights() -> None:
    assert set(PUBLISHED_NAMES) == set(PUBLISHED)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "verify a",
            "verify compares two recordings, got 1 recording; as in `timbral verify a.wav",
        ),
        ("gallery", "an action is missing, one of list, show, remove, merge, rename, export, "),
        ("enroll", "GALLERY is missing (a file, or postgresql://USER@HOST/DATABASE); usage: "),
        ("evaluate me/encoder", "TRIALS is missing (lines `label path path` with label 1 for the"),
        (
            "evaluate a.txt folder",
            "TRIALS is 'folder', a folder; evaluate takes ENCODER TRIALS, in",
        ),
        ("identify a.wav g.db", "GALLERY comes before the recordings, but 'a.wav' is a recording"),
        ("enroll g.db", "no NAME after GALLERY 'g.db'; enroll takes GALLERY NAME RECORDING …, in"),
        ("enroll g.db anna", "no RECORDING after NAME 'anna'; enroll takes GALLERY NAME RECORD"),
        ("enroll anna a.wav", "NAME is 'a.wav', a file; enroll takes GALLERY NAME RECORDING …"),
        ("enroll a.wav g.db b", "GALLERY is 'a.wav', a recording; enroll takes GALLERY NAME REC"),
        (f"enroll g.db {'あ' * 100} b.wav", "b.wav: no such file"),
        ("enroll a.wav --embeddings folder", "GALLERY is 'a.wav', a recording; with --embeddings"),
        ("enroll folder anna a.wav", "GALLERY is 'folder', a folder; enroll takes GALLERY NAME "),
        ("gallery g.db", "timbral gallery needs an action first, got 'g.db'; allowed: check, "),
        ("gallery lisst g.db", "timbral gallery needs an action first, got 'lisst'; did you mean"),
        (
            "prepare a",
            "--output FOLDER is missing (for the prepared data; a killed run resumes",
        ),
        (
            "train tdnn-ge2e-small --data folder --output o --checkpoint-path timbral-small",
            "--checkpoint-path resumes a training from its checkpoint, and timbral-small is the "
            "name of an encoder; --init begins a new training",
        ),
        ("prepare a --output", "--output FOLDER needs a value; see: timbral prepare --help"),
        ("prepare a --outptu b", "unknown option --outptu; did you mean '--output'? allowed: "),
        ("embed a b c --output d", "unexpected word 'c'; see: timbral embed --help"),
        ("embed a b --precision fp31", "--precision: unknown value 'fp31'; did you mean 'fp32'?"),
        ("prepare a --output b --workers x", "--workers: must be a whole number, got 'x'; see"),
        ("verify a b --prior x", "--prior: must be a number such as 0.05, got 'x'; see"),
        ("verify a b --false-accept 5%", "--false-accept: must be a number such as 0.05, got '5%'"),
        (
            "embed a --encoder c --output d",
            "unknown option --encoder: the encoder comes first, as in `timbral embed ENCODER …`",
        ),
        (
            "verify a b --encoder c",
            "unknown option --encoder: the encoder comes first, as in `timbral verify ENCODER …`",
        ),
    ],
)
def test_wrong_words_are_one_line_too(
    ask: Ask, command: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.wav").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    answer = ask(*command.split())
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"error: {message}")
    assert len(answer.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("embed", "VOICES", "--output", "x"), "which is a folder with recordings, as in"),
        (("embed", "VOICES"), "`timbral embed campplus-int8"),
        (("embed", "./c.wav", "--output", "x"), "CORPUS is missing"),
        (("embed", "hf://me/corpus:train"), "which is a URL"),
        (("evaluate", "trials.txt", "--output", "x"), "which is a list"),
    ],
)
def test_an_encoder_that_was_left_out(
    words: tuple[str, ...], message: str, ask: Ask, voices: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The corpus stands where it should, and is not what is missing."""
    (tmp_path / "trials.txt").write_text("1 a.wav b.wav\n")
    monkeypatch.chdir(tmp_path)
    answer = ask(*(voices if word == "VOICES" else word for word in words))
    assert (answer.code, len(answer.err.splitlines())) == (2, 1)
    assert message in answer.err
    assert answer.err.startswith("error: CORPUS" if "./c.wav" in words else "error: ENCODER is")


def test_an_encoder_after_the_corpus(ask: Ask, voices: Path, tmp_path: Path) -> None:
    answer = ask("embed", voices, "campplus-int8", "--output", tmp_path / "x")
    assert (answer.code, len(answer.err.splitlines())) == (2, 1)
    example = f"as in `timbral embed campplus-int8 {voices}`"
    assert f"which comes before the corpus, {example}" in answer.err
    assert not (tmp_path / "x").exists()


def test_long_recordings_are_announced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "long.wav", np.zeros(16_000 * 31), 16_000)
    announce_length(tmp_path / "long.wav", "s3://bucket/a.wav", tmp_path / "missing.wav")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(long_recordings, "LONG_SECONDS", 60.0)
    announce_length(tmp_path / "long.wav", f"{tmp_path}/long.wav#t=1,30")
    assert capsys.readouterr().err == "reading 1.0 min of audio …\n"


def test_words_that_may_be_encoders_are_left_alone(ask: Ask, run: Path) -> None:
    for encoder in (run, "campplus-int8", "me/encoder", "nothing", "weights.pt"):
        assert ask("embed", encoder).err.startswith("error: CORPUS is missing"), encoder


def test_wrong_option_of_a_config_names_the_flag(ask: Ask, store: Store, tmp_path: Path) -> None:
    """And not the file that comes with timbral, in which nothing is wrong."""
    words = ["train", "tdnn-ge2e-small", "--data", store.folder, "--output", tmp_path / "r"]
    answer = ask(*words, "--opts", "schedule.stepz", 3)
    assert answer.code == 2
    assert answer.err.startswith("error: --opts: schedule: unknown key 'stepz'; did you mean")


def test_second_embed_says_that_nothing_was_left_to_do(
    ask: Ask, run: Path, voices: Path, tmp_path: Path
) -> None:
    words = ["embed", run, voices, "--device", "cpu", "--output", tmp_path / "o"]
    first, second = ask(*words), ask(*words)
    assert "complete already" not in first.out
    assert second.out.startswith("all embedded already: 48 utterances of 8 speakers (")
    assert second.out.removeprefix("all embedded already: ") == first.out.splitlines(True)[0]


def test_bad_recordings_end_with_exit_code_1(
    ask: Ask, run: Path, voices: Path, tmp_path: Path
) -> None:
    root = tmp_path / "corpus" / "anna"
    root.mkdir(parents=True)
    (root / "a.ogg").symlink_to(sorted(voices.glob("*/*.ogg"))[0])
    (root / "b.ogg").write_bytes(b"noise")
    prepared = ask("prepare", root.parent, "--output", tmp_path / "d", "--workers", 1)
    assert prepared.code == 1
    assert re.match(r"prepared: 1 utterance of 1 speaker, \d\.\d s, in ", prepared.out)
    assert "1 recording could not be used" in prepared.err
    embedded = ask("embed", run, root.parent, "--output", tmp_path / "o")
    assert embedded.code == 1
    assert "failures.jsonl" in embedded.err
