"""Lists of trials whose recordings were moved or renamed: their vectors and results are kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conftest import Ask
from interrupted_writes import interrupted_after
from timbral import api
from timbral.bulk.shards import SHARD_UTTERANCES
from timbral.data import file_state
from timbral.embeddings.named_vectors import read_vectors
from timbral.errors import DataError
from timbral.evaluation.evaluation_job import EvaluationJob, vectors_for
from timbral.inference.embedder import Embedder


@pytest.fixture
def root(voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two speakers of six recordings each, and two lists of trials beside their folder."""
    monkeypatch.setitem(SHARD_UTTERANCES, "cpu", 4)
    for speaker in sorted(voices.iterdir())[:2]:
        shutil.copytree(speaker, tmp_path / "root" / speaker.name)
    names = [path.relative_to(tmp_path / "root").as_posix() for path in recordings(tmp_path)]
    for name, some in (("a", names[:9]), ("b", names[3:])):
        lines = (f"{int(x[:4] == y[:4])} {x} {y}\n" for x in some for y in some if x < y)
        (tmp_path / f"{name}.txt").write_text("".join(lines))
    return tmp_path / "root"


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many recordings were embedded since the last question."""
    encode, counts = Embedder.encode_preprocessed, [0]

    def counted(self: Embedder, waves: list[np.ndarray]) -> np.ndarray:
        counts.append(len(waves))
        return encode(self, waves)

    def ask() -> int:
        total = sum(counts)
        counts.clear()
        return total

    monkeypatch.setattr(Embedder, "encode_preprocessed", counted)
    return ask


def recordings(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.ogg"))


def rows(vectors: Path) -> dict[str, tuple[str, bytes]]:
    """Path and vector of each recording in a folder."""
    found = read_vectors(vectors)
    names, paths = found.names.to_pylist(), found.paths.to_pylist()
    return {
        name: (path, vector.tobytes())
        for name, path, vector in zip(names, paths, found.vectors, strict=True)
    }


def test_a_moved_root_keeps_vectors_and_results(
    embedder: Embedder, root: Path, tmp_path: Path, embedded: Callable[[], int]
) -> None:
    """Also those of a list that is not evaluated again, and after a second move."""
    vectors = tmp_path / "vectors"
    outputs = {tmp_path / f"{name}.txt": tmp_path / f"out-{name}" for name in "ab"}
    first = [api.evaluate(embedder, *x, vectors=vectors, draws=0) for x in items(outputs, root)]
    assert embedded() == 12
    before = rows(vectors)
    moved = root.rename(tmp_path / "moved")
    for place in (moved, tmp_path / "again"):
        moved = moved.rename(place)
        again = [
            api.evaluate(embedder, *x, vectors=vectors, draws=0) for x in items(outputs, moved)
        ]
        assert again == first
        after = rows(vectors)
        expected = {
            name: (path.replace(f"{root}/", f"{moved}/"), vector)
            for name, (path, vector) in before.items()
        }
        assert after == expected
    assert embedded() == 0
    api.evaluate(embedder, *items(outputs, moved.rename(root))[0], vectors=vectors, draws=0)
    assert (embedded(), rows(vectors)) == (0, before)
    for output, place in zip(outputs.values(), (root, moved), strict=True):
        job = EvaluationJob.of_folder(output)
        assert job is not None
        assert job.root == str(place)


def items(outputs: dict[Path, Path], root: Path) -> list[tuple[Path, Path, Path]]:
    return [(trials, root, output) for trials, output in outputs.items()]


def test_the_command_uses_the_folders_of_before(
    ask: Ask, run: Path, root: Path, tmp_path: Path, embedded: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    run = shutil.copytree(run, tmp_path / "run")
    command = ("evaluate", run, "a.txt", "--draws", 0, "--root")
    assert ask(*command, root).code == 0
    assert embedded() == 9
    folders = sorted((run / "evaluation").iterdir())
    root.rename(tmp_path / "moved")
    assert ask(*command, "moved").code == 0
    assert (embedded(), sorted((run / "evaluation").iterdir())) == (0, folders)


@pytest.mark.parametrize("change", ["replaced", "missing", "copied from another"])
def test_vectors_of_other_recordings_are_not_taken(
    embedder: Embedder, root: Path, tmp_path: Path, embedded: Callable[[], int], change: str
) -> None:
    """A folder that was asked for is refused and left as it is; else there is another one."""
    trials, output, vectors = tmp_path / "b.txt", tmp_path / "out", tmp_path / "vectors"
    api.evaluate(embedder, tmp_path / "a.txt", root, vectors=vectors, draws=0)
    api.evaluate(embedder, trials, root, output, vectors=vectors, draws=0)
    before, scores = rows(vectors), (output / "scores.txt").read_bytes()
    moved = shutil.copytree(root, tmp_path / "moved")
    first, last = recordings(moved)[0], recordings(moved)[-1]
    if change == "replaced":
        first.write_bytes(first.read_bytes()[:-1] + b"\0")  # equal name and size
    elif change == "missing":
        first.unlink()
    else:
        shutil.copy(last, first)
    match = f"recordings, of another corpus .*, or delete {vectors}/.embed and {output} to embed"
    with pytest.raises(DataError, match=match):
        api.evaluate(embedder, trials, moved, output, vectors=vectors, draws=0)
    assert rows(vectors) == before
    assert (output / "scores.txt").read_bytes() == scores
    embedded()
    assert api.evaluate(embedder, trials, root, output, vectors=vectors, draws=0)
    assert embedded() == 0
    own = vectors_for(embedder, moved, vectors)
    assert own != vectors
    api.evaluate(embedder, trials, moved, tmp_path / "other", vectors=own, draws=0)
    assert embedded() == 9
    assert vectors_for(embedder, moved, vectors) == own
    assert vectors_for(embedder, root, vectors) == vectors
    third = moved.rename(tmp_path / "third")
    assert vectors_for(embedder, third, vectors) == own
    root.rename(tmp_path / "fourth")
    assert vectors_for(embedder, tmp_path / "fourth", vectors) == vectors


def test_two_copies_of_a_root_are_hashed_once(
    embedder: Embedder, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    embedded: Callable[[], int],
) -> None:  # fmt: skip
    """Although they take turns with one folder, and each has it written for itself."""
    copy, trials = shutil.copytree(root, tmp_path / "copy"), tmp_path / "a.txt"
    hashed: list[str] = []
    monkeypatch.setattr(file_state, "_digest", counted(file_state._digest.__wrapped__, hashed))

    def evaluate(given: Path) -> tuple[int, int]:
        hashed.clear()
        api.evaluate(embedder, trials, given, tmp_path / "out", draws=0)
        return len(hashed), embedded()

    assert evaluate(root) == (9, 9)
    assert evaluate(copy) == (9, 0)
    assert [evaluate(each) for each in (root, copy, root)] == [(0, 0)] * 3
    changed = recordings(copy)[0]
    changed.write_bytes(changed.read_bytes()[:-1] + b"\0")
    with pytest.raises(DataError, match="recordings, of another corpus"):
        evaluate(copy)
    (tmp_path / "out" / "vectors" / ".embed" / "hashed_files.json").write_text("[[1, 2]]")
    shutil.copy(recordings(root)[0], changed)
    assert evaluate(copy)[1] == 0


def counted(digest: Callable[[str, int, int], str], files: list[str]) -> Callable[..., str]:
    def count(file: str, size: int, changed_ns: int) -> str:
        files.append(file)
        return digest(file, size, changed_ns)

    return count


def test_the_folder_to_delete_is_that_of_the_results(
    embedder: Embedder, root: Path, tmp_path: Path
) -> None:
    """Without the folder of vectors in it, the results would be refused next."""
    trials, output = tmp_path / "a.txt", tmp_path / "out"
    api.evaluate(embedder, trials, root, output, draws=0)
    moved = shutil.copytree(root, tmp_path / "moved")
    shutil.copy(recordings(moved)[-1], recordings(moved)[0])
    with pytest.raises(DataError, match=f"another output folder, or delete {output} to embed"):
        api.evaluate(embedder, trials, moved, output, draws=0)
    shutil.rmtree(output)
    assert api.evaluate(embedder, trials, moved, output, draws=0)


def test_corrected_paths_of_a_list_keep_their_vectors(
    embedder: Embedder, root: Path, tmp_path: Path, embedded: Callable[[], int]
) -> None:
    """Absolute ones: the list is another, the root is the same, and no new shard is like an old."""
    lines = (tmp_path / "a.txt").read_text().splitlines()
    new = tmp_path / "new.txt"
    vectors = tmp_path / "vectors"
    for place in (root, tmp_path / "elsewhere"):
        if place != root:
            root.rename(place)
        pairs = [line.split() for line in lines]
        new.write_text("".join(f"{x} {place}/{y} {place}/{z}\n" for x, y, z in pairs))
        api.evaluate(embedder, new, tmp_path, vectors=vectors, draws=0)
    assert embedded() == 9


def test_a_killed_evaluation_of_a_moved_root_is_resumed(
    embedder: Embedder, root: Path, tmp_path: Path, embedded: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Killed before each file that it writes."""
    trials, vectors = tmp_path / "a.txt", tmp_path / "vectors"
    first = api.evaluate(embedder, trials, root, tmp_path / "out", vectors=vectors, draws=0)
    embedded()
    moved = root.rename(tmp_path / "moved")
    for writes in (0, 1, 2, 3, 1):  # three files about the root, then the shards
        with interrupted_after(writes, monkeypatch):
            api.evaluate(embedder, trials, moved, tmp_path / "out", vectors=vectors, draws=0)
    assert (
        api.evaluate(embedder, trials, moved, tmp_path / "out", vectors=vectors, draws=0) == first
    )
    assert embedded() == 0
    listed = json.loads((vectors / ".embed" / "recordings.json").read_text())
    assert sorted(listed) == list(map(str, recordings(moved)[:9]))
