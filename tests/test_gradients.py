"""Micro-batches: the gradient of the whole batch, whatever passes the encoder at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from conftest import SMALL, sections
from timbral.checkpoints.weights import build_encoder
from timbral.config.schema import TrainConfig, TrainerConfig
from timbral.data.batches.batch import WaveBatch
from timbral.data.batches.data_config import DataConfig
from timbral.data.random_streams import Stream, random_seed
from timbral.encoders.base import SpeakerEncoder
from timbral.losses.ge2e import GE2EConfig, GE2ELoss
from timbral.training.distributed import Ranks
from timbral.training.loop import StepResult, train_step
from timbral.training.state import TrainState

SPEAKERS, UTTERANCES = 5, 4
SEED = 1


class WithDropout(SpeakerEncoder):
    """Energies of pieces of the signal, dropout, two linear layers; batch norm if asked for."""

    name = "with-dropout"

    def __init__(self, *, batch_norm: bool = False) -> None:
        super().__init__(config=None)
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
    encoder: SpeakerEncoder, batch: WaveBatch, micro_batch_size: int | None
) -> tuple[list[Tensor], StepResult]:
    """Gradients of all parameters, by a step that changes none of them."""
    config = TrainConfig(
        data=DataConfig(SPEAKERS, UTTERANCES),
        **sections(micro_batch_size=micro_batch_size, seed=SEED, max_grad_norm=1e9),
    )
    state = TrainState.new(config, encoder, GE2ELoss(GE2EConfig()).double())
    for group in state.optimizer.param_groups:
        group["lr_scale"] = 0.0
    result = train_step(state, [batch], Ranks())
    parameters = [*encoder.parameters(), *state.loss_fn.parameters()]
    return [p.grad.clone() for p in parameters if p.grad is not None], result


@pytest.mark.parametrize("size", [1, 3, 7, 20])
def test_micro_batches_give_the_gradient_of_the_whole(batch: WaveBatch, size: int) -> None:
    torch.manual_seed(1)
    encoder = build_encoder(SMALL["lstm"]).double().train()
    whole, _ = gradients(encoder, batch, None)
    split, _ = gradients(encoder, batch, size)
    assert relative_difference(whole, split) < 1e-6


def relative_difference(wanted: list[Tensor], got: list[Tensor]) -> float:
    one, two = (torch.cat([tensor.detach().ravel() for tensor in each]) for each in (wanted, got))
    return float((one - two).norm() / one.norm())


def test_dropout_is_replayed(batch: WaveBatch) -> None:
    """As if the micro-batches had been embedded one after the other and kept."""
    encoder = WithDropout().double().train()
    split, outcome = gradients(encoder, batch, 7)
    encoder.zero_grad()
    loss_fn = GE2ELoss(GE2EConfig()).double()
    outputs = []
    for index, micro_batch in enumerate(batch.waves.tensor_split(3)):
        key = random_seed(SEED, Stream.DROPOUT, 0, 0, index)
        torch.manual_seed(key)
        outputs.append(encoder(micro_batch, None))
    loss = loss_fn(torch.cat(outputs), batch.speakers)
    loss.backward()
    kept = [p.grad for p in (*encoder.parameters(), *loss_fn.parameters()) if p.grad is not None]
    assert relative_difference(kept, split) < 1e-12
    torch.testing.assert_close(loss.detach(), outcome.loss)


def test_batch_norm_counts_each_utterance_once(batch: WaveBatch) -> None:
    """Its statistics are a micro-batch's; the running ones are moved once a micro-batch."""
    torch.manual_seed(1)
    encoder = WithDropout(batch_norm=True).double().train()
    gradients(encoder, batch, 7)
    split = encoder.layers[1].running_mean.clone()
    assert encoder.layers[1].num_batches_tracked == 3
    torch.manual_seed(1)
    once = WithDropout(batch_norm=True).double().train()
    with torch.no_grad():
        for micro_batch in batch.waves.tensor_split(3):
            once(micro_batch, None)
    torch.testing.assert_close(split, once.layers[1].running_mean)


def test_steps_in_micro_batches(batch: WaveBatch) -> None:
    """The same weights after some steps, but for rounding."""
    results = []
    for size in (None, 6):
        torch.manual_seed(1)
        config = TrainConfig(
            data=DataConfig(SPEAKERS, UTTERANCES), trainer=TrainerConfig(micro_batch_size=size)
        )
        encoder = build_encoder(SMALL["lstm"]).double()
        state = TrainState.new(config, encoder, GE2ELoss(GE2EConfig()).double())
        for _ in range(4):
            train_step(state, [batch], Ranks())
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
        state = TrainState.new(config, encoder, GE2ELoss(GE2EConfig()).double())
        result = train_step(state, batches, Ranks())
        return [p.grad for p in encoder.parameters() if p.grad is not None], result.loss

    (first, loss), (second, other_loss) = stepped(batch), stepped(other)
    both, mean_loss = stepped(batch, other)
    assert (
        relative_difference([(a + b) / 2 for a, b in zip(first, second, strict=True)], both) < 1e-12
    )
    torch.testing.assert_close(mean_loss, (loss + other_loss) / 2)
    assert relative_difference(stepped(batch, batch)[0], first) < 1e-12
