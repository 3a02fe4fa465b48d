"""Each loss against a loop over elements, written from its paper."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from timbral.config.schema import TrainConfig
from timbral.config.yaml import from_mapping, to_mapping
from timbral.errors import ConfigError, TrainingError
from timbral.losses.base import SpeakerLoss, unit_vectors
from timbral.losses.contrastive import SupConConfig
from timbral.losses.ge2e import GE2EConfig, GE2ELoss
from timbral.losses.margin import AamConfig, AamLoss
from timbral.losses.prototypical import AngularPrototypicalConfig, PrototypicalConfig
from timbral.losses.registry import LOSSES, SumConfig, build_loss

SHAPE = (4, 3, 6)
S, U, E = SHAPE


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return torch.dot(a, b) / (a.norm() * b.norm())


def log_softmax_of(own: Tensor, row: list[Tensor]) -> Tensor:
    return own - torch.log(sum((value.exp() for value in row), own.new_zeros(())))


def naive_contrast(e: Tensor, loss: Any) -> Tensor:
    """Wan et al. 2018, equations 7 to 9; the mean."""
    speakers, utterances, _ = e.shape
    unit = e / e.norm(dim=2, keepdim=True)
    w, b = loss.similarity_weight[0], loss.similarity_bias[0]
    total = e.new_zeros(())
    for j in range(speakers):
        for i in range(utterances):
            own = sum(
                (unit[j, m] for m in range(utterances) if m != i), torch.zeros_like(e[0, 0])
            ) / (utterances - 1)
            right = torch.sigmoid(w * cosine(unit[j, i], own) + b)
            wrong = [
                torch.sigmoid(w * cosine(unit[j, i], unit[k].mean(dim=0)) + b)
                for k in range(speakers)
                if k != j
            ]
            total = total + 1 - right + max(wrong, key=Tensor.item)
    return total / (speakers * utterances)


def naive_prototypical(e: Tensor, loss: Any) -> Tensor:
    """Chung et al. 2020, equations 4 and 5, with the distance's sign as Snell et al. have it."""
    total = e.new_zeros(())
    for j in range(S):
        row = [-(e[j, -1] - e[k, :-1].mean(dim=0)).square().sum() for k in range(S)]
        total = total - log_softmax_of(row[j], row)
    return total / S


def naive_angular(e: Tensor, loss: Any) -> Tensor:
    """Chung et al. 2020, equations 8 and 9."""
    w, b = loss.similarity_weight[0], loss.similarity_bias[0]
    total = e.new_zeros(())
    for j in range(S):
        row = [w * cosine(e[j, -1], e[k, :-1].mean(dim=0)) + b for k in range(S)]
        total = total - log_softmax_of(row[j], row)
    return total / S


def naive_aam(e: Tensor, loss: Any) -> Tensor:
    """Deng et al. 2019, equation 3, and 2020, equation 3, with angles computed as such."""
    total = e.new_zeros(())
    for j in range(S):
        for i in range(U):
            row = []
            for k in range(len(loss.centers)):
                near = max((cosine(e[j, i], center) for center in loss.centers[k]), key=Tensor.item)
                angle = torch.arccos(near)
                if k == j and angle < math.pi - loss.margin:
                    near = torch.cos(angle + loss.margin)
                elif k == j:
                    near = near - loss.margin * math.sin(loss.margin)
                row.append(loss.config.scale * near)
            total = total - log_softmax_of(row[j], row)
    return total / (S * U)


def naive_supcon(e: Tensor, loss: Any) -> Tensor:
    """Khosla et al. 2020, equation 2; the mean."""
    flat = [(j, e[j, i] / e[j, i].norm()) for j in range(S) for i in range(U)]
    total = e.new_zeros(())
    for a, (speaker, anchor) in enumerate(flat):
        dots = {
            p: torch.dot(anchor, z) / loss.config.temperature
            for p, (_, z) in enumerate(flat)
            if p != a
        }
        positives = [p for p in dots if flat[p][0] == speaker]
        terms = [log_softmax_of(dots[p], list(dots.values())) for p in positives]
        total = total - sum(terms, e.new_zeros(())) / len(positives)
    return total / len(flat)


