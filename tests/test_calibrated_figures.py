"""Cllr and actual DCF of a list's trials, from a table of vectors and a calibration."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import timbral
from conftest import Ask
from timbral.calibration.calibration import Calibration, FittedOn, OperatingPoint, design
from timbral.calibration.calibration_file import write_calibration
from timbral.calibration.conditions import MAX_SNR_DB, Conditions, Ranges
from timbral.calibration.known import calibration_of
from timbral.embeddings.vectors import unit_length
from timbral.errors import ConfigError, DataError
from timbral.scoring.calibrated_figures import calibrated_figures
from timbral.scoring.calibrated_scores import CalibratedScores, compensated_cosines
from timbral.scoring.intervals import SpeakerBootstrap, cllr_of, draw_speakers
from timbral.scoring.metrics import actual_dcf, cllr
from timbral.scoring.ranked_trials import RankedTrials
from timbral.scoring.speaker_means import SpeakerMeans

SPEAKERS, EACH, SIZE = 12, 5, 8
RNG = np.random.default_rng(3)
OF = np.repeat(np.arange(SPEAKERS), EACH)
VECTORS = RNG.normal(size=(SPEAKERS, SIZE))[OF] + 0.8 * RNG.normal(size=(len(OF), SIZE))
NAMES = [f"s{of:02d}-{row % EACH}" for row, of in enumerate(OF)]
PAIRS = np.array([(a, b) for a in range(len(OF)) for b in range(a + 1, len(OF))])
LABELS = (OF[PAIRS[:, 0]] == OF[PAIRS[:, 1]]).astype(int)
SECONDS = RNG.uniform(0.3, 20, len(OF))
BANDWIDTH = RNG.choice([3800.0, 8000.0], len(OF))
SNR = [None if row % 7 == 0 else float(RNG.uniform(0, 70)) for row in range(len(OF))]
SNR_DB = [MAX_SNR_DB if snr is None else min(snr, MAX_SNR_DB) for snr in SNR]
CALIBRATION = Calibration(
    "some",
    "weights",
    "prepared",
    (-4.0, 0.3, -0.1, 0.2, -0.2, 0.05),
    (7.0, 0.4, 0.2, 0.1, -0.1, 0.1),
    Ranges((1.0, 12.0), (4000.0, 8000.0), (5.0, 60.0)),
    (-3.5, 3.0),
    (OperatingPoint(0.0, 0.1, 0.2, 0.1, 0.2),),
    FittedOn("made up", "", 30, 100, 100, 0.3, 0.2, 0.4, 0.3),
    (tuple(unit_length(np.arange(1.0, SIZE + 1)).tolist()),),
)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write_table(tmp_path / "v.parquet")
    write_calibration(tmp_path / "c.json", CALIBRATION)
    lines = (f"{y} {NAMES[a]} {NAMES[b]}\n" for y, (a, b) in zip(LABELS, PAIRS, strict=True))
    (tmp_path / "t").write_text("".join(lines))
    return tmp_path


def write_table(path: Path, **other: object) -> None:
    columns = {
        "utterance": NAMES, "speaker": [name[:3] for name in NAMES], "path": NAMES,
        "embedding": pa.array(VECTORS.astype(np.float32).tolist(), pa.list_(pa.float32(), SIZE)),
        "weights_sha256": ["weights"] * len(OF), "embedding_sha256": ["prepared"] * len(OF),
        "speech_seconds": SECONDS, "bandwidth_hz": BANDWIDTH, "snr_db": SNR,
    }  # fmt: skip
    chosen = {name: column for name, column in (columns | other).items() if column is not None}
    pa.parquet.write_table(pa.table(chosen), path)


def side(seconds: float, bandwidth: float, snr: float | None) -> Conditions:
    noise = MAX_SNR_DB if snr is None else min(snr, MAX_SNR_DB)
    return Conditions(np.array([seconds]), np.array([bandwidth]), np.array([noise]))


def slow_llr(first: int, second: int) -> float:
    """As `verify` computes it, a pair at a time and without limits."""
    sides = (side(SECONDS[row], BANDWIDTH[row], SNR[row]) for row in (first, second))
    cosine = CALIBRATION.scores(VECTORS[first], VECTORS[second])
    return float(CALIBRATION.unlimited_llr(cosine, *sides)[0])


def slow_actual_dcf(llrs: np.ndarray, labels: np.ndarray, prior: float) -> float:
    """Bayes' decision of each trial, counted."""
    missed = sum(1 for llr, y in zip(llrs, labels, strict=True) if y and odds(llr, prior) < 1)
    false = sum(1 for llr, y in zip(llrs, labels, strict=True) if not y and odds(llr, prior) >= 1)
    cost = prior * missed / sum(labels == 1) + (1 - prior) * false / sum(labels == 0)
    return cost / min(prior, 1 - prior)


