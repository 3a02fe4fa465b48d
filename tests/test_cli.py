"""The verbs as a user types them: output, exit codes, no tracebacks."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from timbral.cli.main import parse
from timbral.cli.table import STAGES, VERBS, load_verb
from timbral.cli.wording import count, name_flags
from timbral.data.prepared.store import Store
from timbral.version import __version__


def timbral(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "timbral", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_help_names_every_verb() -> None:
    result = timbral("--help")
    assert (result.returncode, result.stderr) == (0, "")
    for stage, verbs in STAGES.items():
        assert f"\n{stage}\n" in result.stdout
        for name, summary in verbs.items():
            assert f"  {name} " in result.stdout
            assert summary.rstrip(".") in result.stdout
    assert "--version" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert timbral("--version").stdout == timbral("-V").stdout == f"timbral {__version__}\n"


def test_top_level_help_imports_no_verb() -> None:
    """So it needs a tenth of a second; a verb's own help needs no torch."""
    code = "import sys, timbral.cli.main; print('tyro' in sys.modules, 'numpy' in sys.modules)"
    assert python(code) == "False False\n"
    code = (
        "import sys; from timbral.cli.table import VERBS, load_verb; "
        "[load_verb(name) for name in VERBS]; "
        "print(*sorted({'torch', 'pyarrow', 'numpy', 'yaml'} & sys.modules.keys()))"
    )
    assert python(code) == "\n"


def python(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(verb, ["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: timbral {verb} [-h]")
    assert f"\n{VERBS[verb]}\n" in text
    assert f"\nexample: timbral {verb}" in text
    assert "None" not in text


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


def test_completion_knows_all_verbs() -> None:
    script = timbral("--tyro-print-completion", "bash").stdout
    assert all(verb in script for verb in VERBS)


def test_nobody_reads_on() -> None:
    """As in `timbral configs | head -1`: no message."""
    command = [sys.executable, "-m", "timbral", "configs", "lstm-ge2e"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0


def test_counts() -> None:
    assert count(1, "speaker") == "1 speaker"
    assert count(2000, "speaker") == "2,000 speakers"


def test_messages_of_the_library_name_flags() -> None:
    message = "`weights_dir` goes with `device`, not with `nothing`"
    expected = "--weights-dir goes with --device, not with `nothing`"
    assert name_flags(message, ["embed"]) == expected
    assert name_flags(message, ["corpora"]) == message
    assert name_flags(message, []) == message


def test_dash_is_standard_input_and_output(run: Path, voices: Path, tmp_path: Path) -> None:
    listed = timbral("export-list", voices, "--format", "csv", "--output", "-")
    assert listed.stdout.splitlines()[0].startswith('"utterance","speaker"')
    assert len(listed.stdout.splitlines()) == 49
    assert listed.stderr == "48 utterances in standard output\n"
    refused = timbral("export-list", voices, "--output", "-")
    assert refused.returncode == 2
    assert "--format parquet cannot go to standard output" in refused.stderr
    first, second, third = (path.relative_to(voices) for path in sorted(voices.glob("*/*"))[4:7])
    scored = subprocess.run(
        [sys.executable, "-m", "timbral", "evaluate", run, "-", "--root", voices],
        input=f"1 {first} {second}\n0 {first} {third}\n",
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert scored.returncode == 0, scored.stderr
    assert scored.stdout.startswith(f"scores: {run}/evaluation/stdin/scores.txt\nEER ")


def test_configs_are_listed_and_shown() -> None:
    listed = timbral("configs").stdout.splitlines()
    assert "tdnn-ge2e-small" in [line.split()[0] for line in listed]
    assert max(map(len, listed)) <= 100
    shown = timbral("configs", "tdnn-ge2e-small").stdout
    assert "loss: ge2e\n" in shown


@pytest.mark.slow
def test_the_whole_job(voices: Path, tmp_path: Path) -> None:
    data, run, out = tmp_path / "data", tmp_path / "run", tmp_path / "out"
    prepared = timbral("prepare", voices, "--output", data)
    assert prepared.returncode == 0, prepared.stderr
    assert "prepared: 48 utterances of 8 speakers" in prepared.stdout
    config = tmp_path / "c.yaml"
    config.write_text("encoder: {name: tdnn, channels: 16}\ndata: {speakers_per_batch: 4}\n")
    train = ["train", config, "--data", data, "--output", run, "--validation-speakers", 2]
    trained = timbral(*train, "--opts", "schedule.steps", 2, "data.utterances_per_speaker", 3)
    assert trained.returncode == 0, trained.stderr
    assert trained.stderr == "", "quiet when the output is not a terminal"
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
            "no trial could be scored",
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
        "no verb": ([], "usage: timbral VERB"),
    }  # fmt: skip


def test_mistakes_get_an_answer(store: Store, run: Path, voices: Path, tmp_path: Path) -> None:
    for name, (words, expected) in mistakes(store.folder, run, voices, tmp_path).items():
        result = timbral(*words)
        output = result.stdout + result.stderr
        assert result.returncode == 2, f"{name}: exit code {result.returncode}: {output}"
        assert expected in " ".join(output.split()), f"{name}: {output}"
        assert "Traceback" not in output, name


def test_bad_recordings_end_with_exit_code_1(run: Path, voices: Path, tmp_path: Path) -> None:
    root = tmp_path / "corpus" / "anna"
    root.mkdir(parents=True)
    (root / "a.ogg").symlink_to(sorted(voices.glob("*/*.ogg"))[0])
    (root / "b.ogg").write_bytes(b"noise")
    result = timbral("prepare", root.parent, "--output", tmp_path / "d")
    assert result.returncode == 1
    assert "1 recording could not be used" in result.stderr
    result = timbral("embed", run, root.parent, "--output", tmp_path / "o")
    assert result.returncode == 1
    assert "failures.jsonl" in result.stderr