def naive_sum(e: Tensor, loss: Any) -> Tensor:
    return 0.5 * naive_contrast(e, loss.terms[0]) + 2.0 * naive_aam(e, loss.terms[1])


CASES: dict[str, tuple[Any, Callable[[Tensor, Any], Tensor]]] = {
    "contrast": (GE2EConfig("contrast", gradient_scale=1.0), naive_contrast),
    "prototypical": (PrototypicalConfig(), naive_prototypical),
    "angular-prototypical": (AngularPrototypicalConfig(), naive_angular),
    "aam": (AamConfig(scale=8.0, margin=0.3), naive_aam),
    "aam-sub-centers": (AamConfig(scale=8.0, margin=0.3, sub_centers=3), naive_aam),
    "aam-large-margin": (AamConfig(scale=8.0, margin=1.5), naive_aam),
    "supcon": (SupConConfig(), naive_supcon),
    "sum": (
        SumConfig((GE2EConfig("contrast", gradient_scale=1.0), AamConfig(8.0)), (0.5, 2.0)),
        naive_sum,
    ),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", sorted(CASES))
def test_equals_the_naive_loop(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(5)
    config, naive = CASES[name]
    loss_fn = build_loss(config, E, S + 2).double()
    embeddings = torch.randn(SHAPE, dtype=torch.float64, requires_grad=True)
    expected = naive(embeddings, loss_fn)
    wanted = torch.autograd.grad(expected, (embeddings, *loss_fn.parameters()))

    loss_fn, embeddings = loss_fn.to(dtype), embeddings.detach().to(dtype).requires_grad_()
    loss = loss_fn(embeddings.flatten(0, 1), torch.arange(S).repeat_interleave(U))
    grads = torch.autograd.grad(loss, (embeddings, *loss_fn.parameters()))
    torch.testing.assert_close(loss, expected.to(dtype), atol=1e-6, rtol=1e-6)
    for grad, want in zip(grads, wanted, strict=True):
        torch.testing.assert_close(grad, want.to(dtype), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ["softmax", *sorted(CASES)])
def test_gradients_are_those_of_differences(name: str) -> None:
    torch.manual_seed(2)
    config = GE2EConfig(gradient_scale=1.0) if name == "softmax" else CASES[name][0]
    loss_fn = build_loss(config, E, S).double()
    embeddings = torch.randn(S * U, E, dtype=torch.float64, requires_grad=True)
    speakers = torch.arange(S).repeat_interleave(U)[torch.randperm(S * U)]
    assert torch.autograd.gradcheck(lambda x: loss_fn(x, speakers), embeddings)


def test_contrast_takes_the_nearest_other_of_each_row() -> None:
    """Not of the first row: each utterance here has another nearest speaker."""
    e = torch.eye(3).repeat_interleave(2, dim=0)
    e[0, 1], e[2, 2], e[4, 0] = 0.9, 0.8, 0.7
    loss_fn = GE2ELoss(GE2EConfig("contrast"))
    expected = naive_contrast(e.view(3, 2, 3), loss_fn)
    loss = loss_fn(e, torch.arange(3).repeat_interleave(2))
    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=1e-6)


def test_the_margin_rises() -> None:
    loss_fn = AamLoss(AamConfig(margin=0.4, margin_warmup_start=10, margin_warmup_end=30), E, S)
    margins = []
    for step in (0, 10, 15, 20, 30, 99):
        loss_fn.at_step(step)
        margins.append(loss_fn.scalars()["margin"])
    assert margins == pytest.approx([0.0, 0.0, 0.1, 0.2, 0.4, 0.4])
    at_once = AamLoss(AamConfig(margin=0.4, margin_warmup_start=10, margin_warmup_end=10), E, S)
    at_once.at_step(9)
    assert at_once.margin == 0.0
    at_once.at_step(10)
    assert at_once.margin == 0.4
    with pytest.raises(ConfigError, match="margin_warmup_end must be at least 10"):
        AamConfig(margin_warmup_start=10, margin_warmup_end=5)


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"sum", "aam", "distillation"}))
def test_lone_utterances_are_refused(name: str) -> None:
    loss_fn = build_loss(LOSSES[name].config_type(), E, 4)
    with pytest.raises(TrainingError, match="two or more"):
        loss_fn(torch.randn(4, E), torch.arange(4))


