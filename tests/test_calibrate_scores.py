"""The verb calibrate, of scores and the vectors that they are the cosines of."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import timbral
from conftest import Ask
from timbral.calibration.calibration_file import read_calibration, write_calibration
from timbral.calibration.conditions import Conditions
from timbral.errors import ConfigError, DataError
from timbral.scoring.trial_list import Trial, TrialList
from timbral.scoring.trial_speakers import certain_speakers_of

SPEAKERS = 40
ANY = Conditions(*np.ones((3, 1)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vectors of 40 voices, imported by name and as unknown ones, scored and calibrated."""
    folder = tmp_path_factory.mktemp("scores")
    generator = np.random.default_rng(0)
    voices = generator.normal(size=(SPEAKERS, 16))
    rows = {
        f"s{speaker:02d}-{number}": voice + 0.7 * generator.normal(size=16)
        for speaker, voice in enumerate(voices)
        for number in range(4)
    }
    np.savez(folder / "v.npz", **{name: row.astype(np.float32) for name, row in rows.items()})
    (folder / "utt2spk").write_text("".join(f"{name} {name[:3]}\n" for name in rows))
    pairs = [
        (int(one[:3] == other[:3]), one, other)
        for one, other in combinations(rows, 2)
        if one[:3] == other[:3] or generator.random() < 0.05
    ]
    (folder / "t").write_text("".join(f"{label} {a} {b}\n" for label, a, b in pairs))
    for name, encoder in (("named", "mine"), ("unknown", "unknown")):
        timbral.import_embeddings(
            folder / "v.npz", folder / name, encoder=encoder, speakers=folder / "utt2spk"
        )
    timbral.score(folder / "named", folder / "t", folder / "s", draws=0)
    timbral.calibrate(folder / "s", folder / "c.json", vectors=folder / "named")
    return folder


def test_scores_of_imported_vectors(folder: Path, tmp_path: Path, ask: Ask) -> None:
    done = ask("calibrate", folder / "s", "--vectors", folder / "named", "--output", tmp_path / "c")
    assert done.code == 0
    assert "of 40 speakers" in done.out
    assert "it is for vectors of mine (" in done.out
    assert "whose recordings are unknown" in done.out
    fitted = read_calibration(tmp_path / "c")
    assert (fitted.encoder, fitted.measured, fitted.uses_conditions) == ("mine", False, False)
    point = fitted.threshold(0.1)
    assert point.false_accept_bound <= 0.1
    assert fitted.llr([0.9], ANY, ANY)[0] > 0 > fitted.llr([-0.5], ANY, ANY)[0]
    assert "were not measured, so it cannot be said" in fitted.warnings(ANY, ANY)[0]
    done = ask("score", folder / "named", folder / "t", "--calibration", tmp_path / "c")
    assert done.code == 0
    assert "calibrated: Cllr" in done.out


def test_encoders_are_never_mixed(folder: Path, tmp_path: Path) -> None:
    unknown = timbral.calibrate(
        folder / "s", tmp_path / "c", vectors=folder / "unknown", directions=0
    )
    assert unknown.encoder == "unknown"
    for name, calibration in (("named", unknown), ("unknown", folder / "c.json")):
        with pytest.raises(DataError, match="cosines of different encoders cannot be compared"):
            timbral.score(folder / name, folder / "t", draws=0, calibration=calibration)
    rows = dict(np.load(folder / "v.npz"))
    generator = np.random.default_rng(1)
    np.savez(tmp_path / "o.npz", **{name: generator.normal(size=16) for name in rows})
    timbral.import_embeddings(tmp_path / "o.npz", tmp_path / "other", encoder="other")
    with pytest.raises(DataError, match="are not the cosines of the vectors in"):
        timbral.calibrate(
            folder / "s",
            tmp_path / "c",
            vectors=tmp_path / "other",
            speakers=folder / "utt2spk",
        )


