"""Fixtures: shipped voices, a small store, a small trained run, real speech."""

from __future__ import annotations

import dataclasses
import io
import os
import re
import resource
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from timbral import api
from timbral.audio.decode import Wave
from timbral.audio.preprocessing import Preprocessing, load
from timbral.cli.main import main
from timbral.config.schema import OptimizerConfig, ScheduleConfig, TrainConfig, TrainerConfig
from timbral.data.batches.data_config import DataConfig
from timbral.data.corpora.scanning import scan_corpus
from timbral.data.prepared.prepare import prepare
from timbral.data.prepared.store import Store
from timbral.data.training_list import TRAINING_LIST
from timbral.demo import shipped, whole_job
from timbral.demo.shipped import VOICES
from timbral.encoders.registry import ENCODERS
from timbral.exporting import parity, shipped_trials
from timbral.inference.embedder import Embedder
from timbral.io import devices
from timbral.plots import projection

os.environ.setdefault(
    "ORT_DISABLE_TELEMETRY", "1"
)  # of tests that import onnxruntime by themselves
if "PYTEST_XDIST_WORKER" in os.environ:  # one of two processes on two cores
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start
else:
    torch.set_num_threads(2)

SHARED = Path(__file__).parents[2] / "shared" / "data"

SMALL = {name: encoder.tiny_config for name, encoder in ENCODERS.items()}
"""a small config of each encoder in ENCODERS"""


LONGEST_FILES = (
    "test_readme", "test_distributed", "test_docs", "test_foreign", "test_pretrained", "test_bulk",
    "test_bulk_engines", "test_evaluation", "test_projection", "test_export", "test_serving",
)  # fmt: skip
"""begun first, so that no process of two waits long for the other at the end"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: position for position, name in enumerate(LONGEST_FILES)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file may become larger: the system then refuses to write, as a full disk or quota does.

    Python would keep the first part of a compiled module as if it were all of it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        sys.dont_write_bytecode = before


Ask = Callable[..., "Answer"]

needs_bf16 = pytest.mark.skipif(
    not devices.has_bf16(), reason="torch does not compute in bf16 on this processor"
)


LAYOUT_LINE = r"^layout: \w+, [\d,]+ speakers?: .*\n"


def without_progress(text: str) -> str:
    """Standard error without the lines that tell of a slow machine's progress and of layouts."""
    text = re.sub(LAYOUT_LINE, "", text, flags=re.M)
    return re.sub(r"^[a-z ]+: [\d,]+( of [\d,]+)?  \d.*\n", "", text, flags=re.M)


