"""GE2E against a loop written from the paper's equations."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from timbral.errors import TrainingError
from timbral.losses.ge2e import GE2EConfig, GE2ELoss


def naive_ge2e(embeddings: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """Wan et al. 2018, equations 1 (centroid), 4 to 6 and 8, 9; the mean instead of equation 10."""
    speakers, utterances, _ = embeddings.shape
    e = embeddings / embeddings.norm(dim=2, keepdim=True)
    total = embeddings.new_zeros(())
    for j in range(speakers):
        for i in range(utterances):
            row = []
            for k in range(speakers):
                if k == j:
                    others = [e[j, m] for m in range(utterances) if m != i]
                    centroid = sum(others[1:], others[0]) / (utterances - 1)
                else:
                    centroid = e[k].mean(dim=0)
                cosine = torch.dot(e[j, i], centroid) / (e[j, i].norm() * centroid.norm())
                row.append(w * cosine + b)
            total = total - row[j] + torch.log(sum((s.exp() for s in row), w.new_zeros(())))
    return total / (speakers * utterances)


@pytest.mark.parametrize(
    "shape",
    [(2, 2, 3), (3, 2, 8), (5, 4, 16), (4, 7, 5)],
    ids=lambda shape: "x".join(map(str, shape)),
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_equals_the_naive_loop(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    torch.manual_seed(sum(shape))
    embeddings = torch.randn(shape, dtype=dtype, requires_grad=True)
    loss_fn = GE2ELoss(GE2EConfig(gradient_scale=1.0)).to(dtype)
    w = torch.tensor(10.0, dtype=dtype, requires_grad=True)
    b = torch.tensor(-5.0, dtype=dtype, requires_grad=True)
    expected = naive_ge2e(embeddings, w, b)
    expected_grads = torch.autograd.grad(expected, (embeddings, w, b))

    speakers = torch.arange(shape[0]).repeat_interleave(shape[1])
    loss = loss_fn(embeddings.reshape(-1, shape[2]), speakers)
    parameters = (embeddings, loss_fn.similarity_weight, loss_fn.similarity_bias)
    grads = torch.autograd.grad(loss, parameters)

    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=1e-6)
    for grad, wanted in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(grad.squeeze(), wanted, atol=1e-6, rtol=1e-5)


def test_order_of_the_batch_does_not_matter() -> None:
    torch.manual_seed(0)
    embeddings, speakers = torch.randn(12, 6), torch.arange(4).repeat_interleave(3)
    shuffle = torch.randperm(12)
    loss_fn = GE2ELoss(GE2EConfig())
    torch.testing.assert_close(
        loss_fn(embeddings[shuffle], speakers[shuffle]), loss_fn(embeddings, speakers)
    )


def test_w_and_b_learn_at_a_hundredth() -> None:
    torch.manual_seed(0)
    embeddings, speakers = torch.randn(12, 6), torch.arange(4).repeat_interleave(3)
    grads = []
    for scale in (1.0, 0.01):
        loss_fn = GE2ELoss(GE2EConfig(gradient_scale=scale))
        loss_fn(embeddings, speakers).backward()
        grads.append((loss_fn.similarity_weight.grad, loss_fn.similarity_bias.grad))
    for full, slow in zip(*grads, strict=True):
        torch.testing.assert_close(slow, 0.01 * full)


def test_w_stays_positive() -> None:
    loss_fn = GE2ELoss(GE2EConfig())
    with torch.no_grad():
        loss_fn.similarity_weight.fill_(-3.0)
    speakers = torch.arange(4).repeat_interleave(3)
    loss = loss_fn(torch.randn(12, 6), speakers)
    assert 0 < loss_fn.similarity_weight.item() <= 1e-6
    assert loss.item() == pytest.approx(math.log(4), abs=1e-4)
    loss.backward()
    assert loss_fn.similarity_weight.grad is not None, "it can grow again"


def test_zero_and_equal_embeddings_are_finite() -> None:
    speakers = torch.arange(3).repeat_interleave(2)
    for embeddings in (torch.zeros(6, 4), torch.ones(6, 4)):
        embeddings.requires_grad_(True)
        loss = GE2ELoss(GE2EConfig())(embeddings, speakers)
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(embeddings.grad).all()


@pytest.mark.parametrize("speakers", [[0, 0, 1, 1, 1, 2], [0, 1, 2, 3, 4, 5]])
def test_uneven_speakers_are_refused(speakers: list[int]) -> None:
    with pytest.raises(TrainingError, match="same number of utterances"):
        GE2ELoss(GE2EConfig())(torch.randn(6, 4), torch.tensor(speakers))
