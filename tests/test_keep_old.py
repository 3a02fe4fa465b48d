"""Fine-tuning with `keep_old`: the choice of the share, whole trainings, kills, misuse."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from conftest import Ask
from timbral import api
from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.averaging import weighted_mean
from timbral.checkpoints.checkpoint import find_checkpoint
from timbral.config.schema import TrainConfig
from timbral.data.corpora.scanning import scan_corpus
from timbral.data.prepared.prepare import prepare
from timbral.data.prepared.store import Store
from timbral.demo.shipped import VOICES
from timbral.errors import ConfigError, DataError, TrainingError
from timbral.io.types import Vectors
from timbral.scoring.comparison import Difference
from timbral.scoring.intervals import Interval
from timbral.training import chosen_weights
from timbral.training.chosen_weights import _Scores
from timbral.training.share_choice import (
    TRAINED_SHARES,
    ShareChoice,
    ShareFigures,
    VoiceTrials,
    choose_share,
    share_figures,
)
from timbral.training.train_options import TrainOptions

Make = Callable[..., TrainConfig]


def figures(
    trained_share: float, new: float, *old: float, worse: Sequence[bool] = ()
) -> ShareFigures:
    """EERs of a share in %, the start's being 2 and 3; `worse` says whose clearly are higher."""
    voices = []
    for number, (start, now) in enumerate([(2.0, new), *((3.0, eer) for eer in old)]):
        harmed = bool(worse) and worse[number]
        interval = Interval(0.001, 0.004) if harmed else Interval(-0.01, 0.005)
        name = "old voices" if number else "new voices"
        voices.append(Difference(name, start / 100, now / 100, interval))
    return ShareFigures(trained_share, tuple(voices))


def test_the_best_for_new_voices_that_is_worse_for_nobody() -> None:
    start = figures(0.0, 2.0, 3.0)
    half = figures(0.5, 0.9, 2.9)
    end = figures(1.0, 0.7, 5.0, worse=(False, True))
    assert choose_share([start, half, end]) is half
    assert choose_share([start, half, figures(1.0, 0.7, 3.1)]).trained_share == 1.0
    # the start itself, when everything else is worse for somebody, or nothing is gained
    assert choose_share([start, replace(half, voices=end.voices), end]) is start
    assert choose_share([start, figures(0.5, 2.1, 2.0), figures(1.0, 2.2, 1.0)]) is start
    spoilt = figures(0.5, 0.1, 2.0, worse=(True, False))  # of few speakers, drawn unluckily
    assert choose_share([start, spoilt, end]) is start
    # every kind of old voices counts
    several = [figures(0.0, 2.0, 3.0, 3.0), figures(1.0, 1.0, 2.0, 4.0, worse=(False, False, True))]
    assert choose_share(several) is several[0]


def test_what_forbids_a_share() -> None:
    def old(start: float, low: float, high: float) -> list[str]:
        new = Difference("new voices", 0.02, 0.01, Interval(-0.02, 0.05))  # not clearly worse
        change = Difference("old voices", start, start, Interval(low, high))
        return ShareFigures(0.5, (new, change)).harms

    assert old(0.2, -0.01, 0.01) == []  # worse by a twentieth at most
    assert old(0.01, -0.01, 0.005) == []  # or by half a point
    # few speakers, who could hide a loss
    assert old(0.2, -0.01, 0.03) == [
        "may be worse for old voices by up to 3.00 points of EER (1.00 are allowed)"
    ]
    assert old(0.2, 0.001, 0.009) == ["is worse for old voices"]


def test_why_a_share() -> None:
    start, half = figures(0.0, 2.0, 3.0), figures(0.5, 1.0, 3.0)
    end = figures(1.0, 0.7, 5.0, worse=(False, True))

    def why(*after: ShareFigures) -> str:
        every = (start, *after)
        return ShareChoice(choose_share(every), every, (5, 5)).reason

    assert why(half, figures(1.0, 0.5, 3.0)) == "the trained weights harm no voices"
    assert why(half, end) == "a share of 1 is worse for old voices"
    assert why(half, figures(1.0, 1.5, 3.0)) == "a share of 1 is not better for new voices"
    assert why(end) == "a share of 1 is worse for old voices"
    assert why(figures(0.5, 2.5, 3.0), end) == "a share of 0.5 is not better for new voices"