def odds(llr: float, prior: float) -> float:
    return float(np.exp(llr) * prior / (1 - prior))


def slow_cllr(llrs: np.ndarray, labels: np.ndarray) -> float:
    bits = [np.log2(1 + np.exp(-llr if y else llr)) for llr, y in zip(llrs, labels, strict=True)]
    return float(sum(np.mean(np.array(bits)[labels == kind]) for kind in (0, 1)) / 2)


def test_costs_are_those_of_slow_implementations() -> None:
    for number in range(300):
        rng = np.random.default_rng(number)
        labels = rng.permutation(np.arange(int(rng.integers(4, 40))) % 2)
        llrs = rng.normal(rng.choice([0, 1, 5]) * (2 * labels - 1), rng.choice([0.5, 3.0]))
        if number % 3 == 0:
            llrs = np.round(llrs)
        scores = CalibratedScores(llrs, (-2.0, 3.0), "", 0)
        sides = np.arange(len(labels)), np.arange(len(labels)) + 1 - labels
        found = calibrated_figures(scores, labels, *sides, p_targets=(0.01, 0.5, 0.9), draws=0)
        assert found.cllr == pytest.approx(slow_cllr(np.clip(llrs, -2, 3), labels), abs=1e-12)
        for prior, cost in found.actual_dcf.items():
            assert cost == pytest.approx(slow_actual_dcf(llrs, labels, prior), abs=1e-12)
            assert found.min_dcf[prior] <= cost + 1e-12
        assert found.min_cllr <= cllr(llrs, labels) + 1e-12
        assert (found.cllr_interval, found.actual_dcf_intervals) == (None, {})


