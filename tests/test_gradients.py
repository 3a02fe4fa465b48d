"""Chunks: the gradient of the whole batch, whatever passes the encoder at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conftest import SMALL, sections
from timbral.checkpoints.weights import build_encoder
from timbral.config.schema import TrainConfig, TrainerConfig
from timbral.data.batches.batch import WaveBatch
from timbral.data.batches.config import DataConfig
from timbral.data.streams import Stream
from timbral.encoders.base import SpeakerEncoder
from timbral.losses.ge2e import GE2EConfig, GE2ELoss
from timbral.training.distributed import Workers
from timbral.training.gradients import Outcome, whole_batch_backward
from timbral.training.loop import make_encode, train_step
from timbral.training.state import new_state

SPEAKERS, UTTERANCES = 5, 4
SEED = (1, Stream.DROPOUT, 3)


class WithDropout(SpeakerEncoder):
    """Energies of pieces of the signal, dropout, two linear layers; batch norm if asked for."""

    name = "with-dropout"

    def __init__(self, *, batch_norm: bool = False) -> None:
        super().__init__()
        norm = nn.BatchNorm1d(32) if batch_norm else nn.Identity()
        self.layers = nn.Sequential(
            nn.Linear(16, 32), norm, nn.ReLU(), nn.Dropout(0.4), nn.Linear(32, 8)
        )

    def features(self, waves: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return waves.unflatten(1, (-1, 16)).square().mean(dim=1)[:, None], lengths

    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        embeddings: Tensor = self.layers(features[:, 0])
        return embeddings


@pytest.fixture
def batch() -> WaveBatch:
    torch.manual_seed(0)
    waves = torch.randn(SPEAKERS * UTTERANCES, 3600, dtype=torch.float64)
    speakers = torch.arange(SPEAKERS).repeat_interleave(UTTERANCES)
    rows = torch.arange(len(waves))
    return WaveBatch(waves=waves, lengths=3600 - 160 * (rows % 5), speakers=speakers, rows=rows)


def gradients(
    encoder: SpeakerEncoder, batch: WaveBatch, chunk: int | None
) -> tuple[list[Tensor], Outcome]:
    loss_fn = GE2ELoss(GE2EConfig()).double()
    share = Workers().share(SPEAKERS, UTTERANCES)
    encoder.zero_grad()
    outcome = whole_batch_backward(
        lambda part: encoder(part.waves, part.lengths),
        encoder, loss_fn, batch, Workers(), share, chunk=chunk, seed=SEED,
    )  # fmt: skip
    parameters = [*encoder.parameters(), *loss_fn.parameters()]
    return [p.grad.clone() for p in parameters if p.grad is not None], outcome


@pytest.mark.parametrize("chunk", [1, 3, 7, 20])
def test_chunks_give_the_gradient_of_the_whole(batch: WaveBatch, chunk: int) -> None:
    torch.manual_seed(1)
    encoder = build_encoder(SMALL["lstm"]).double().train()
    whole, _ = gradients(encoder, batch, None)
    chunked, _ = gradients(encoder, batch, chunk)
    assert relative_difference(whole, chunked) < 1e-6


def relative_difference(wanted: list[Tensor], got: list[Tensor]) -> float:
    one, two = (torch.cat([tensor.detach().ravel() for tensor in each]) for each in (wanted, got))
    return float((one - two).norm() / one.norm())


def test_dropout_is_replayed(batch: WaveBatch) -> None:
    """As if the chunks had been embedded one after the other and kept."""
    encoder = WithDropout().double().train()
    chunked, outcome = gradients(encoder, batch, 7)
    encoder.zero_grad()
    loss_fn = GE2ELoss(GE2EConfig()).double()
    outputs = []
    for index, part in enumerate(batch.waves.tensor_split(3)):
        key = np.random.SeedSequence((*SEED, 0, index)).generate_state(1, np.uint64)[0]
        torch.manual_seed(int(key))
        outputs.append(encoder(part, None))
    loss = loss_fn(torch.cat(outputs), batch.speakers)
    loss.backward()
    kept = [p.grad for p in (*encoder.parameters(), *loss_fn.parameters()) if p.grad is not None]
    assert relative_difference(kept, chunked) < 1e-12
    torch.testing.assert_close(loss.detach(), outcome.loss)


def test_batch_norm_counts_each_utterance_once(batch: WaveBatch) -> None:
    """With chunks its statistics are a chunk's; the running ones are moved once a chunk."""
    torch.manual_seed(1)
    encoder = WithDropout(batch_norm=True).double().train()
    gradients(encoder, batch, 7)
    chunked = encoder.layers[1].running_mean.clone()
    assert encoder.layers[1].num_batches_tracked == 3
    torch.manual_seed(1)
    once = WithDropout(batch_norm=True).double().train()
    with torch.no_grad():
        for part in batch.waves.tensor_split(3):
            once(part, None)
    torch.testing.assert_close(chunked, once.layers[1].running_mean)


def test_the_loop_trains_in_chunks(batch: WaveBatch) -> None:
    """The same weights after some steps, but for rounding."""
    results = []
    for chunk in (None, 6):
        torch.manual_seed(1)
        config = TrainConfig(
            data=DataConfig(SPEAKERS, UTTERANCES), trainer=TrainerConfig(micro_batch_size=chunk)
        )
        encoder = build_encoder(SMALL["lstm"]).double()
        state = new_state(encoder, GE2ELoss(GE2EConfig()).double(), config)
        share, encode = Workers().share(SPEAKERS, UTTERANCES), make_encode(encoder, config)
        for _ in range(4):
            train_step(state, [batch], config, Workers(), share, encode)
        results.append(list(encoder.parameters()))
    assert relative_difference(*results) < 1e-9


def test_batches_of_a_step_are_averaged(batch: WaveBatch) -> None:
    """Two batches a step: the mean of their gradients; the same batch twice changes nothing."""
    other = replace(batch, waves=batch.waves.flip(0))

    def stepped(*batches: WaveBatch) -> tuple[list[Tensor], Tensor]:
        torch.manual_seed(1)
        config = TrainConfig(
            data=DataConfig(SPEAKERS, UTTERANCES),
            **sections(gradient_accumulation_steps=len(batches), max_grad_norm=1e9),
        )
        encoder = build_encoder(SMALL["lstm"]).double()
        state = new_state(encoder, GE2ELoss(GE2EConfig()).double(), config)
        share, encode = Workers().share(SPEAKERS, UTTERANCES), make_encode(encoder, config)
        result = train_step(state, batches, config, Workers(), share, encode)
        return [p.grad for p in encoder.parameters() if p.grad is not None], result.outcome.loss

    (first, loss), (second, other_loss) = stepped(batch), stepped(other)
    both, mean_loss = stepped(batch, other)
    assert (
        relative_difference([(a + b) / 2 for a, b in zip(first, second, strict=True)], both) < 1e-12
    )
    torch.testing.assert_close(mean_loss, (loss + other_loss) / 2)
    assert relative_difference(stepped(batch, batch)[0], first) < 1e-12
