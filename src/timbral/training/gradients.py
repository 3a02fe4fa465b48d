"""The gradient of a global batch in the memory of a micro-batch, and its sum over ranks.

With micro-batches the embeddings are computed first, without storing activations. The loss is
differentiated only with respect to the embeddings; each micro-batch is then embedded again, with
the same dropout, and its rows of that gradient are propagated back through the encoder. The result
is the gradient of the whole batch (Gao, Zhang, Han and Callan, Scaling Deep Contrastive Learning
Batch Size under Memory Limited Setup, 2021: GradCache).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from timbral.data.batches.batch import Batch
from timbral.data.random_streams import Stream, random_seed
from timbral.training.distributed import RankRows, Ranks
from timbral.training.state import TrainState

__all__ = [
    "Outcome",
    "copy_buffers",
    "gather_teacher",
    "grad_cache_backward",
    "restore_buffers",
    "sum_gradients",
]


@dataclass(frozen=True)
class Outcome:
    """Embeddings (B, E), speakers (B,) and loss () of a global batch, still on the device."""

    embeddings: Tensor
    speakers: Tensor
    loss: Tensor


def grad_cache_backward(
    state: TrainState,
    micro_batches: Sequence[Batch],
    ranks: Ranks,
    rows: RankRows,
    batch_number: int,
    scale: float,
) -> Outcome:
    """Add `scale` × the gradient of the global batch's loss to `grad` of every parameter.

    `micro_batches` are this rank's rows of the batch, in order.
    """
    seeds = [
        random_seed(state.config.trainer.seed, Stream.DROPOUT, batch_number, ranks.rank, index)
        for index in range(len(micro_batches))
    ]
    embedded = []
    with torch.no_grad():
        for micro_batch, seed in zip(micro_batches, seeds, strict=True):
            torch.manual_seed(seed)
            embedded.append(state.embed(micro_batch))
    embeddings = ranks.gather(
        torch.cat(embedded), rows
    ).requires_grad_()  # (B, E): leaves of the loss
    speakers = ranks.gather(torch.cat([micro.speakers for micro in micro_batches]), rows)
    vectors = [micro.teacher for micro in micro_batches if micro.teacher is not None]
    teacher = gather_teacher(torch.cat(vectors) if vectors else None, ranks, rows)
    loss = state.loss_fn.taught(embeddings, speakers, teacher)
    torch.autograd.backward(loss * scale)
    assert embeddings.grad is not None, "every loss depends on the embeddings"

    # Batch norm has counted these utterances already: its running statistics are restored below.
    counted = copy_buffers(state.encoder)
    gradients = torch.split(embeddings.grad[rows.rows], [len(micro) for micro in micro_batches])
    for micro_batch, seed, gradient in zip(micro_batches, seeds, gradients, strict=True):
        torch.manual_seed(seed)  # the same dropout as above
        torch.autograd.backward(state.embed(micro_batch), gradient)
    restore_buffers(counted)
    return Outcome(embeddings.detach(), speakers, loss.detach())


def gather_teacher(own: Tensor | None, ranks: Ranks, rows: RankRows) -> Tensor | None:
    """The teacher's vectors of the global batch (B, E); None without a teacher."""
    return None if own is None else ranks.gather(own, rows)


def sum_gradients(state: TrainState, loss: Tensor, ranks: Ranks) -> None:
    """Sum the encoder's gradients over the ranks, so that all take the same step.

    The gradients of the loss's own parameters are already complete on every rank; their mean makes
    them bit-identical.
    """
    if ranks.count == 1:
        return
    complete = [loss, *(p.grad for p in state.loss_fn.parameters() if p.grad is not None)]
    for tensor in complete:
        tensor.div_(ranks.count)
    for parameter in state.encoder.parameters():
        if parameter.requires_grad and parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)  # a layer that was dropped here only
    encoder_gradients = [p.grad for p in state.encoder.parameters() if p.grad is not None]
    ranks.all_reduce_sum([*encoder_gradients, *complete])


def copy_buffers(module: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """The module's buffers, such as running statistics, each with a copy."""
    return [(buffer, buffer.clone()) for buffer in module.buffers()]


def restore_buffers(saved: list[tuple[Tensor, Tensor]]) -> None:
    """Restore buffers to their values when `copy_buffers` was called."""
    for buffer, values in saved:
        buffer.copy_(values)
