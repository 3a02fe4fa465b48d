"""`inference.optimize`: the vectors of the plain network, for its weights as they are now."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from conftest import needs_bf16
from test_encoders import CASES, make, pad
from timbral.audio.decode import Wave
from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.campplus import CampplusEncoder
from timbral.encoders.campplus_small import SmallCampplusEncoder
from timbral.encoders.ecapa import EcapaEncoder
from timbral.encoders.layers.norm import BatchNorm
from timbral.inference import optimize as optimizing
from timbral.inference.embedder import Embedder
from timbral.inference.optimize import FOLDED, InferenceNetwork, optimize
from timbral.inference.optimized import campplus_folded, products
from timbral.inference.optimized.folding import ClampedInput
from timbral.inference.optimized.frame_stream import FrameStream, SegmentedStream
from timbral.inference.optimized.stream_ends import StreamEnds

needs_operators = pytest.mark.skipif(not products.CAN_FUSE, reason="this torch has no oneDNN")

BATCHES = {
    "alone": [16_000],
    "alone, of the least length": [3_200],
    "equal lengths": [20_000, 20_000],
    "ragged": [3_200, 48_000, 20_011, 3_300, 35_000],
}


def noise(sizes: list[int]) -> list[Wave]:
    rng = np.random.default_rng(0)
    return [(0.1 * rng.standard_normal(size)).astype(np.float32) for size in sizes]


def trained(case: str) -> SpeakerEncoder:
    """An encoder whose norms have scales of both signs, and zero, as training can leave them."""
    encoder = make(case)
    for module in encoder.modules():
        if isinstance(module, BatchNorm) and module.affine:
            with torch.no_grad():
                module.weight.uniform_(-1.5, 1.5)
                module.bias.normal_(0.0, 0.3)
                if len(module.weight) > 1:
                    module.weight[1] = 0.0
    return encoder


@torch.inference_mode()
def vectors(
    network: SpeakerEncoder, computes: InferenceNetwork, waves: list[Wave], bf16: bool = False
) -> Tensor:
    """Unit vectors of a batch with padding that is not a number."""
    features, lengths = network.features(*pad(waves, extra=1_777, fill=torch.nan))
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        return functional.normalize(computes.embed_features(features, lengths).float())


def assert_same(network: SpeakerEncoder, computes: InferenceNetwork) -> None:
    waves = noise([9_000, 16_000])
    difference = vectors(network, network, waves) - vectors(network, computes, waves)
    assert difference.abs().max() <= 2e-6


SHORT = [7_000, 9_011]

OPTIMIZED = sorted(set(CASES) - {"lstm"})  # of the LSTM there is nothing to pack or to fold
EQUAL = [(case, SHORT) for case in OPTIMIZED]
FRAMES_IN_ONE = [case for case in OPTIMIZED if case.startswith(("campplus", "ecapa"))]
"""whose utterances lie one after another in a stream"""
EQUAL += [(case, sizes) for case in FRAMES_IN_ONE for sizes in BATCHES.values()]


@pytest.mark.parametrize(("case", "sizes"), EQUAL)
def test_vectors_are_those_of_the_plain_network(case: str, sizes: list[int]) -> None:
    network = trained(case)
    waves = noise([max(size, network.min_samples) for size in sizes])
    expected = vectors(network, copy.deepcopy(network), waves)
    together = vectors(network, optimize(network), waves)
    assert (together - expected).abs().max() <= 2e-6
    for row, wave in enumerate(waves):
        alone = vectors(network, optimize(network), [wave])[0]
        assert (together[row] - alone).abs().max() <= 1e-5


@pytest.mark.parametrize("case", OPTIMIZED)
@needs_bf16
def test_vectors_in_bfloat16(case: str) -> None:
    network = trained(case)
    waves = noise(SHORT)
    exact = vectors(network, copy.deepcopy(network), waves)
    plain = vectors(network, copy.deepcopy(network), waves, bf16=True)
    optimized = vectors(network, optimize(network, torch.bfloat16), waves, bf16=True)
    loss = 1.0 - (exact * optimized).sum(1).min()
    assert loss <= 1e-5 + 2.0 * (1.0 - (exact * plain).sum(1).min())
    assert (plain * optimized).sum(1).min() >= 0.999


@needs_operators
@pytest.mark.parametrize("case", FRAMES_IN_ONE)
def test_any_blocks_give_the_same(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Utterances over several blocks of rows, and blocks with none; both ways to multiply."""
    network = trained(case)
    waves = noise([60_000, 4_800, 4_800])
    expected = vectors(network, network, waves)
    monkeypatch.setattr(campplus_folded, "BLOCK_ROWS", 32)
    monkeypatch.setattr(products, "MIN_ROWS", 16)
    for mkl in (True, False):
        monkeypatch.setattr(products, "MKL_IS_FASTER", mkl)
        difference = vectors(network, optimize(network), waves) - expected
        assert difference.abs().max() <= 2e-6


