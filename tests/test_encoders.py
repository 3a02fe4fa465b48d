"""What holds for every encoder in ENCODERS."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from conftest import SMALL
from timbral.audio.decode import Wave
from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.layers.frames import frame_mask
from timbral.encoders.layers.norm import FrameBatchNorm
from timbral.encoders.lstm import LstmConfig, LstmEncoder
from timbral.encoders.native_windows import Windows
from timbral.encoders.registry import ENCODERS
from timbral.encoders.resnet import ResnetConfig
from timbral.encoders.tdnn import TdnnConfig
from timbral.encoders.wavlm.encoder import WavlmEncoder
from timbral.inference.embedder import Embedder

CASES = {
    **{name: (name, config) for name, config in SMALL.items()},
    "tdnn-stride-2": ("tdnn", TdnnConfig(16, 24, 16, stride=2)),
    "tdnn-no-mean": ("tdnn", TdnnConfig(16, 24, 16, mean_normalize=False)),
    "ecapa-stride-3": ("ecapa", replace(SMALL["ecapa"], stride=3)),
    "ecapa-wespeaker": ("ecapa", replace(SMALL["ecapa"], variant="wespeaker")),
    "ecapa-no-context": (
        "ecapa",
        replace(SMALL["ecapa"], variant="wespeaker", global_context=False),
    ),
    "resnet-bottleneck": ("resnet", ResnetConfig((1, 1, 1, 1), True, 2, 16, second_linear=True)),
    "wavlm-large": (
        "wavlm",
        replace(
            SMALL["wavlm"],
            feat_extract_norm="layer",
            do_stable_layer_norm=True,
            do_normalize=True,
            use_weighted_layer_sum=False,
        ),
    ),
}


@pytest.fixture(params=sorted(CASES))
def encoder(request: pytest.FixtureRequest) -> SpeakerEncoder:
    return make(request.param)


def make(case: str) -> SpeakerEncoder:
    """An encoder with running statistics that are not those of initialization."""
    name, config = CASES[case]
    torch.manual_seed(0)
    encoder = ENCODERS[name](config)
    with torch.no_grad():
        encoder(torch.randn(8, 16_000), torch.full((8,), 16_000))
    return encoder.eval()


def pad(waves: list[Wave], extra: int = 0, fill: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([len(wave) for wave in waves])
    batch = torch.full((len(waves), int(lengths.max()) + extra), fill)
    for row, wave in enumerate(waves):
        batch[row, : len(wave)] = torch.from_numpy(wave)
    return batch, lengths


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_every_encoder_has_a_tiny_config(name: str) -> None:
    assert ENCODERS[name].name == name
    assert isinstance(SMALL[name], ENCODERS[name].config_type)


def test_features_and_embeddings_have_the_shapes_of_the_contract(
    encoder: SpeakerEncoder, waves: list[Wave]
) -> None:
    batch, lengths = pad(waves[:3])
    features, frames = encoder.features(batch, lengths)
    assert features.shape[0] == 3
    assert features.shape[1] == int(frames.max())
    embeddings = encoder(batch, lengths)
    assert embeddings.shape == (3, encoder.embedding_dim)
    torch.testing.assert_close(encoder.embed_features(features, frames), embeddings)
    shortest = torch.randn(1, encoder.min_samples)
    assert torch.isfinite(encoder(shortest, torch.tensor([encoder.min_samples]))).all()


@torch.no_grad()
def test_padding_and_batch_mates_do_not_affect_embeddings(
    encoder: SpeakerEncoder, waves: list[Wave]
) -> None:
    ragged = [wave[: len(wave) // (1 + row % 3)] for row, wave in enumerate(waves)]
    order = np.random.default_rng(0).permutation(len(ragged))
    shuffled = encoder(*pad([ragged[row] for row in order], extra=160_000, fill=torch.nan))
    for position, row in enumerate(order):
        alone = functional.normalize(encoder(*pad([ragged[row]])))
        difference = alone - functional.normalize(shuffled[position : position + 1])
        assert difference.abs().max() <= 1e-5


def test_embedder_vectors_do_not_depend_on_the_batch(
    encoder: SpeakerEncoder, waves: list[Wave]
) -> None:
    embedder = Embedder(encoder)
    ragged = [wave[: len(wave) // (1 + row % 3)] for row, wave in enumerate(waves)]
    together = embedder.encode_preprocessed(ragged)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    for row, wave in enumerate(ragged):
        assert np.abs(embedder.encode_preprocessed([wave])[0] - together[row]).max() <= 1e-5


def test_gradients_reach_every_parameter(encoder: SpeakerEncoder, waves: list[Wave]) -> None:
    encoder.train()
    encoder(*pad(waves)).square().sum().backward()
    # the LSTM's embeddings have unit length, so their squares have no gradient: use a projection
    encoder.zero_grad()
    embeddings = encoder(*pad(waves))
    (embeddings * torch.randn_like(embeddings)).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_frame_batch_norm_counts_only_frames_inside() -> None:
    torch.manual_seed(0)
    frames = torch.randn(3, 10, 4)
    mask = frame_mask(torch.tensor([10, 6, 3]), 10)
    frames = torch.where(mask[:, :, None], frames, 100.0)
    norm, plain = FrameBatchNorm(4), torch.nn.BatchNorm1d(4)
    torch.testing.assert_close(norm(frames, mask)[mask], plain(frames[mask]))
    torch.testing.assert_close(norm.running_mean, plain.running_mean)


def test_lstm_defaults_are_paddlespeechs() -> None:
    encoder = LstmEncoder(LstmConfig())
    assert sum(p.numel() for p in encoder.parameters()) == 1_423_616
    shapes = {key: tuple(value.shape) for key, value in encoder.state_dict().items()}
    assert shapes["lstm.weight_ih_l0"] == (1024, 40)
    assert shapes["lstm.weight_hh_l2"] == (1024, 256)
    assert shapes["linear.weight"] == (256, 256)


def test_lstm_vectors_are_unit_and_not_negative(waves: list[Wave]) -> None:
    embeddings = LstmEncoder(LstmConfig())(*pad(waves[:2]))
    assert (embeddings >= 0).all()
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize(
    ("samples", "step", "expected"),
    [
        (1600, 80, [0]),  # shorter than one window: one, padded
        (25_600, 80, [0]),  # half of a second one would be audio
        (12_800 + 19_199, 80, [0]),
        (12_800 + 19_200, 80, [0, 80]),  # three quarters of it are
        (160_000, 80, [80 * k for k in range(12)]),
        (160_000, 77, [77 * k for k in range(12)]),
    ],
)
def test_starts_of_windows(samples: int, step: int, expected: list[int]) -> None:
    assert Windows(step=step).starts(samples, 160) == expected


def test_windows_are_those_of_paddlespeech() -> None:
    """Its rule, written again as its sources have it."""
    for samples in range(400, 120_000, 377):
        n_frames = int(np.ceil((samples + 1) / 160))
        starts = list(range(0, max(1, n_frames - 160 + 80 + 1), 80))
        coverage = (samples - starts[-1] * 160) / (160 * 160)
        if coverage < 0.75 and len(starts) > 1:
            starts = starts[:-1]
        assert Windows().starts(samples, 160) == starts


def test_wavlm_masks_spans_of_frames_in_training_only() -> None:
    """About `mask_time_prob` of the frames, at least two spans, none in a very short utterance."""
    config = replace(
        SMALL["wavlm"], mask_time_prob=0.3, mask_time_length=5, hidden_dropout=0.0, layerdrop=0.0
    )
    transformer = WavlmEncoder(config).transformer
    mask = frame_mask(torch.tensor([400, 200, 12, 4]), 400)
    torch.manual_seed(0)
    masked = torch.stack([transformer._spans_to_mask(mask) for _ in range(50)]).double()
    assert not masked[:, ~mask].any()  # (50, B, F)
    fractions = masked.sum(2).mean(0) / mask.sum(1)
    expected = 1 - math.exp(-0.3)  # spans overlap
    torch.testing.assert_close(
        fractions[:2], torch.full((2,), expected).double(), atol=0.03, rtol=0
    )
    assert 5 < masked[:, 2].sum(1).mean() <= 10
    assert not masked[:, 3].any()

    frames = torch.randn(4, 400, config.conv_dim[-1])
    outputs = []
    for value in (0.0, 5.0):
        torch.nn.init.constant_(transformer.masked_spec_embed, value)
        torch.manual_seed(1)
        outputs.append(
            (transformer.train()(frames, mask)[-1], transformer.eval()(frames, mask)[-1])
        )
    (in_training, in_evaluation), (other_in_training, other_in_evaluation) = outputs
    assert not torch.allclose(in_training[0], other_in_training[0])
    torch.testing.assert_close(in_training[3, :4], other_in_training[3, :4])
    torch.testing.assert_close(in_evaluation[mask], other_in_evaluation[mask])


def test_new_lstm_embeddings_differ_between_utterances() -> None:
    """With torch's own random biases all of these vectors have a cosine of 0.999."""
    torch.manual_seed(0)
    encoder = LstmEncoder(LstmConfig()).eval()
    mels = torch.rand(8, 160, 40).pow(8)  # powers: mostly near zero
    with torch.no_grad():
        vectors = encoder.embed_features(mels, torch.full((8,), 160))
    cosines = (vectors @ vectors.T)[~torch.eye(8, dtype=torch.bool)]
    assert cosines.mean() < 0.9
