"""Files for sherpa-onnx: its filter banks, the layer that makes up for them, its metadata."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import timbral
from conftest import SMALL, Ask
from timbral.audio.decode import Wave
from timbral.encoders.frontends import KALDI_FBANK_80, WESPEAKER_FBANK_80, FbankConfig, KaldiFbank
from timbral.encoders.registry import ENCODERS
from timbral.errors import CheckpointError, ConfigError, DataError
from timbral.exporting import parity, sherpa_file, shipped_trials
from timbral.exporting.sherpa_features import SherpaFbank, fit_correction
from timbral.exporting.sherpa_file import export_for_sherpa
from timbral.inference.embedder import Embedder

GOLDEN = Path(__file__).parent / "golden" / "sherpa.npz"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit and measured on few, short recordings."""
    recordings = parity.shipped_recordings()[:3]
    monkeypatch.setattr(parity, "shipped_recordings", lambda: recordings)
    monkeypatch.setattr(sherpa_file, "shipped_recordings", lambda: recordings)
    monkeypatch.setattr(parity, "LONGEST_SECONDS", 2.0)
    monkeypatch.setattr(parity, "NUM_LENGTHS", 1)


def made(name: str = "campplus", **settings: object) -> Embedder:
    torch.manual_seed(0)
    config = replace(SMALL[name], **settings) if settings else SMALL[name]
    return Embedder(ENCODERS[name](config), license="MIT")


def test_banks_are_those_of_sherpa_onnx() -> None:
    """The first frame, the mean of all and the last, as sherpa-onnx 2.0.1 computed them."""
    with np.load(GOLDEN) as golden:
        wave, expected = golden["wave"], golden["banks"]
    banks = SherpaFbank(1.0).of_wave(torch.from_numpy(wave))
    assert banks.shape == (31, 80)
    found = torch.stack([banks[0], banks.mean(0), banks[-1]]).numpy()
    # logs of energies as small as 1e-5: processors differ in their last digits
    np.testing.assert_allclose(found, expected, atol=3e-4)


@pytest.mark.parametrize("config", [KALDI_FBANK_80, WESPEAKER_FBANK_80])
def test_a_fitted_layer_makes_up_for_most(config: FbankConfig, waves: list[Wave]) -> None:
    """On recordings that it was not fitted to."""
    own = KaldiFbank(config)
    correction = fit_correction(own, waves[2:])
    windows = torch.from_numpy(waves[0]).unfold(0, 400, 160)[None]
    wanted = own.banks(windows)[0]
    given = SherpaFbank(config.full_scale).banks(windows)[0]
    left = [
        float((frames - wanted - (frames - wanted).mean(0)).square().mean())
        for frames in (given, correction(given))
    ]
    assert left[1] < 0.3 * left[0]


@pytest.mark.parametrize(
    ("filter_banks", "expected"),
    [("kaldi", ("3d-speaker", "1")), ("wespeaker", ("wespeaker", "0"))],
)
def test_the_file_for_sherpa_is_close_to_the_encoder(
    filter_banks: str, expected: tuple[str, str], tmp_path: Path
) -> None:
    embedder = made(filter_banks=filter_banks)
    path = tmp_path / "sherpa.onnx"
    summary = export_for_sherpa(embedder, path)
    assert summary.num_bytes == path.stat().st_size
    assert summary.parity.cosine > 0.99999
    assert summary.cosine > summary.uncorrected_cosine
    stored = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert (stored["framework"], stored["normalize_samples"]) == expected
    assert (stored["output_dim"], stored["sample_rate"]) == (str(embedder.embedding_dim), "16000")
    assert stored["language"]  # sherpa-onnx ends the process where it is empty
    assert stored["license"] == "MIT"
    session = onnxruntime.InferenceSession(path)
    assert [given.name for given in session.get_inputs()] == ["x"]
    for frames in (30, 301):
        banks = np.random.default_rng(0).normal(size=(1, frames, 80)).astype(np.float32)
        (vector,) = session.run(None, {"x": banks})
        assert vector.shape == (1, embedder.embedding_dim)
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(CheckpointError, match=r"was not written by `timbral export`"):
        timbral.load_encoder(path)


def test_weights_of_8_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "LARGEST_EER_RISE", 0.3)  # of random weights, on few trials
    recordings = shipped_trials.trial_recordings()[:6]
    monkeypatch.setattr(shipped_trials, "trial_recordings", lambda: recordings)
    summary = export_for_sherpa(made(), tmp_path / "sherpa.onnx", precision="int8")
    assert 0.99 < summary.parity.cosine < 1.0
    assert summary.parity.eer is not None
    kinds = {tensor.data_type for tensor in onnx.load(tmp_path / "sherpa.onnx").graph.initializer}
    assert onnx.TensorProto.INT8 in kinds


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lstm: sherpa-onnx computes 80 Kaldi filter banks"):
        export_for_sherpa(made("lstm"), tmp_path / "x.onnx")
    with pytest.raises(ConfigError, match=r"must end in \.onnx"):
        export_for_sherpa(made(), tmp_path / "x.bin")
    other = tmp_path / "other.onnx"
    other.write_bytes(b"somebody's")
    with pytest.raises(DataError, match="is not a model for sherpa-onnx, so it is not overwritten"):
        export_for_sherpa(made(), other)
    assert other.read_bytes() == b"somebody's"


def test_export_for_sherpa_warns_of_comparing(ask: Ask, tmp_path: Path) -> None:
    made().save(tmp_path / "encoder")
    done = ask("export", tmp_path / "encoder", "--sherpa", tmp_path / "sherpa.onnx")
    assert done.code == 0, done.err
    assert "Do not compare them with vectors of the encoder" in done.out
    both = ask("export", "campplus-zh-en", "--sherpa", "a.onnx", "--output", "b.onnx")
    assert both.code == 2
    assert "give exactly one of --output FILE.onnx, --sherpa FILE.onnx and --web FOLDER" in both.err
