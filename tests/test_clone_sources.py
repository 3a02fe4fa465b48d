"""Find clones and their references: lists, meta.lst, folders matched by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import touch
from timbral.cli.verbs.similarity import split_words
from timbral.cloning.clone_lists import read_clone_list, read_meta
from timbral.cloning.clone_sources import find_clones
from timbral.errors import DataError


def test_lists_of_clones(tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text("out/a.wav ref/p.wav\nout/b.wav  s3://d/q.wav\n")
    first, second = read_clone_list(tmp_path / "pairs.txt")
    assert (first.name, first.synthesized) == ("a", f"{tmp_path}/out/a.wav")
    assert second.reference == "s3://d/q.wav"
    (tmp_path / "t.csv").write_text(
        "synthesized,reference,speaker,system,name\na.wav,r.wav,007,x,u1\n"
    )
    [clone] = read_clone_list(tmp_path / "t.csv")
    assert (clone.speaker, clone.system, clone.name) == ("007", "x", "u1")
    for name, content, words in (
        (
            "a.txt",
            "one two three\n",
            r"a\.txt:1: a line should contain the synthesized .* got 'one two three'",
        ),
        ("f.txt", "a.wav|b.wav|text\n", r"by one \| in each line; got 'a\.wav\|b\.wav\|text'"),
        ("g.txt", "a.wav|b.wav\nc.wav\n", r"g\.txt:1: .* got 'a\.wav\|b\.wav'"),
        ("b.txt", "a|b|c|d\n", r"b\.txt:1: is a line of meta\.lst; give that file as `meta`"),
        ("c.txt", "", r"c\.txt: contains no clone"),
        ("d.csv", "synthesized,ref\na,b\n", "has no column 'reference'.*it has: synthesized, ref"),
        ("e.csv", "synthesized,reference\na,\n", "row 1 needs both"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(DataError, match=words):
            read_clone_list(tmp_path / name)


@pytest.mark.parametrize(
    ("line", "pair"),
    [
        ("a.wav|b.wav", ("a.wav", "b.wav")),
        ("my a.wav | my b.flac", ("my a.wav", "my b.flac")),
        ("a|1.wav b.wav", ("a|1.wav", "b.wav")),  # the bar belongs to the name
        ("a.wav|1.wav\tb.wav", ("a.wav|1.wav", "b.wav")),
    ],
)
def test_pairs_with_a_bar(tmp_path: Path, line: str, pair: tuple[str, str]) -> None:
    (tmp_path / "pairs.txt").write_text(f"{line}\n")
    [clone] = read_clone_list(tmp_path / "pairs.txt")
    assert (clone.synthesized, clone.reference) == tuple(f"{tmp_path}/{name}" for name in pair)


def test_a_meta_lst_gives_clones_prompts_and_recordings_of_the_texts(tmp_path: Path) -> None:
    touch(tmp_path, "prompts/p.wav", "wavs/u1.wav", "outputs/u1.wav", "outputs/u3.wav")
    lines = "u1|words|prompts/p.wav|other words|wavs/u1.wav\nu2|w|prompts/p.wav|o\n"
    (tmp_path / "meta.lst").write_text(lines)
    found = find_clones([tmp_path / "outputs"], meta=tmp_path / "meta.lst")
    [clone] = found.clones
    assert (clone.name, clone.system) == ("u1", "outputs")
    assert clone.references == (f"{tmp_path}/prompts/p.wav",)
    assert {each.speaker for each in found.real} == {clone.speaker}
    assert [Path(each.path).name for each in found.real] == ["p.wav", "u1.wav"]
    assert [failure.path for failure in found.failures] == [f"{tmp_path}/outputs/u2.wav"]
    assert "speakers are known by their prompts only" in found.notes[0]
    touch(tmp_path, "prompts/q.wav", "prompts/r.wav", "outputs/u2.wav")
    lines += "u3|words|prompts/q.wav|other|prompts/p.wav\nu4|w|prompts/r.wav|o\n"
    (tmp_path / "meta.lst").write_text(lines)
    found = find_clones([tmp_path / "outputs"], meta=tmp_path / "meta.lst")
    assert len({clone.speaker for clone in found.clones}) == 1, "lines link p and q"
    assert len(found.clones) == 3
    for content, words in (("a|b|c\n", "got 3 fields"), ("a|b|c|d\na|b|c|e\n", "more than once")):
        (tmp_path / "meta.lst").write_text(content)
        with pytest.raises(DataError, match=words):
            read_meta(tmp_path / "meta.lst")


def test_folders_are_matched_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "ref/anna/1.wav", "ref/anna/2.wav", "ref/ben/3.flac", "ref/ben/9.flac")
    touch(tmp_path, "tts/anna/1.wav", "tts/3.wav", "tts/4.wav")
    found = find_clones([tmp_path / "tts", tmp_path / "ref"])
    assert [(each.name, each.speaker) for each in found.clones] == [
        ("3", "ben"),
        ("anna/1", "anna"),
    ]
    assert len(found.real) == 4
    [failure] = found.failures
    assert str(failure).endswith(f"4.wav: has no reference of the same name in {tmp_path}/ref")
    others = find_clones([tmp_path / "tts", tmp_path / "ref"], to_speaker=True)
    assert others.clones[1].references == (f"{tmp_path}/ref/anna/2.wav",)
    flat = touch(tmp_path / "flat", "1.wav", "3.wav")
    found = find_clones([tmp_path / "tts", flat])
    assert "speakers of the references are unknown" in found.notes[0]
    assert len({each.speaker for each in found.clones}) == 2
    with pytest.raises(DataError, match="has no other recording than the reference"):
        find_clones([tmp_path / "tts", flat], to_speaker=True)
    known = find_clones([tmp_path / "tts", flat], corpus=touch(tmp_path / "c", "a/1.wav"))
    assert known.notes
    with pytest.raises(DataError, match=r"is a recording\. Give folders of recordings or a list"):
        find_clones([tmp_path / "tts/3.wav", tmp_path / "ref/ben/3.flac"])
    with pytest.raises(
        DataError, match=r"no synthesized recording has a reference; the first.*; list pairs in a"
    ):
        find_clones([touch(tmp_path / "x", "7.wav"), flat])


def test_a_folder_names_the_speaker_where_no_recording_has_the_name(tmp_path: Path) -> None:
    touch(tmp_path, "ref/anna/1.wav", "ref/anna/2.wav", "ref/ben/3.wav", "ref/ben/9.wav")
    folders = [touch(tmp_path / "tts", "anna/x.wav", "ben/1.wav", "ben/9.wav"), tmp_path / "ref"]
    found = find_clones(folders)
    assert [(each.name, each.speaker) for each in found.clones] == [("ben/9", "ben")]
    assert [str(each).partition("wav: ")[2] for each in found.failures] == [
        f"has no reference of the same name in {tmp_path}/ref; `to_speaker` compares it with all "
        f"recordings of {speaker}"
        for speaker in ("anna", "ben")
    ], "the only recording of a name is no reference where it is another speaker's"
    found = find_clones(folders, to_speaker=True)
    assert {
        each.name: sorted(Path(path).stem for path in each.references) for each in found.clones
    } == {
        "ben/9": ["3"],
        "anna/x": ["1", "2"],
        "ben/1": ["3", "9"],
    }
    assert found.failures == ()


def test_nothing_of_one_name_is_merged(tmp_path: Path) -> None:
    references = touch(tmp_path / "ref", "anna/1.wav", "anna/2.wav")
    folders = [touch(tmp_path / name / "out", "1.wav", "2.wav") for name in ("a", "b")]
    found = find_clones([*folders, references])
    assert {each.system for each in found.clones} == {"a/out", "b/out"}
    lists = []
    for folder in folders:
        lists.append(folder.parent / "pairs.txt")
        lists[-1].write_text("out/x/1.wav r.wav\nout/y/1.wav r.wav\nout/y/1.wav q.wav\n")
    found = find_clones(lists)
    assert {each.system for each in found.clones} == {"a/pairs", "b/pairs"}
    assert [each.name for each in found.clones] == ["x/1", "y/1", "y/1"] * 2
    with pytest.raises(DataError, match="is given twice"):
        find_clones([lists[0], lists[0]])
    lists[0].write_text("out/1.wav r.wav\nout/2.wav r.wav\nout/1.wav r.wav\n")
    with pytest.raises(DataError, match=r"lists .*out/1\.wav with .* 2 times"):
        find_clones(lists)
    touch(folders[0], "1.flac")
    with pytest.raises(DataError, match=r"1\.flac and .*1\.wav: differ only in their suffixes"):
        find_clones([*folders, references])
    (folders[0] / "1.flac").unlink()
    flat = touch(tmp_path / "flat", "2.ogg", "2.wav")
    with pytest.raises(DataError, match=r"2\..* differ only in their suffixes"):
        find_clones([*folders, flat])


def test_an_empty_folder_of_synthesized_recordings_is_told(tmp_path: Path) -> None:
    references = touch(tmp_path / "ref", "anna/1.wav")
    (tmp_path / "tts").mkdir()
    with pytest.raises(DataError, match=r"/tts contains no audio"):
        find_clones([tmp_path / "tts", references])


def test_words_are_encoders_and_sources(tmp_path: Path) -> None:
    touch(tmp_path, "run/checkpoint.json", "out/a.wav")
    encoders = ("ecapa", str(tmp_path / "run"), "there/enc.onnx")
    sources = (str(tmp_path / "out"), "reference")
    assert split_words((*encoders, *sources)) == (list(encoders), list(sources))