@needs_operators
@pytest.mark.parametrize("case", FRAMES_IN_ONE)
def test_what_was_in_memory_does_not_matter(case: str) -> None:
    network = trained(case)
    waves = noise([9_000, 5_000, 16_000])
    expected = vectors(network, network, waves)
    torch.use_deterministic_algorithms(True)  # new memory is filled with NaN
    try:
        difference = vectors(network, optimize(network), waves) - expected
    finally:
        torch.use_deterministic_algorithms(False)
    assert difference.abs().max() <= 2e-6


def add_in_place(network: SpeakerEncoder) -> None:
    with torch.no_grad():
        network.get_parameter("blocks.1.layers.1.bottleneck.weight").mul_(1.5)


def change_statistics(network: SpeakerEncoder) -> None:
    network.get_buffer("blocks.0.norm.running_mean").add_(0.5)


def take_step(network: SpeakerEncoder) -> None:
    with torch.no_grad():
        torch._foreach_add_(list(network.parameters()), 0.01)


def replace_parameter(network: SpeakerEncoder) -> None:
    layer = network.get_submodule("linear")
    layer.weight = nn.Parameter(torch.randn_like(network.get_parameter("linear.weight")))


def replace_layer(network: SpeakerEncoder) -> None:
    assert isinstance(network, CampplusEncoder)
    network.tdnn_norm = copy.deepcopy(network.tdnn_norm)
    network.tdnn_norm.weight.data.mul_(-3.0)


def load_others(network: SpeakerEncoder) -> None:
    other = {key: value + 0.1 for key, value in network.state_dict().items()}
    network.load_state_dict(other)


CHANGES: list[Callable[[SpeakerEncoder], None]] = [
    add_in_place,
    change_statistics,
    take_step,
    replace_parameter,
    replace_layer,
    load_others,
]


@needs_operators
@pytest.mark.parametrize("change", CHANGES)
def test_weights_are_never_stale(change: Callable[[SpeakerEncoder], None]) -> None:
    network = trained("campplus")
    optimized = optimize(network)
    before = vectors(network, optimized, noise([9_000]))
    change(network)
    assert (vectors(network, optimized, noise([9_000])) - before).abs().max() > 1e-5
    assert_same(network, optimized)


@needs_operators
def test_training_is_untouched() -> None:
    network = trained("campplus")
    tensors = {key: value.clone() for key, value in network.state_dict().items()}
    optimized = optimize(network)
    for key, value in network.state_dict().items():
        assert torch.equal(value, tensors[key])
    network.train()
    features, lengths = network.features(*pad(noise([3_200, 4_000])))
    optimized.embed_features(features, lengths).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert not torch.equal(network.get_buffer("norm.running_mean"), tensors["norm.running_mean"])
    network.eval()
    assert_same(network, optimized)