def test_ties_go_to_the_old_voices_and_then_to_the_start() -> None:
    start = figures(0.0, 2.0, 3.0)
    ties = [figures(0.2, 1.0, 2.9), figures(0.4, 1.0, 2.5), figures(0.6, 1.0, 2.5)]
    assert choose_share([start, *ties]).trained_share == 0.4
    assert choose_share([start, figures(1.0, 2.0, 3.0)]) is start


def trials(name: str, speakers: int, each: int = 3) -> VoiceTrials:
    """All pairs of so many recordings of each speaker."""
    who = np.repeat(np.arange(speakers), each)
    first, second = np.triu_indices(len(who), k=1)
    labels = (who[first] == who[second]).astype(np.int64)
    return VoiceTrials(name, labels, who[first], who[second])


def scored(trials: VoiceTrials, separation: float, seed: int = 0) -> Vectors:
    """Made-up scores: targets lie higher by so many standard deviations."""
    noise = np.random.default_rng(seed).standard_normal(len(trials.labels))
    scores: Vectors = (noise + separation * trials.labels).astype(np.float32)
    return scores


def test_figures_compare_the_same_trials_and_speakers() -> None:
    new, old = trials("new voices", 12), trials("old voices", 15)
    by_share = {
        0.0: [scored(new, 2.0), scored(old, 3.0)],
        0.5: [scored(new, 3.0), scored(old, 3.0)],
        1.0: [scored(new, 4.0), scored(old, 1.0)],
    }
    rows = share_figures([new, old], by_share, draws=200)
    assert [row.trained_share for row in rows] == [0.0, 0.5, 1.0]
    assert not any(rows[0].voices[0].interval.__dict__.values())  # paired with itself: no change
    assert [bool(row.harms) for row in rows] == [False, False, True]
    assert choose_share(rows).trained_share == 0.5
    # unchanged scores have no width: the intervals are of differences
    assert rows[1].voices[1].interval == Interval(0.0, 0.0)
    assert rows[1].voices[0].interval.high < 0
    choice = ShareChoice(rows[1], tuple(rows), (12, 15), "begun")
    assert choice.line.startswith(f"new voices {100 * rows[0].voices[0].first:.2f} -> ")
    assert choice.line.endswith(", share 0.5")
    assert "[+0.00 to +0.00], share" in choice.line
    assert choice.reason == "a share of 1 is worse for old voices"


def test_tensors_that_did_not_learn_stay_bit_for_bit() -> None:
    torch.manual_seed(0)
    frozen, moved = torch.randn(1000), torch.randn(1000)
    ends = [
        {"frozen": frozen, "moved": moved, "count": torch.tensor(9)},
        {"frozen": frozen.clone(), "moved": -moved, "count": torch.tensor(4)},
    ]
    for trained_share in TRAINED_SHARES:
        mean = weighted_mean(ends, [trained_share, 1.0 - trained_share])
        assert torch.equal(mean["frozen"], frozen)
        assert mean["count"] == 9
    assert torch.equal(weighted_mean(ends, [1.0, 0.0])["moved"], moved)
    assert torch.equal(weighted_mean(ends, [0.0, 1.0])["moved"], -moved)


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return prepared(tmp_path_factory.mktemp("new"), slice(0, 10))


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return prepared(tmp_path_factory.mktemp("old"), slice(10, 15))


def prepared(folder: Path, which: slice, each: int = 3) -> Store:
    for voice in sorted(VOICES.glob("*/"))[which]:
        (folder / "voices" / voice.name).mkdir(parents=True)
        for path in sorted(voice.glob("*.ogg"))[:each]:
            (folder / "voices" / voice.name / path.name).symlink_to(path)
    prepare(scan_corpus("folder", folder / "voices"), folder / "data", Preprocessing())
    return Store.open(folder / "data")


