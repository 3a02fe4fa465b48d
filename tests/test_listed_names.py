"""Lists name a recording with its suffix, without, or by its id alone: every verb finds it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import timbral
from timbral.embeddings.name_matching import match_loosely
from timbral.embeddings.named_vectors import NamedVectors
from timbral.errors import DataError
from timbral.evaluation.listed_files import ListedFiles
from timbral.evaluation.root import check_root
from timbral.scoring.trial_speakers import look_up

FILES = ["s1/a/one.wav", "s1/two.flac", "s2/two.wav", "s2/three.wav"]


@pytest.mark.parametrize(
    ("names", "known", "rows"),
    [
        (["s1/u1", "s2/u2.flac"], ["s1/u1.wav", "s2/u2.wav"], [0, 1]),
        (["u1", "u2"], ["s1/u1.wav", "s2/u2"], [0, 1]),
        (["s1/u1.wav", "s2/u2"], ["u1", "u2"], [0, 1]),
        (["u1"], ["s1/u1.wav", "s2/u1.wav"], [-1]),  # it could be either
        (["s1/u1", "s2/u1"], ["u1"], [-1, -1]),
        (["s3/u1"], ["s1/u1.wav"], [-1]),  # another speaker's
        (["s1/u1.001", "s1/u1.002"], ["s1/u1"], [-1, -1]),  # numbers are no suffixes
        (["u1.wav", "u1.flac"], ["u1"], [-1, -1]),
        ([], ["u1"], []),
    ],
)
def test_names_are_matched_where_they_can_be_one_recording_only(
    names: list[str], known: list[str], rows: list[int]
) -> None:
    given = pa.array(names, pa.string()), pa.array(known, pa.string())
    assert match_loosely(*given).tolist() == rows


def test_vectors_are_found_by_paths_without_suffixes(tmp_path: Path) -> None:
    paths = pa.array([str(tmp_path / file) for file in FILES])
    ids = pa.array([f"corpus-{row}" for row in range(len(FILES))])
    found = NamedVectors(ids, np.eye(4, dtype=np.float32), paths)
    names = ["s1/two", "s2/two", "three", "s1/a/one.wav", "corpus-1", "two"]
    assert found.rows_of(pa.array(names), tmp_path).tolist() == [1, 2, 3, 0, 1, -1]


def test_speakers_are_found_by_names_without_suffixes() -> None:
    names = pa.array(["s1/two", "three", "s2/two.wav", None, "s9/two"])
    of = {file: file[:2] for file in FILES}
    assert look_up(names, of).to_pylist() == ["s1", "s2", "s2", None, None]
    assert look_up(pa.array([], pa.string()), of).to_pylist() == []
    assert look_up(names, {}).to_pylist() == 5 * [None]


def test_files_are_found_below_the_root(tmp_path: Path) -> None:
    for file in [*FILES, "s3/four.wav", "s3/four.flac"]:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    listed = ListedFiles(tmp_path)
    names = ["s1/two", "./s2/two", "three", "one", "s2/three.wav", "s9/none", str(tmp_path / "s2")]
    expected = ["s1/two.flac", "s2/two.wav", "s2/three.wav", "s1/a/one.wav", "s2/three.wav"]
    located = [str(tmp_path / name) for name in [*expected, "s9/none", "s2"]]
    assert listed.locations(names) == located
    for name in ("two", "s3/four"):
        with pytest.raises(DataError, match=f"{name}: 2 recordings .* such as s[13]/"):
            listed.locations([name])
    check_root(["s1/two"], tmp_path)
    with pytest.raises(DataError, match=r"the list has s9/none, and below .* there is s1/two.f"):
        check_root(["s9/none"], tmp_path)
    (tmp_path / "linked").symlink_to(tmp_path / "s1", target_is_directory=True)
    linked = str(tmp_path / "linked" / "two.flac")
    assert ListedFiles(tmp_path).locations(["linked/two"]) == [linked]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="contains no recordings"):
        check_root(["s9/none"], tmp_path / "empty")
    with pytest.raises(DataError, match=r"the list has /nowhere/a\.wav$"):
        check_root(["/nowhere/a.wav"], "/")  # whose disks are not looked through
    assert ListedFiles("/").locations(["one"]) == ["/one"]


def test_scores_of_two_tools_are_compared(tmp_path: Path) -> None:
    """One writes paths, the other Kaldi's ids."""
    random = np.random.default_rng(0)
    pairs = [(a, b) for a in range(24) for b in range(a)]
    for name, form in (("one", "s{0}/u{1}.wav"), ("other", "u{1}")):
        lines = []
        for a, b in pairs:
            same = int(a // 3 == b // 3)
            first, second = (form.format(each // 3, each) for each in (a, b))
            lines.append(f"{same + random.normal():.6f} {same} {first} {second}\n")
        (tmp_path / name).write_text("".join(lines))
    found = timbral.compare(tmp_path / "one", tmp_path / "other", draws=100)
    assert (found.num_trials, found.num_left_out) == (len(pairs), 0)
    (tmp_path / "third").write_text("0.5 1 x y\n0.1 0 x z\n")
    with pytest.raises(
        DataError, match=r"have no trial in common.*s0/u1.wav with s0/u0.wav.*x with y"
    ):
        timbral.compare(tmp_path / "one", tmp_path / "third", draws=100)


def test_a_list_without_suffixes_is_evaluated_and_scored(
    run: Path, voices: Path, tmp_path: Path
) -> None:
    """By the same rule, to the same scores."""
    speakers = sorted(path.name for path in voices.iterdir() if path.is_dir())[:3]
    files = [sorted((voices / speaker).glob("*.ogg"))[:2] for speaker in speakers]
    names = [[f"{path.parent.name}/{path.name}" for path in of] for of in files]
    pairs = [(1, of[0], of[1]) for of in names] + [(0, names[0][0], of[1]) for of in names[1:]]
    lists = {"whole": lambda name: name, "paths": lambda name: name.removesuffix(".ogg")}
    lists["ids"] = lambda name: name.split("/")[1].removesuffix(".ogg")
    scores = {}
    for kind, spell in lists.items():
        text = "".join(f"{label} {spell(a)} {spell(b)}\n" for label, a, b in pairs)
        (tmp_path / kind).write_text(text)
        output = tmp_path / f"out-{kind}"
        shared = tmp_path / "vectors"
        timbral.evaluate(run, tmp_path / kind, voices, output, vectors=shared, draws=0)
        timbral.score(shared, tmp_path / kind, tmp_path / f"s-{kind}", root=voices, draws=0)
        for file in (output / "scores.txt", tmp_path / f"s-{kind}"):
            scores[file] = [line.split()[0] for line in file.read_text().splitlines()]
    assert len({tuple(each) for each in scores.values()}) == 1
