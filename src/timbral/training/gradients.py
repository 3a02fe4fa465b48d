"""The gradient of the whole batch's loss, by any number of processes, in the memory of a chunk.

Embeddings are made first, and the loss is differentiated by them alone; that gradient is then
sent back through the encoder. With chunks the first pass keeps nothing, and the second repeats
each chunk, its dropout included (Gao, Zhang, Han and Callan, Scaling Deep Contrastive Learning
Batch Size under Memory Limited Setup, 2021). With processes each does so for its own rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from timbral.data.batches.batch import Batch
from timbral.data.streams import Stream, random_seed
from timbral.losses.base import SpeakerLoss
from timbral.training.distributed import Share, Workers

__all__ = ["Outcome", "copy_buffers", "restore_buffers", "whole_batch_backward"]

Encode = Callable[[Batch], Tensor]


@dataclass(frozen=True)
class Outcome:
    """Embeddings (B, E), speakers (B,) and loss () of the global batch, still on the device."""

    embeddings: Tensor
    speakers: Tensor
    loss: Tensor


def whole_batch_backward(
    encode: Encode,
    encoder: nn.Module,
    loss_fn: SpeakerLoss,
    batch: Batch,
    workers: Workers,
    share: Share,
    *,
    chunk: int | None,
    seed: tuple[int, Stream, int],
) -> Outcome:
    """Add the gradient of the global batch's loss to `grad` of every parameter.

    `batch` holds this process's rows; `chunk` is the most that `encode` gets at once. Dropout
    follows from `seed`, the process and the chunk.
    """
    # the same number of chunks in every process, and none of them empty
    count = 1 if chunk is None else min(-(-share.largest // chunk), share.smallest)
    parts = batch.split(count)
    seeds = [random_seed(*seed, workers.rank, index) for index in range(count)]
    outputs = []
    with torch.set_grad_enabled(count == 1):
        for part, number in zip(parts, seeds, strict=True):
            torch.manual_seed(number)
            outputs.append(encode(part))

    embeddings = workers.gather(torch.cat([output.detach() for output in outputs]), share)
    speakers = workers.gather(batch.speakers, share)
    leaf = embeddings.clone().requires_grad_()
    loss = loss_fn(leaf, speakers)
    loss.backward()
    assert leaf.grad is not None, "every loss depends on the embeddings"

    gradients = torch.split(leaf.grad[share.rows], [len(part) for part in parts])
    saved = copy_buffers(encoder) if count > 1 else []
    for index, (part, gradient) in enumerate(zip(parts, gradients, strict=True)):
        if count > 1:
            torch.manual_seed(seeds[index])
            outputs[index] = encode(part)
        torch.autograd.backward(outputs[index], gradient)
    restore_buffers(saved)  # batch norm had counted these utterances in the first pass
    loss = loss.detach()
    _add_up(encoder, loss_fn, loss, workers)
    return Outcome(embeddings, speakers, loss)


def _add_up(encoder: nn.Module, loss_fn: nn.Module, loss: Tensor, workers: Workers) -> None:
    """Sum the encoder's gradients; what all have whole, average, so that all go on alike."""
    if workers.count == 1:
        return
    whole = [loss, *(p.grad for p in loss_fn.parameters() if p.grad is not None)]
    for tensor in whole:
        tensor.div_(workers.count)
    for parameter in encoder.parameters():
        if parameter.requires_grad and parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)  # a layer that was dropped here only
    workers.add_up([*(p.grad for p in encoder.parameters() if p.grad is not None), *whole])


def copy_buffers(module: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """The module's buffers, such as running statistics, each with a copy."""
    return [(buffer, buffer.clone()) for buffer in module.buffers()]


def restore_buffers(saved: list[tuple[Tensor, Tensor]]) -> None:
    """Give buffers what they held when `copy_buffers` was called."""
    for buffer, values in saved:
        buffer.copy_(values)