@pytest.fixture(scope="module")
def begun(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The encoder that is fine-tuned: a small TDNN."""
    return Path(shutil.copytree(run, tmp_path_factory.mktemp("begun") / "small"))


def tuned(config: TrainConfig, new: Store, output: Path, **options: object) -> api.TrainSummary:
    settings = {"validation_speakers": 5, "device": "cpu", **options}
    return api.train(config, new.folder, output, **settings)  # type: ignore[arg-type]


def chosen_tensors(run: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(run / "checkpoints" / "averaged" / "model.safetensors")


def test_the_run_stands_for_the_chosen_weights(
    new: Store, old: Store, begun: Path, small_config: Make, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    config = small_config("tdnn")
    done = tuned(config, new, output, init=begun, keep_old=old.folder)
    choice = done.share_choice
    assert choice is not None
    assert choice.speakers == (5, 5, 5)
    assert [one.trained_share for one in choice.all] == list(TRAINED_SHARES)
    trained_share = choice.chosen.trained_share

    # what load_encoder gives is the average of both ends, and the best checkpoint stays beside it
    assert done.checkpoint == output / "checkpoints" / "averaged"
    best = find_checkpoint(output, trained=True)
    assert best.folder.name.startswith("step-")
    ends = [api.load_encoder(path, device="cpu").network for path in (best.folder, begun)]
    mean = weighted_mean([end.state_dict() for end in ends], [trained_share, 1 - trained_share])
    loaded = api.load_encoder(output, device="cpu")
    for name, tensor in loaded.network.state_dict().items():
        assert torch.equal(tensor, mean[name]), name
    assert loaded.threshold is not None

    # its figures are those of the choice, in the report, the card and the metrics
    checkpoint = find_checkpoint(output)
    assert checkpoint.validation_eer == choice.chosen.voices[0].second
    assert checkpoint.training_list is not None
    report = json.loads((output / "keep-old" / "choice.json").read_text())
    assert report["share"] == trained_share
    assert [row["share"] for row in report["shares"]] == list(TRAINED_SHARES)
    assert [row["name"] for row in report["voices"]] == [
        "new voices",
        "old voices",
        "degraded old voices",
    ]
    card = (output / "README.md").read_text()
    assert f"The weights are an average: {trained_share:g} times the fine-tuned ones" in card
    assert "| old voices | 5 | " in card
    assert checkpoint.weights_sha256 in card
    rows = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    watched = {row["step"]: row["val_old_eer"] for row in rows if "val_old_eer" in row}
    assert sorted(watched) == [3, 6]
    assert watched[best.step] == choice.all[-1].voices[1].second  # one and the same trials
    assert choice.line in (output / "worker_0.log").read_text()

    # the same command again changes nothing, and computes nothing
    before = chosen_tensors(output), (output / "README.md").read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Scores, "compute", None)
        again = tuned(config, new, output, init=begun, keep_old=old.folder)
    assert again.share_choice == choice
    after = chosen_tensors(output), (output / "README.md").read_bytes()
    assert before[1] == after[1]
    assert all(torch.equal(tensor, after[0][name]) for name, tensor in before[0].items())

    # without the guard it still stands for what was chosen; with more steps no more
    unguarded = tuned(config, new, output, init=begun)
    assert unguarded.checkpoint == done.checkpoint
    longer = replace(config, schedule=replace(config.schedule, steps=7))
    # a checkpoint to resume needs an optimizer, which the chosen weights have not
    assert tuned(longer, new, tmp_path / "more", checkpoint_path=output).resumed_from in (3, 6)
    assert tuned(longer, new, output, init=begun).checkpoint.name.startswith("step-")


@pytest.mark.parametrize("settings", [{"ema": 0.9}, {"freeze": ("body",)}])
def test_resumed_within_the_choice_it_ends_alike(
    settings: dict[str, object], new: Store, old: Store, begun: Path, small_config: Make,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    config = small_config("tdnn", steps=2, validate_every=1, save_every=1)
    config = replace(config, optimizer=dataclasses.replace(config.optimizer, **settings))  # type: ignore[arg-type]
    options = {"init": begun, "keep_old": old.folder}
    whole = tuned(config, new, tmp_path / "whole", **options)
    computed: list[float] = []
    compute = _Scores.compute

    def interrupted(self: _Scores, trained_share: float, network: object) -> None:
        if len(computed) == 2:
            raise KeyboardInterrupt
        computed.append(trained_share)
        compute(self, trained_share, network)  # type: ignore[arg-type]

    monkeypatch.setattr(_Scores, "compute", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tuned(config, new, tmp_path / "broken", **options)
    assert not (tmp_path / "broken" / "checkpoints" / "chosen").exists()
    assert api.load_encoder(tmp_path / "broken", device="cpu")  # the best checkpoint until then
    scores = sorted((tmp_path / "broken" / "keep-old").glob("*.npy"))
    assert len(scores) == 2
    scores[1].write_bytes(scores[1].read_bytes()[:50])  # of a disk that lost power
    stale = scores[0].with_name("0123456789abcdef-0.2.npy")
    shutil.copy(scores[0], stale)

    monkeypatch.setattr(_Scores, "compute", compute)
    resumed = tuned(config, new, tmp_path / "broken", **options)
    assert resumed.share_choice == whole.share_choice
    assert not stale.exists()
    first, second = chosen_tensors(tmp_path / "whole"), chosen_tensors(tmp_path / "broken")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    if "freeze" in settings:
        network = api.load_encoder(begun, device="cpu").network
        for layer in network.layer_groups()["body"]:
            for parameter in layer.parameters():
                assert any(torch.equal(parameter, tensor) for tensor in first.values())


def test_several_old_voices_are_watched_one_by_one(
    new: Store, old: Store, begun: Path, small_config: Make, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(chosen_weights, "TRAINED_SHARES", (0.0, 1.0))  # quicker
    copy = Path(shutil.copytree(old.folder, tmp_path / "telephone"))
    config = small_config("tdnn", steps=1, validate_every=1)
    done = tuned(config, new, tmp_path / "run", init=begun, keep_old=[old.folder, copy])
    assert done.share_choice is not None
    names = [change.name for change in done.share_choice.chosen.voices]
    assert names == [
        "new voices",
        "old voices (data)",
        "degraded old voices (data)",
        "old voices (telephone)",
        "degraded old voices (telephone)",
    ]
    row = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert row["val_old_eer"] == row["val_old_eer_data"] == row["val_old_eer_telephone"]


@pytest.mark.slow
def test_two_processes_choose_what_one_chooses(
    new: Store, old: Store, begun: Path, small_config: Make, tmp_path: Path
) -> None:
    config = small_config("tdnn", steps=2, validate_every=1)
    options = {"init": begun, "keep_old": old.folder}
    one = tuned(config, new, tmp_path / "one", **options).share_choice
    two = tuned(config, new, tmp_path / "two", workers=2, **options).share_choice
    assert one is not None
    assert two is not None
    assert two.chosen.trained_share == one.chosen.trained_share


def test_the_last_lines_of_the_command(
    ask: Ask, new: Store, old: Store, begun: Path, small_config: Make, tmp_path: Path
) -> None:
    words = ["train", "tdnn-ge2e-small", "--init", begun, "--data", new.folder, "--output"]
    words += [tmp_path / "run", "--keep-old", old.folder, "--validation-speakers", 5]
    words += ["--opts", "encoder", "{name: tdnn, channels: 32}", "schedule.steps", 1]
    words += ["data.speakers_per_batch", 4, "data.utterances_per_speaker", 2]
    encoder = small_config("tdnn").encoder
    words[words.index("{name: tdnn, channels: 32}")] = json.dumps(
        {"name": "tdnn", **dataclasses.asdict(encoder)}  # type: ignore[call-overload]
    )
    done = ask(*words)
    assert done.code == 0, done.err
    kept, heading, line = done.out.splitlines()[-3:]
    assert kept.startswith("averaged: ")
    assert heading.startswith("EER of the start -> now [95 % interval")
    assert line.startswith("new voices ")
    assert ", old voices " in line
    assert ", share " in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init": None}, "`keep_old` needs `init`"),
        ({"validation_speakers": 0}, "`validation_speakers` is 0; hold out"),
        ({"validation_speakers": 4}, "at least 5 validation speakers .*; .* has 4: hold out more"),
        ({"validation_speakers": "auto"}, "has 0: hold out more with validation_speakers"),
        ({"keep_old": "new"}, "10 of the speakers of .* are also in .*: af_alloy, af_aoede, "),
        ({"keep_old": "few"}, "has 3 speakers with two or more recordings .*; at least 5 are"),
        ({"keep_old": "otherwise"}, "was prepared with .*; prepare both with the same settings"),
        ({"keep_old": "missing"}, "no such folder"),
        ({"keep_old": "recordings"}, "contains recordings, not prepared data; prepare them first"),
        ({"keep_old": "twice"}, "contains a folder twice"),
    ],
)
def test_misuse_is_told_in_one_line(
    options: dict[str, object], message: str, new: Store, old: Store, begun: Path,
    small_config: Make, tmp_path: Path,
) -> None:  # fmt: skip
    recordings = old.folder.parent / "voices"
    folders = {
        "new": new.folder,
        "missing": tmp_path / "missing",
        "recordings": recordings,
        "twice": [old.folder, old.folder],
    }
    which = options.get("keep_old", "old")
    if which == "few":
        folders["few"] = prepared(tmp_path / "few", slice(20, 23), each=2).folder
    if which == "otherwise":
        folders["otherwise"] = tmp_path / "louder"
        loud = Preprocessing(min_rms_dbfs=-20.0)
        prepare(scan_corpus("folder", recordings), tmp_path / "louder", loud)
    said = {"init": begun, **options, "keep_old": folders.get(str(which), old.folder)}
    with pytest.raises((ConfigError, DataError), match=message) as caught:
        tuned(small_config("tdnn"), new, tmp_path / "run", **said)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()  # found before the output is touched


def test_excluded_speakers_may_be_old_voices(
    new: Store, begun: Path, small_config: Make, tmp_path: Path
) -> None:
    everybody = prepared(tmp_path / "all", slice(0, 15), each=2)
    old = prepared(tmp_path / "old", slice(10, 15), each=2)
    (tmp_path / "old.txt").write_text("\n".join(old.speaker_names))
    config = small_config("tdnn", steps=1, validate_every=1)
    options = {"init": begun, "keep_old": old.folder, "validation_speakers": 5}
    with pytest.raises(DataError, match="5 of the speakers"):
        tuned(config, everybody, tmp_path / "run", **options)
    done = tuned(
        config, everybody, tmp_path / "run", exclude_speakers=tmp_path / "old.txt", **options
    )
    assert done.share_choice is not None


def test_vectors_that_are_not_finite_end_the_choice(
    new: Store, old: Store, begun: Path, small_config: Make, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def broken(network: torch.nn.Module, *_: object) -> None:
        for parameter in network.parameters():
            parameter.data.fill_(float("nan"))

    monkeypatch.setattr(chosen_weights, "_set_mean", broken)
    config = small_config("tdnn", steps=1, validate_every=1)
    with pytest.raises(TrainingError, match="with a share of 0, vectors are not finite"):
        tuned(config, new, tmp_path / "run", init=begun, keep_old=old.folder)


def test_options_stand_for_themselves() -> None:
    given = TrainOptions(init="campplus-zh-en", keep_old=(Path("old"),))
    assert given.with_defaults(TrainOptions()) == given