@dataclass(frozen=True)
class Answer:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str
    layout: str = ""
    """the line of standard error that says how a corpus was read, which `err` is without"""


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Run commands in this process, which keeps its denormals and its format of warnings."""
    monkeypatch.setattr(devices, "tune_cpu", lambda: None)
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)

    def run(*words: object, standard_input: str = "") -> Answer:
        monkeypatch.setattr(sys, "argv", ["timbral", *map(str, words)])
        stdin = io.TextIOWrapper(io.BytesIO(standard_input.encode()))
        monkeypatch.setattr(sys, "stdin", stdin)
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code or 0
        assert isinstance(code, int)
        out, err = capsys.readouterr()
        layouts = re.findall(LAYOUT_LINE, err, flags=re.M)
        return Answer(code, out, re.sub(LAYOUT_LINE, "", err, flags=re.M), "".join(layouts))

    return run


def timbral(*words: object) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, which takes long, because it imports torch again."""
    command = [sys.executable, "-m", "timbral", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A cache folder in which nothing was converted or downloaded."""
    monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def short_parity(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parity of an exported model is measured on four recordings of up to 3 s."""
    monkeypatch.setattr(parity, "LONGEST_SECONDS", 3.0)
    monkeypatch.setattr(parity, "NUM_LENGTHS", 2)


@pytest.fixture
def quick_parity(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an export measures is measured on few, short recordings."""
    recordings = shipped_trials.trial_recordings()[:12]
    monkeypatch.setattr(shipped_trials, "trial_recordings", lambda: recordings)
    monkeypatch.setattr(parity, "LONGEST_SECONDS", 2.0)
    monkeypatch.setattr(parity, "NUM_LENGTHS", 1)
    monkeypatch.setattr(parity, "LARGEST_EER_RISE", 0.2)  # of random weights, on 66 trials


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real speech beside the checkout; tests that need it are skipped elsewhere."""
    if not SHARED.is_dir():
        pytest.skip("the real speech is not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight shipped voices with six utterances each, linked into a folder corpus."""
    root = tmp_path_factory.mktemp("voices")
    for voice in sorted(VOICES.glob("*/"))[::7]:
        (root / voice.name).mkdir()
        for path in sorted(voice.glob("*.ogg"))[:6]:
            (root / voice.name / path.name).symlink_to(path)
    return root


@pytest.fixture(scope="session")
def store(voices: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("prepared") / "store"
    prepare(scan_corpus("folder", voices), folder, Preprocessing())
    return Store.open(folder)


def touch(root: Path, *names: str) -> Path:
    """A folder with empty files of these names."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def make_recordings(root: Path) -> Path:
    """Folders `noise`, `music` and `rir` with small recordings."""
    random = np.random.default_rng(0)
    for kind, count, rate in (("noise", 3, 16_000), ("music", 2, 22_050)):
        (root / kind / "deeper").mkdir(parents=True)
        for number in range(count):
            wave = 0.1 * random.standard_normal(2000 + 9000 * number)
            soundfile.write(root / kind / "deeper" / f"{number}.wav", wave, rate)
    (root / "rir").mkdir()
    for number in range(2):
        response = np.zeros(3000)
        response[40:] = random.standard_normal(2960) * np.exp(-np.arange(2960) / 300) * 0.05
        response[40] = -0.9
        soundfile.write(root / "rir" / f"{number}.wav", response, 16_000, "FLOAT")
    return root


@pytest.fixture(scope="session")
def waves(voices: Path) -> list[Wave]:
    """Twelve real-length utterances, ragged."""
    return [load(path) for path in sorted(voices.glob("*/*.ogg"))[::4]]


def sections(**settings: object) -> dict[str, Any]:
    """Sections of TrainConfig with these settings, each in the section that has it."""
    types = {"optimizer": OptimizerConfig, "schedule": ScheduleConfig, "trainer": TrainerConfig}
    found: dict[str, Any] = {}
    for name, cls in types.items():
        own = {field.name for field in dataclasses.fields(cls)} & settings.keys()
        found[name] = cls(**{key: settings.pop(key) for key in own})
    assert not settings, f"no section has {settings}"
    return found


@pytest.fixture
def small_config() -> Callable[..., TrainConfig]:
    """Make a config that trains in a moment; keyword arguments go to the section that has them."""

    def make(encoder: str = "lstm", **settings: object) -> TrainConfig:
        defaults = {"steps": 6, "learning_rate": 1e-3, "log_every": 1, "validate_every": 3}
        return TrainConfig(
            encoder=SMALL[encoder],
            data=DataConfig(speakers_per_batch=4, utterances_per_speaker=3, crop_seconds=0.8),
            **sections(**{**defaults, "save_every": 3, **settings}),
        )

    return make


@pytest.fixture(scope="session")
def run(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a small TDNN that was trained for a few steps."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    config = TrainConfig(
        encoder=SMALL["tdnn"],
        data=DataConfig(speakers_per_batch=4, utterances_per_speaker=3, crop_seconds=0.8),
        **sections(steps=4, learning_rate=1e-3, validate_every=2, save_every=2),
    )
    api.train(config, store.folder, folder, validation_speakers="2", device="cpu")
    (folder / TRAINING_LIST).unlink()  # tests evaluate on the speakers that it was trained on
    return folder


@pytest.fixture(scope="module")
def embedder(run: Path) -> Embedder:
    """The encoder of the run."""
    return api.load_encoder(run, device="cpu")


@pytest.fixture
def tone() -> Callable[[float, int], Wave]:
    """A sum of sines, `seconds` long at `sample_rate`."""

    def make(seconds: float, sample_rate: int = 16_000) -> Wave:
        time = np.arange(round(seconds * sample_rate)) / sample_rate
        partials = [np.sin(2 * np.pi * 220 * k * time) / k for k in range(1, 6)]
        return (0.2 * np.sum(partials, axis=0)).astype(np.float32)

    return make


@pytest.fixture
def small_demo(voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo takes eight voices and two steps, and places its points by principal components."""
    config = tmp_path / "demo.yaml"
    config.write_text(
        "encoder: {name: tdnn, channels: 32}\n"
        "data: {speakers_per_batch: 4, utterances_per_speaker: 3, crop_seconds: 0.8}\n"
        "schedule: {steps: 2}\n"
    )
    for module in (whole_job, shipped):
        monkeypatch.setattr(module, "VOICES", voices)
    monkeypatch.setattr(whole_job, "CONFIG", config)
    monkeypatch.setattr(projection, "MIN_FOR_NEIGHBORHOODS", 100)