@needs_operators
@pytest.mark.parametrize("case", ["no operators", "another class", "hooks", "float64"])
def test_where_it_cannot_fold_the_plain_network_computes(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = trained("campplus")
    if case == "no operators":
        monkeypatch.setattr(optimizing, "CAN_FUSE", False)
    elif case == "another class":
        network.__class__ = type("OwnCampplus", (CampplusEncoder,), {})
    elif case == "hooks":
        network.front.register_forward_hook(lambda *_: None)
    else:
        network.double()
    assert optimize(network) is network


@needs_operators
def test_embedders_optimize_and_can_be_pickled() -> None:
    embedder = Embedder(trained("campplus"))
    expected = embedder.encode_preprocessed(noise([9_000]))
    again = pickle.loads(pickle.dumps(embedder))
    np.testing.assert_array_equal(again.encode_preprocessed(noise([9_000])), expected)
    add_in_place(embedder.network)
    assert np.abs(embedder.encode_preprocessed(noise([9_000])) - expected).max() > 1e-4


def test_folded_encoders_are_known() -> None:
    assert set(FOLDED) == {CampplusEncoder, SmallCampplusEncoder, EcapaEncoder}


def test_stream_of_frames() -> None:
    stream = FrameStream.of([5, 2, 3], gap=4, multiple=8, step=2)
    assert stream == FrameStream([0, 10, 16], [5, 2, 3], 24)
    assert stream.strided(2) == FrameStream([0, 5, 8], [3, 1, 2], 12)
    assert FrameStream.of([5, 2], 4, 8, step=4).strided(4) == FrameStream([0, 3], [2, 1], 6)
    frames = stream.zero_gaps(torch.ones(26, 1), first=-1)
    inside = [1 + row for begin, end in ((0, 5), (10, 12), (16, 19)) for row in range(begin, end)]
    assert frames[:, 0].nonzero()[:, 0].tolist() == inside


@pytest.mark.parametrize("mirrored", [True, False])
def test_convolutions_see_each_utterance_alone(mirrored: bool) -> None:
    """As `TimeDelayLayer` pads: mirrored at both ends, or zeros."""
    stream = FrameStream.of([5, 3], gap=4, multiple=8, step=1)
    codes = torch.arange(stream.size, dtype=torch.uint8)[:, None]
    padded = StreamEnds(stream, 2, mirrored).padded(codes, torch.tensor([99], dtype=torch.uint8))
    first, second = padded[:9, 0].tolist(), padded[9:16, 0].tolist()
    if mirrored:
        assert first == [2, 1, 0, 1, 2, 3, 4, 3, 2]
        assert second == [11, 10, 9, 10, 11, 10, 9]
    else:
        assert first == [99, 99, 0, 1, 2, 3, 4, 99, 99]
        assert second == [99, 99, 9, 10, 11, 99, 99]


def test_context_of_segments_is_their_mean_and_their_utterances() -> None:
    stream = FrameStream.of([250, 30], gap=4, multiple=32, step=2)
    segmented = SegmentedStream(stream, 100, 64)
    frames = stream.zero_gaps(torch.randn(stream.size, 3), first=0)
    sums = segmented.segment_sums(frames)
    first, second = stream.split(frames)
    expected = [rows.mean(0) + first.mean(0) for rows in first.split(100)] + [2 * second.mean(0)]
    torch.testing.assert_close(segmented.context @ sums, torch.stack(expected))
    blocks = segmented.in_blocks(frames)
    assert [len(rows) for rows in blocks] == [256, 32]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_a_clamp_and_a_folded_product_are_norm_relu_and_product(dtype: torch.dtype) -> None:
    """With thresholds and scales of both signs, and numbers of zero."""
    norm = BatchNorm(40).eval()
    norm.weight.copy_(torch.linspace(-2, 2, 40))
    norm.weight[7] = norm.bias[8] = 0.0
    norm.bias[9:].normal_()
    rows = torch.randn(50, 48).to(dtype)
    rows[:2] = torch.tensor([[0.0], [-0.0]])
    matrix = torch.randn(6, 40)
    expected = norm(rows[:, :40].float()).relu() @ matrix.T
    clamped = ClampedInput(norm, dtype, width=48)
    folded, bias = clamped.matrix_and_bias(matrix)
    made = clamped.clamp(rows, torch.empty_like(rows)).double() @ folded.T + bias
    close = 1e-5 if dtype == torch.float32 else 0.02
    assert (made - expected).abs().max() <= close * expected.abs().max()


@pytest.mark.parametrize("size", [5, 64, 96, 104, 200, 416, 1000])
def test_blocks_of_rows_have_few_sizes(size: int) -> None:
    rows = torch.arange(size)
    blocks = SegmentedStream(FrameStream([0], [size], size), 100, 64).in_blocks(rows)
    assert torch.equal(torch.cat(blocks), rows)
    sizes = [len(block) for block in blocks]
    assert max(sizes) == sizes[0]
    assert sum(each not in (64, 128, 256) for each in sizes) <= 1
    assert len(sizes) == 1 or all(each >= 32 for each in sizes)