def test_half_precision_embeddings() -> None:
    speakers = torch.arange(S).repeat_interleave(U)
    for name in sorted(set(LOSSES) - {"sum"}):
        loss_fn = build_loss(LOSSES[name].config_type(), E, S)
        teacher = torch.randn(S * U, E) if loss_fn.needs_teacher else None
        with torch.autocast("cpu", torch.bfloat16):
            embeddings = torch.randn(S * U, E, dtype=torch.bfloat16)
            loss = loss_fn.taught(embeddings, speakers, teacher)
        assert loss.dtype == torch.float32, name


@dataclass(frozen=True)
class AmConfig:
    scale: float = 30.0
    margin: float = 0.2


class AmLoss(SpeakerLoss):
    """Additive margin softmax (Wang et al. 2018), written as CONTRIBUTING says."""

    name = "am"
    config_type = AmConfig
    config: AmConfig
    has_class_weights = True

    @classmethod
    def build(cls, config: AmConfig, embedding_dim: int, num_speakers: int) -> AmLoss:
        return cls(config, embedding_dim, num_speakers)

    def __init__(self, config: AmConfig, embedding_dim: int, num_speakers: int) -> None:
        super().__init__(config)
        self.centers = nn.Parameter(torch.randn(num_speakers, embedding_dim))

    def forward(self, embeddings: Tensor, speakers: Tensor) -> Tensor:
        cosines = unit_vectors(embeddings) @ unit_vectors(self.centers).T
        margins = self.config.margin * functional.one_hot(speakers, len(self.centers))
        return functional.cross_entropy(self.config.scale * (cosines - margins), speakers)


def test_a_new_margin_loss_is_a_class_and_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    speakers = torch.arange(S).repeat_interleave(U)
    alone: dict[str, object] = {"name": "am", "margin": 0.1}
    config = TrainConfig(loss=AmConfig(margin=0.1))
    with pytest.raises(ConfigError, match="no loss in LOSSES takes a AmConfig"):
        build_loss(config.loss, E, S + 2)
    monkeypatch.setitem(LOSSES, "am", AmLoss)
    for loss in (alone, {"name": "sum", "terms": [alone, "ge2e"], "weights": [1.0, 0.5]}):
        config = from_mapping(TrainConfig, {"loss": loss}, "c.yaml")
        assert from_mapping(TrainConfig, to_mapping(config), "again") == config
        loss_fn = build_loss(config.loss, E, S + 2)
        assert loss_fn.has_class_weights
        assert torch.isfinite(loss_fn(torch.randn(S * U, E), speakers))


def test_a_sum_in_a_config() -> None:
    text = {"name": "sum", "weights": [1, 0.5], "terms": ["ge2e", {"name": "aam", "margin": 0.1}]}
    config = from_mapping(TrainConfig, {"loss": text}, "c.yaml")
    assert config.loss == SumConfig((GE2EConfig(), AamConfig(margin=0.1)), (1.0, 0.5))
    assert from_mapping(TrainConfig, to_mapping(config), "again") == config
    scalars = build_loss(config.loss, E, S).scalars()
    assert scalars == pytest.approx({"ge2e_w": 10.0, "ge2e_b": -5.0, "aam_margin": 0.1})
    for wrong, words in (
        ({**text, "weights": [1.0]}, "one weight for each"),
        ({**text, "terms": ["ge2", "aam"]}, "did you mean 'ge2e'"),
        ({"name": "ge2e", "kind": "contrst"}, "did you mean 'contrast'"),
        ({"name": ["ge2e"]}, r"unknown name \['ge2e'\]"),
        ({"name": "ge2e", "init_weight": -10.0}, r"loss\.init_weight must be in \[1e-06, "),
        ({"name": "ge2e", "gradient_scale": -1.0}, r"loss\.gradient_scale must be in \[0, 100\]"),
        (
            {"name": "angular-prototypical", "init_bias": float("nan")},
            r"loss\.init_bias must be in",
        ),
    ):
        with pytest.raises(ConfigError, match=words):
            from_mapping(TrainConfig, {"loss": wrong}, "c.yaml")