def test_tables_of_embed_bring_their_conditions(folder: Path, tmp_path: Path) -> None:
    table = pq.read_table(folder / "named" / "utterances.parquet")
    seconds = np.random.default_rng(2).uniform(1, 9, len(table))
    for name, column in (
        ("embedding_sha256", ["2" * 64] * len(table)),
        ("speech_seconds", seconds),
        ("bandwidth_hz", [7000.0] * len(table)),
    ):
        if name in table.column_names:
            table = table.drop_columns(name)
        lacking = table.append_column(name, [column])
        pq.write_table(lacking, tmp_path / "v.parquet")
        if name == "embedding_sha256":
            with pytest.raises(DataError, match=r"lacks net speech .* embed into a new folder"):
                timbral.calibrate(folder / "s", tmp_path / "c", vectors=tmp_path / "v.parquet")
        table = lacking
    path = tmp_path / "v.parquet"
    fitted = timbral.calibrate(
        folder / "s", tmp_path / "c", vectors=path, min_speech=2.0, directions=0
    )
    assert fitted.measured
    assert fitted.embedding_sha256 == "2" * 64
    assert 2 <= fitted.ranges.speech_seconds[0] < fitted.ranges.speech_seconds[1] <= 9


def test_mistakes_are_errors(folder: Path, tmp_path: Path) -> None:
    output, named = tmp_path / "c", folder / "named"
    with pytest.raises(ConfigError, match="`output`: give a file"):
        timbral.calibrate(folder / "s", vectors=named)
    with pytest.raises(ConfigError, match=r"`vectors`: .* give the vectors that were scored"):
        timbral.calibrate(folder / "s", output)
    with pytest.raises(
        DataError, match="`timbral import-embeddings` gives vectors of other tools a name"
    ):
        timbral.calibrate(folder / "s", output, vectors=folder / "v.npz")
    with pytest.raises(DataError, match="would be overwritten"):
        timbral.calibrate(folder / "s", folder / "s", vectors=named)
    with pytest.raises(DataError, match="`min_speech` cannot leave anything out"):
        timbral.calibrate(folder / "s", output, vectors=named, min_speech=2)
    (tmp_path / "s").write_text("s00-0 s00-1 0.5\n")
    with pytest.raises(DataError, match="needs labeled target and non-target trials"):
        timbral.calibrate(tmp_path / "s", output, vectors=named)
    (tmp_path / "s").write_text("0.5 1 s00-0 s00-1\n0.1 0 s00-0 nobody\n")
    with pytest.raises(DataError, match=r"1 of 3 recordings .* the first 'nobody'"):
        timbral.calibrate(tmp_path / "s", output, vectors=named)
    write_calibration(output, read_calibration(folder / "c.json"))
    text = output.read_text().replace('"offset": [', '"offset": [1, 1, 1, 1, 1, ')
    output.write_text(text.replace('"scale": [', '"scale": [0, 0, 0, 0, 0, '))
    with pytest.raises(
        DataError, match="uses recording conditions, but says that they were not measured"
    ):
        read_calibration(output)


def test_guessed_speakers_must_be_certain(folder: Path, tmp_path: Path) -> None:
    """Too many of them would promise too low rates of false accepts."""
    shutil.copy(folder / "v.npz", tmp_path)  # away from its utt2spk
    timbral.import_embeddings(tmp_path / "v.npz", tmp_path / "v", encoder="mine")
    with pytest.raises(DataError, match=r"speakers are unknown: .* into 40 groups, .* `speakers`"):
        timbral.calibrate(folder / "s", tmp_path / "c", vectors=tmp_path / "v")

    def trials(pairs: Iterable[tuple[str, str]]) -> TrialList:
        return TrialList.of([Trial(int(a[0] == b[0]), a, b) for a, b in pairs])

    names = [f"{speaker}{number}" for speaker in "abcdefghijk" for number in range(4)]
    whole = list(combinations(names, 2))
    assert len(set(certain_speakers_of(trials(whole), None).tolist())) == 11
    one_missing = [(a, b) for a, b in whole if {a[0], b[0]} != {"a", "b"}]
    assert len(set(certain_speakers_of(trials(one_missing), None).tolist())) == 11
    two_missing = [(a, b) for a, b in one_missing if {a[0], b[0]} != {"a", "c"}]
    with pytest.raises(DataError, match="11 groups, but of 2 pairs"):
        certain_speakers_of(trials(two_missing), None)
    speakers = {name: name[0] for name in names}
    assert len(set(certain_speakers_of(trials(two_missing), speakers).tolist())) == 11
