"""A loss, a layout and an encoder of the user's own, and the trial of an encoder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from conftest import SMALL, Ask
from test_own_encoder import CONFIG, OWN
from timbral import api
from timbral.config.schema import TrainConfig
from timbral.config.yaml import to_mapping
from timbral.data.corpora.scanning import scan_corpus
from timbral.data.prepared.store import Store
from timbral.encoders.contract import check_contract
from timbral.encoders.registry import ENCODERS
from timbral.errors import ConfigError, DataError
from timbral.exporting import parity
from timbral.losses.registry import LOSSES, build_loss

OWN_LOSS = '''
from dataclasses import dataclass

import torch

from timbral.losses.base import SpeakerLoss, group_by_speaker, unit_vectors


@dataclass(frozen=True)
class Config:
    scale: float = 1.0


class Compact(SpeakerLoss):
    """How far utterances are from their speaker's mean."""

    name = "compact"
    config_type = Config

    def forward(self, embeddings, speakers):
        grouped = group_by_speaker(unit_vectors(embeddings), speakers)
        return self.config.scale * (grouped - grouped.mean(1, keepdim=True)).square().mean()


class Taken(Compact):
    name = "ge2e"


half = 0.5
'''

OWN_LAYOUT = """
from timbral.data.corpora.corpus import Corpus
from timbral.data.manifest import Utterance


def calls(root):
    for path in sorted(root.rglob("*.ogg")):
        yield Utterance(path.stem, "own-" + path.stem[:4], "", str(path), "calls")


def wrong(root):
    yield "a.wav"


def broken(root):
    raise KeyError("nothing")


CALLS = Corpus(calls, ("CALL/SPEAKER-TURN.ogg",))
"""

LEAKY = (
    OWN.replace("Statistics", "Leaky")
    .replace('"statistics"', '"leaky"')
    .replace(
        "self.linear(statistics_pooling(features, mask)).float()",
        "self.linear(torch.cat([features.mean(1), features.std(1)], 1))",
    )
    .replace("from torch import nn", "import torch\nfrom torch import nn")
)


@pytest.fixture(autouse=True)
def unregister() -> Iterator[None]:
    yield
    for registry in (ENCODERS, LOSSES):
        for name in ("statistics", "leaky", "compact"):
            registry.pop(name, None)


def test_a_loss_of_ones_own(store: Store, tmp_path: Path, ask: Ask) -> None:
    source, config = tmp_path / "mine.py", tmp_path / "config.yaml"
    source.write_text(OWN_LOSS)
    config.write_text(CONFIG.replace("lstm", "tdnn"))
    command = [
        *("train", str(config), "--data", str(store.folder), "--output", str(tmp_path / "run")),
        *("--loss", f"{source}:Compact", "--device", "cpu"),
        *("--opts", "loss.scale", "2", "encoder.channels", "16", "encoder.pooled_channels", "24"),
    ]
    assert ask(*command).code == 0
    del LOSSES["compact"]
    encoder = api.load_encoder(tmp_path / "run", device="cpu")  # needs no loss
    encoder.save(tmp_path / "saved")
    loss = api.resolve(tmp_path / "run").config.loss
    assert to_mapping(replace(TrainConfig(), loss=loss))["loss"] == {
        "name": "compact",
        "scale": 2.0,
    }
    with pytest.raises(ConfigError, match="register_loss"):
        build_loss(loss, 8, 2)
    api.register_loss(f"{source}:Compact")
    again = api.resolve(tmp_path / "run").config.loss
    assert build_loss(again, 8, 2).config.scale == 2.0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Compacts", "has no Compacts; did you mean 'Compact'"),
        ("Config", "derives from SpeakerLoss"),
        ("half", "derives from SpeakerLoss"),
        ("Taken", "a loss of timbral already has the name"),
        ("SpeakerLoss", "`name` and `config_type`"),
    ],
)
def test_mistakes_of_losses(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN_LOSS)
    with pytest.raises(ConfigError, match=words):
        api.register_loss(f"{tmp_path / 'mine.py'}:{name}")


@pytest.mark.parametrize("name", ["calls", "CALLS"])
def test_a_layout_of_ones_own(name: str, voices: Path, tmp_path: Path, ask: Ask) -> None:
    source = tmp_path / "mine.py"
    source.write_text(OWN_LAYOUT)
    found = scan_corpus(f"{source}:{name}", voices)
    assert all(row.speaker.startswith("own-") and row.corpus == "calls" for row in found)
    output = tmp_path / "list.csv"
    written = ("--output", str(output), "--format", "csv")
    assert ask("export-list", str(voices), "--layout", f"{source}:{name}", *written).code == 0
    assert "own-" in output.read_text()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wrong", "returned a str instead of an Utterance"),
        ("broken", "KeyError"),
        ("Utterance", "a layout is a Corpus, or a function"),
        ("call", "did you mean 'calls'"),
        ("", "a layout must be given as path.py:NAME, got"),
    ],
)
def test_mistakes_of_layouts(name: str, words: str, voices: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN_LAYOUT)
    with pytest.raises(ConfigError, match=words):
        scan_corpus(f"{tmp_path / 'mine.py'}:{name}".removesuffix(":"), voices)


def test_a_file_that_ends_python(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import sys\nsys.exit(3)\n")
    with pytest.raises(ConfigError, match=r"mine\.py: cannot be run \(SystemExit: 3\)"):
        api.register_loss(f"{tmp_path / 'mine.py'}:Mine")


def test_a_layout_that_finds_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN_LAYOUT)
    with pytest.raises(DataError, match=r"expected below it: *found"):
        scan_corpus(f"{tmp_path / 'mine.py'}:CALLS", tmp_path)


@pytest.mark.parametrize("name", ["tdnn", "lstm", "resnet"])
def test_encoders_of_timbral_keep_the_contract(name: str) -> None:
    torch.manual_seed(1)
    checks = check_contract(ENCODERS[name](SMALL[name]))
    assert [check.name for check in checks if not check.ok] == []
    state = torch.get_rng_state()
    check_contract(ENCODERS["tdnn"](SMALL["tdnn"]))
    torch.manual_seed(1)
    assert len(checks) == 5
    assert not torch.equal(state, torch.get_rng_state())


def test_an_encoder_on_trial(tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "LONGEST_SECONDS", 2.0)
    monkeypatch.setattr(parity, "NUM_LENGTHS", 1)
    (tmp_path / "mine.py").write_text(OWN)
    asked = ask("check-encoder", f"{tmp_path / 'mine.py'}:Statistics")
    assert asked.code == 0
    assert [line.split()[0] for line in asked.out.splitlines()] == ["ok"] * 6
    forgotten = ask("check-encoder", tmp_path / "mine.py")
    assert (forgotten.code, "must be given as path.py:NAME, got" in forgotten.err) == (2, True)
    assert forgotten.err.count("\n") == 1


def test_an_encoder_that_leaks(store: Store, tmp_path: Path, ask: Ask) -> None:
    source, config = tmp_path / "leaky.py", tmp_path / "config.yaml"
    source.write_text(LEAKY)
    asked = ask("check-encoder", f"{source}:Leaky", "--no-export")
    assert asked.code == 2
    assert "BROKEN padding" in asked.out
    assert "BROKEN batch mates" in asked.out
    config.write_text(CONFIG)
    with pytest.raises(
        ConfigError, match=r"breaks the rules for encoders .*padding: 2 s of padding change"
    ):
        api.register_encoder(f"{source}:Leaky")
        settings = api.load_config(config, {"encoder": "leaky"})
        api.train(settings, store.folder, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("return self.linear(", "return 1 / 0 * self.linear("), "ZeroDivisionError"),
        (("self.linear =", "self.unused = self.linear ="), "^$"),
        (("self.linear =", "self.more = nn.Linear(2, 2); self.linear ="), "does not reach more"),
        (("config.size, 1_600", "3, 1_600"), r"instead of \(2, 3\)"),
        (("1_600", "0"), "minimum length: min_samples is 0"),
    ],
)
def test_what_is_broken_is_told(change: tuple[str, str], words: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN.replace(*change))
    api.register_encoder(f"{tmp_path / 'mine.py'}:Statistics")
    encoder = ENCODERS["statistics"](ENCODERS["statistics"].config_type())
    broken = [f"{check.name}: {check.found}" for check in check_contract(encoder) if not check.ok]
    assert re.search(words, "; ".join(broken)), broken