@pytest.mark.parametrize("most", [0, 10**6])
def test_means_in_draws_are_sums_of_products(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against every trial taken as often as both of its speakers were drawn; both ways."""
    monkeypatch.setattr("timbral.scoring.speaker_means.MOST_PAIRS", most)
    rng = np.random.default_rng(0)
    first, second = OF[PAIRS[:, 0]], OF[PAIRS[:, 1]]
    costs = rng.normal(size=len(first))
    means = SpeakerMeans(first, second, first == second, draws=100, seed=4)
    counts = draw_speakers(first, second, 100, 4)
    own, others = means.split(costs)
    for kind, found in ((1, means.of_targets(own)), (0, means.of_nontargets(others))):
        for times, value in zip(counts, found, strict=True):
            weights = [
                (times[a] if kind else times[a] * times[b]) if y == kind else 0
                for a, b, y in zip(first, second, LABELS, strict=True)
            ]
            assert value == pytest.approx(np.average(costs, weights=weights), abs=1e-5)


def test_intervals_are_those_of_the_same_draws() -> None:
    """The bootstrap over bins draws the same speakers, and here each score has a bin."""
    first, second = OF[PAIRS[:, 0]], OF[PAIRS[:, 1]]
    llrs = np.random.default_rng(1).normal(3 * LABELS - 1.5)
    scores = CalibratedScores(llrs, (-100.0, 100.0), "", 0)
    found = calibrated_figures(scores, LABELS, first, second, p_targets=(0.05,), draws=200)
    bootstrap = SpeakerBootstrap(RankedTrials.of(llrs, LABELS), first, second, draws=200)
    expected = bootstrap.interval(cllr_of(bootstrap.lows))
    assert found.cllr_interval is not None
    assert found.cllr_interval.low == pytest.approx(expected.low, abs=1e-9)
    assert found.cllr_interval.high == pytest.approx(expected.high, abs=1e-9)
    interval = found.actual_dcf_intervals[0.05]
    assert interval.low < found.actual_dcf[0.05] < interval.high


def test_cosines_without_directions_are_those_of_the_vectors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From the cosines as they are, or again from them where directions leave next to nothing."""
    rng = np.random.default_rng(5)
    basis = np.linalg.qr(rng.normal(size=(SIZE, SIZE)))[0].T.astype(np.float32)
    vectors = np.append(VECTORS, np.zeros((1, SIZE)), axis=0).astype(np.float32)
    unit = unit_length(vectors)
    for directions, least in ((1, 0.0), (3, 0.0), (3, 2.0), (7, 1 / 16)):
        monkeypatch.setattr("timbral.scoring.calibrated_scores.LEAST_LEFT", least)
        taken = replace(CALIBRATION, nuisance=tuple(map(tuple, basis[:directions].tolist())))
        first, second = np.append(PAIRS, [[0, len(OF)]], axis=0).astype(np.int32).T
        cosines = (unit[first] * unit[second]).sum(axis=1)
        found = compensated_cosines(cosines, first, second, unit, taken)
        expected = taken.scores(vectors[first], vectors[second])
        assert found == pytest.approx(expected, abs=1e-6)


def test_lines_are_those_of_the_features_that_were_fitted() -> None:
    sides = [Conditions(SECONDS[rows], BANDWIDTH[rows], np.array(SNR_DB)[rows]) for rows in PAIRS.T]
    features = design(*(CALIBRATION.ranges.clip(each) for each in sides), 6)
    lines = CALIBRATION.lines(*(CALIBRATION.measures(each) for each in sides))
    assert lines[:, 0] == pytest.approx(features @ np.array(CALIBRATION.offset), abs=1e-12)
    assert lines[:, 1] == pytest.approx(features @ np.array(CALIBRATION.scale), abs=1e-12)


def test_score_gives_costs_of_llrs(files: Path) -> None:
    done = timbral.score(
        files / "v.parquet", files / "t", draws=100, p_target=(0.05, 0.5), by=["bandwidth_hz"],
        calibration=files / "c.json",
    )  # fmt: skip
    assert done.figures is not None
    found = done.figures.calibrated
    assert found is not None
    llrs = np.array([slow_llr(a, b) for a, b in PAIRS])
    assert found.cllr == pytest.approx(slow_cllr(np.clip(llrs, *CALIBRATION.limits), LABELS), 1e-5)
    for prior, cost in found.actual_dcf.items():
        assert cost == pytest.approx(slow_actual_dcf(llrs, LABELS, prior), 1e-6)
        interval = found.actual_dcf_intervals[prior]
        assert interval.low <= cost <= interval.high
    noise = np.array([MAX_SNR_DB if snr is None else snr for snr in SNR])
    below = (SECONDS < 1) | (BANDWIDTH < 4000) | (noise < 5)
    assert found.num_outside == (below[PAIRS[:, 0]] | below[PAIRS[:, 1]]).sum()
    assert f"{found.num_outside:,} trials have a recording unlike" in done.figures.calibration_note
    same = next(each for each in done.conditions if each.value == "8000 / 8000")
    rows = (BANDWIDTH[PAIRS] == 8000).all(axis=1)
    expected = cllr(np.clip(llrs[rows], *CALIBRATION.limits), LABELS[rows])
    assert same.cllr == pytest.approx(expected, 1e-5)
    assert same.least_cllr is not None
    assert same.least_cllr <= expected
    assert same.actual_dcf["0.5"] == pytest.approx(actual_dcf(llrs[rows], LABELS[rows], 0.5), 1e-6)
    saved = json.loads(json.dumps(done.figures.as_dict()))["calibrated"]
    assert saved["actual_dcf"].keys() == saved["actual_dcf_intervals"].keys() == {"0.05", "0.5"}


def test_models_are_one_voice(files: Path) -> None:
    """Their vectors are averaged; all their speech counts, and their worst line."""
    (files / "m").write_text("".join(f"m{s} s{s:02d}-0 s{s:02d}-1\n" for s in range(SPEAKERS)))
    trials = [(s, row) for s in range(SPEAKERS) for row in range(len(OF)) if row % EACH > 1]
    text = "".join(f"m{s} {NAMES[row]} {int(OF[row] == s)}\n" for s, row in trials)
    (files / "t").write_text(text)
    options = {"draws": 0, "enrollment": files / "m", "calibration": CALIBRATION}
    done = timbral.score(files / "v.parquet", files / "t", **options)
    assert done.figures is not None
    assert done.figures.calibrated is not None
    llrs = []
    for s, row in trials:
        of = [s * EACH, s * EACH + 1]
        noise = min(MAX_SNR_DB if SNR[each] is None else SNR[each] for each in of)
        model = side(SECONDS[of].sum(), BANDWIDTH[of].min(), noise)
        test = side(SECONDS[row], BANDWIDTH[row], SNR[row])
        cosine = CALIBRATION.scores(unit_length(VECTORS[of]).mean(axis=0), VECTORS[row])
        llrs.append(float(CALIBRATION.llr(cosine, model, test)[0]))
    labels = np.array([int(OF[row] == s) for s, row in trials])
    assert done.figures.calibrated.cllr == pytest.approx(slow_cllr(np.array(llrs), labels), 1e-5)
    with pytest.raises(ConfigError, match="average the `vectors` of models"):
        timbral.score(files / "v.parquet", files / "t", **options, enrollment_average="scores")


def test_few_trials_are_told(files: Path, ask: Ask) -> None:
    """One false accept of 150 costs 0.99 / 0.01 / 150; with all trials nothing is told."""
    words = ["score", files / "v.parquet", files / "t", "--draws", "0"]
    calibrated = [*words, "--calibration", files / "c.json"]
    assert "few trials" not in ask(*calibrated).err
    lines = (files / "t").read_text().splitlines()
    kept = [line for line in lines if line[0] == "1"] + [line for line in lines if line[0] == "0"][
        :150
    ]
    (files / "t").write_text("\n".join(kept) + "\n")
    assert "few trials" not in ask(*words).err
    told = ask(*calibrated).err
    assert "with only 150 non-target trials, one false accept adds 0.66 to actDCF(0.01)" in told


def test_calibrations_that_do_not_fit(files: Path, ask: Ask) -> None:
    words = ["score", files / "v.parquet", files / "t", "--draws", "0", "--calibration"]
    answer = ask(*words, files / "c.json")
    assert answer.code == 0
    assert "min Cllr" in answer.out
    assert "calibrated: Cllr" in answer.out
    assert "actDCF(0.01)" in answer.out
    write_calibration(files / "other.json", replace(CALIBRATION, weights_sha256="else"))
    for path, told in (
        ("none.json", "no such file"),
        ("t", "t: "),
        ("other.json", "is a calibration of some"),
    ):
        answer = ask(*words, files / path)
        assert answer.code == 2
        assert told in answer.err
        assert len(answer.err.splitlines()) == 1
    answer = ask(*words, files / "c.json", "--norm", "mean", "--cohort", files / "v.parquet")
    assert answer.code == 2
    assert "--calibration is for cosines" in answer.err
    write_table(files / "v.parquet", bandwidth_hz=None)
    answer = ask(*words, files / "c.json")
    assert answer.code == 2
    assert "table of vectors lacks these columns" in answer.err
    alone = replace(CALIBRATION, offset=(-4.0,), scale=(7.0,))  # takes no conditions
    assert timbral.score(
        files / "v.parquet", files / "t", draws=0, calibration=alone
    ).figures is not None  # fmt: skip
    write_table(files / "v.parquet", embedding_sha256=None)
    with pytest.raises(DataError, match="does not say which weights"):
        timbral.score(files / "v.parquet", files / "t", calibration=CALIBRATION)
    np.savez(files / "v.npz", **dict(zip(NAMES, VECTORS.astype(np.float32), strict=True)))
    with pytest.raises(DataError, match="does not say which weights"):
        timbral.score(files / "v.npz", files / "t", calibration=CALIBRATION)


def test_llrs_are_written_beside_scores(files: Path, ask: Ask) -> None:
    llrs = np.array([slow_llr(a, b) for a, b in PAIRS])
    words = ["score", files / "v.parquet", files / "t", "--draws", "0"]
    own = ["--calibration", files / "c.json"]
    answer = ask(*words, *own, "--llrs", files / "llrs.txt")
    assert (answer.code, f"llrs: {files / 'llrs.txt'}\n" in answer.out) == (0, True)
    rows = [line.split() for line in (files / "llrs.txt").read_text().splitlines()]
    assert [(a, b) for a, b, _ in rows] == [(NAMES[a], NAMES[b]) for a, b in PAIRS]
    np.testing.assert_allclose([float(row[2]) for row in rows], llrs, atol=1e-5)
    table = files / "llrs.tsv"
    given = ["--llrs", table, "--prior", "0.01", "--output", files / "scores.txt"]
    assert ask(*words, *own, *given).code == 0
    heading, *lines = table.read_text().splitlines()
    assert heading.split("\t") == ["first", "second", "label", "score", "llr", "probability"]
    columns = list(zip(*(line.split("\t") for line in lines), strict=True))
    assert columns[2] == tuple(map(str, LABELS))
    scores = [line.split()[0] for line in (files / "scores.txt").read_text().splitlines()]
    assert list(columns[3]) == scores
    expected = 1 / (1 + 99 * np.exp(-np.clip(llrs, *CALIBRATION.limits)))
    np.testing.assert_allclose(np.array(columns[5], float), expected, atol=1e-5)
    assert ask(*words, *own, *given).code == 0  # its own kind is replaced
    for more, told in (
        (["--llrs", files / "l"], "--llrs needs a --calibration"),
        ([*own, "--llrs", files / "t"], "choose another --llrs"),
        ([*own, "--llrs", files / "a", "--output", files / "a"], "choose another --llrs"),
        ([*own, "--llrs", files / "a", "--prior", "1"], "--prior"),
    ):
        answer = ask(*words, *more)
        assert (answer.code, told in answer.err) == (2, True)


def test_lists_without_labels_and_calibrations(files: Path) -> None:
    (files / "t").write_text("".join(f"{NAMES[a]} {NAMES[b]}\n" for a, b in PAIRS[:20]))
    table = files / "l.tsv"
    done = timbral.score(files / "v.parquet", files / "t", calibration=CALIBRATION, llrs=table)
    assert (done.figures, done.num_trials) == (None, 20)
    assert [line.split("\t")[2] for line in table.read_text().splitlines()] == ["label"] + 20 * [""]


def test_encoders_bring_their_calibration(run: Path, voices: Path, tmp_path: Path) -> None:
    """evaluate applies it as verify does, compare compares what it costs; older vectors lack it."""
    listed = tmp_path / "t.txt"
    timbral.trials(voices, listed, per_speaker=4)
    encoder = timbral.load_encoder(run)
    taken = tuple(unit_length(np.arange(1.0, encoder.embedding_dim + 1)).tolist())
    own = replace(
        CALIBRATION,
        weights_sha256=encoder.weights_sha256,
        embedding_sha256=encoder.embedding_identity(),
        nuisance=(taken,),
    )
    encoder.calibration = own
    speakers = {"speakers": Path(f"{listed}.utt2spk"), "draws": 100}
    result = timbral.evaluate(encoder, listed, voices, tmp_path / "a", **speakers)
    assert result.calibrated is not None
    assert json.loads((tmp_path / "a" / "evaluation.json").read_text())["calibrated"]["limits"]
    page = (tmp_path / "a" / "report.html").read_text("utf-8")
    assert "Log-likelihood ratios of the calibration (made up)" in page
    line = (tmp_path / "a" / "llrs.txt").read_text().splitlines()[5].split()
    decision = encoder.verify(voices / line[2], voices / line[3])
    assert decision.llr == pytest.approx(np.clip(float(line[0]), *own.limits), abs=1e-3)

    stricter = replace(own, offset=(-9.0, *own.offset[1:]))
    write_calibration(tmp_path / "c.json", stricter)
    given = {"vectors": tmp_path / "a" / "vectors", "calibration": tmp_path / "c.json"}
    other = timbral.evaluate(encoder, listed, voices, tmp_path / "b", **speakers, **given)
    assert other.calibrated is not None
    compared = timbral.compare(tmp_path / "a", tmp_path / "b", **speakers)
    costs = {each.name: each for each in compared.differences}
    assert costs["Cllr"].first == pytest.approx(result.calibrated.cllr, abs=1e-5)
    assert costs["Cllr"].second == pytest.approx(other.calibrated.cllr, abs=1e-5)
    assert costs["EER"].interval.low == costs["EER"].interval.high == 0
    assert costs["Cllr"].interval.low < costs["Cllr"].second - costs["Cllr"].first
    assert costs["actDCF(0.05)"].second == pytest.approx(other.calibrated.actual_dcf[0.05])

    with pytest.raises(DataError, match="has no calibration; `timbral calibrate`"):
        calibration_of(run)
    encoder.save(tmp_path / "encoder")
    assert calibration_of(tmp_path / "encoder").offset == own.offset

    scores = {"norm": "mean", "cohort": strangers(tmp_path, encoder.embedding_dim)}
    scores |= {"vectors": given["vectors"]}
    normalized = timbral.evaluate(encoder, listed, voices, tmp_path / "n", **speakers, **scores)
    assert normalized.calibrated is None
    assert "is for cosines" in normalized.calibration_note
    without_measures(tmp_path / "a" / "vectors")
    older = timbral.evaluate(encoder, listed, voices, tmp_path / "a", **speakers)
    assert older.calibrated is None
    assert "was not applied: the calibration needs speech" in older.calibration_note
    assert not (tmp_path / "a" / "llrs.txt").exists()


def strangers(folder: Path, size: int) -> Path:
    np.savez(folder / "cohort.npz", **{f"x{n}": RNG.normal(size=size) for n in range(9)})
    return folder / "cohort.npz"


def without_measures(folder: Path) -> None:
    """As a version wrote them that did not measure."""
    for shard in (folder / ".embed").glob("*.arrow"):
        table = pa.ipc.open_file(shard.read_bytes()).read_all()
        table = table.drop_columns(["speech_seconds", "risks", "bandwidth_hz", "snr_db"])
        with pa.ipc.new_file(shard, table.schema) as writer:
            writer.write_table(table)


def test_llrs_of_other_trials_are_not_compared(files: Path) -> None:
    for name in "ab":
        (files / name).mkdir()
        shutil.copy(files / "t", files / name / "list")
        timbral.score(files / "v.parquet", files / "t", files / name / "scores.txt", draws=0)
        (files / name / "llrs.txt").write_text("0.1 1 x y\n")
    with pytest.raises(DataError, match="does not belong to the trials in the same folder"):
        timbral.compare(files / "a", files / "b")
    for name in "ab":
        shutil.copy(files / name / "scores.txt", files / name / "llrs.txt")
        (files / name / "evaluation.json").write_text(json.dumps({"calibrated": asdict(
            Ranges((1.0, 2.0), (1.0, 2.0), (1.0, 2.0)))}))  # fmt: skip
    with pytest.raises(DataError, match="no limits of llrs"):
        timbral.compare(files / "a", files / "b")
