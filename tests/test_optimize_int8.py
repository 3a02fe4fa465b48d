"""CAM++ and ECAPA-TDNN in 8 bits: near the plain network's vectors, each alone, or refused."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from conftest import SMALL, Ask
from test_optimize import trained
from timbral.audio.decode import Wave
from timbral.audio.preprocessing import load
from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.campplus import CampplusEncoder
from timbral.encoders.layers.norm import BatchNorm
from timbral.encoders.registry import ENCODERS
from timbral.errors import ConfigError
from timbral.inference import load_checkpoint
from timbral.inference import optimize as optimizing
from timbral.inference.embedder import Embedder
from timbral.inference.load import load_encoder
from timbral.inference.optimize import optimize_in_8_bits
from timbral.inference.optimized import byte_numbers, byte_ranges, campplus_bytes
from timbral.inference.optimized.byte_channels import ByteChannels, ClampedProduct
from timbral.inference.optimized.byte_features import FeatureCodes
from timbral.inference.optimized.byte_numbers import ByteNumbers
from timbral.inference.optimized.byte_products import CAN_MULTIPLY_BYTES, Code, write_codes
from timbral.inference.optimized.byte_ranges import Range
from timbral.inference.optimized.byte_rounding import LARGEST_WEIGHT, Moments, RoundedWeights
from timbral.inference.optimized.campplus_byte_ranges import SeenCampplus
from timbral.inference.shipped_voices import VOICES

needs_bytes = pytest.mark.skipif(not CAN_MULTIPLY_BYTES, reason="this processor has no VNNI")
RECORDINGS = sorted(VOICES.glob("*/*.ogg"))


@pytest.fixture(autouse=True)
def few_recordings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(byte_ranges, "EVERY", 160)
    monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path))


@pytest.fixture(scope="module")
def speech() -> list[Wave]:
    return [load(path)[:length] for path, length in zip(RECORDINGS[7::90], LENGTHS, strict=False)]


IN_8_BITS = (
    "campplus",
    "campplus-small",
    "ecapa",
    "ecapa-stride-3",
    "ecapa-wespeaker",
    "ecapa-no-context",
)
LENGTHS = (5_200, 48_000, 20_011, 5_300, 35_000)


def in_8_bits(network: SpeakerEncoder) -> Embedder:
    return Embedder(copy.deepcopy(network), precision="int8")


@needs_bytes
@pytest.mark.parametrize("case", IN_8_BITS)
def test_vectors_are_near_those_of_the_plain_network(case: str, speech: Sequence[Wave]) -> None:
    """Of random weights, with norms whose scales have both signs, and zero."""
    network = trained(case)
    plain = Embedder(copy.deepcopy(network)).encode_preprocessed(speech)
    made = in_8_bits(network).encode_preprocessed(speech)
    assert (plain * made).sum(1).min() > 0.99
    assert np.abs(plain - made).max() > 1e-5


@needs_bytes
@pytest.mark.parametrize("case", IN_8_BITS)
def test_batch_mates_change_nothing(case: str, speech: Sequence[Wave]) -> None:
    embedder = in_8_bits(trained(case))
    together = embedder.encode_preprocessed(speech)
    alone = np.concatenate([embedder.encode_preprocessed([wave]) for wave in speech])
    assert np.array_equal(together, alone)


@needs_bytes
def test_batch_mates_change_nothing_with_real_weights(speech: Sequence[Wave]) -> None:
    """Whatever kernels oneDNN takes for a layer's size and a batch's."""
    embedder = load_encoder(precision="int8")
    waves = [wave[: len(wave) - 999 * row] for wave in speech for row in range(3)]
    together = embedder.encode_preprocessed(waves)
    alone = np.concatenate([embedder.encode_preprocessed([wave]) for wave in waves])
    assert np.array_equal(together, alone)


@needs_bytes
@pytest.mark.parametrize("case", ["campplus", "ecapa"])
def test_threads_change_no_number_that_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, case: str
) -> None:
    """The first process to load an encoder makes the numbers of all that come after it."""
    network, kept = trained(case), []
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path / str(count)))
            torch.set_num_threads(count)
            in_8_bits(network)
            assert torch.get_num_threads() == count
            (file,) = (tmp_path / str(count) / "int8").iterdir()
            kept.append(load_file(file))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(kept[0][key], tensor) for key, tensor in kept[1].items())


@needs_bytes
@pytest.mark.parametrize("case", IN_8_BITS)
def test_padding_and_mates_do_not_matter_in_the_network(case: str, speech: Sequence[Wave]) -> None:
    network = trained(case).eval()
    computes = optimize_in_8_bits(network)
    with torch.inference_mode():
        features = [network.features(*single(wave)) for wave in speech]
        lengths = torch.cat([length for _, length in features])
        padded = torch.full((len(speech), int(lengths.max()) + 9, 80), torch.nan)
        for row, (frames, length) in enumerate(features):
            padded[row, : int(length)] = frames[0, : int(length)]
        together = computes.embed_features(padded, lengths)
        alone = [computes.embed_features(frames[:, : int(n)], n) for frames, n in features]
    assert torch.equal(together, torch.cat(alone))


def single(wave: Wave) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(wave)[None], torch.tensor([len(wave)])


@needs_bytes
@pytest.mark.parametrize("case", ["campplus", "ecapa"])
def test_weights_that_change_are_folded_again(speech: Sequence[Wave], case: str) -> None:
    embedder = in_8_bits(trained(case))
    before = embedder.encode_preprocessed(speech)
    with torch.no_grad():
        for parameter in embedder.network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    after = embedder.encode_preprocessed(speech)
    expected = Embedder(copy.deepcopy(embedder.network)).encode_preprocessed(speech)
    assert (after * expected).sum(1).min() > 0.98
    assert np.abs(after - before).max() > 1e-2


def note_runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that gets a word each time that the shipped voices are run through an encoder."""
    runs: list[str] = []

    class Watched(SeenCampplus):
        def __init__(self, encoder: CampplusEncoder) -> None:
            runs.append("run")
            super().__init__(encoder)

    monkeypatch.setattr(campplus_bytes, "SeenCampplus", Watched)
    return runs


@needs_bytes
def test_what_was_found_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, speech: Sequence[Wave]
) -> None:
    runs = note_runs(monkeypatch)
    network = trained("campplus")
    first = in_8_bits(network).encode_preprocessed(speech)
    assert len(runs) == 1
    assert np.array_equal(in_8_bits(network).encode_preprocessed(speech), first)
    assert len(runs) == 1
    with torch.no_grad():
        next(network.parameters()).mul_(1.01)
    in_8_bits(network)
    assert len(runs) == 2
    assert len(list(tmp_path.glob("int8/*"))) == 2


@needs_bytes
@pytest.mark.parametrize("damage", ["cut", "other bytes", "empty", "a folder"])
def test_what_was_kept_and_is_damaged_is_made_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, speech: Sequence[Wave], damage: str
) -> None:
    runs = note_runs(monkeypatch)
    network = trained("campplus")
    first = in_8_bits(network).encode_preprocessed(speech)
    (file,) = tmp_path.glob("int8/*")
    content = file.read_bytes()
    file.unlink()
    if damage == "a folder":
        file.mkdir()
    else:
        changed = bytes([content[-100] ^ 1])
        damaged = {"cut": content[:-100], "empty": b""}
        file.write_bytes(damaged.get(damage, content[:-100] + changed + content[-99:]))
    assert np.array_equal(in_8_bits(network).encode_preprocessed(speech), first)
    assert len(runs) == 2
    assert damage == "a folder" or file.read_bytes() == content


def test_other_words_in_the_code_keep_what_was_found() -> None:
    source = '"""A module."""\nSIZE = 3\n"""of it"""\ndef f():\n    """Two."""\n    return 2\n'
    reworded = '"""One."""\n\nSIZE = 3  # of it\ndef f():\n    return 2\n'
    assert byte_numbers._code(source) == byte_numbers._code(reworded)
    assert byte_numbers._code(source) != byte_numbers._code(source.replace("return 2", "return 3"))


@needs_bytes
def test_only_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(byte_numbers, "MOST_FILES", 2)
    network = trained("campplus")
    for _ in range(4):
        with torch.no_grad():
            next(network.parameters()).mul_(1.01)
        in_8_bits(network)
    assert len(list(tmp_path.glob("int8/*"))) == 2


@torch.inference_mode()
@needs_bytes
def test_thresholds_are_exact_on_average() -> None:
    """A norm, ReLU and product of codes is that of the numbers, but for rounding."""
    generator = torch.Generator().manual_seed(1)
    numbers = torch.randn(4_000, 64, generator=generator)
    norm = BatchNorm(64).eval()
    norm.weight.copy_(torch.linspace(-2, 2, 64))
    norm.weight[5] = 0.0
    norm.bias.copy_(torch.randn(64, generator=generator))
    matrix, bias = torch.randn(32, 64, generator=generator), torch.randn(32, generator=generator)
    expected = norm(numbers).relu() @ matrix.T + bias
    channels = ByteChannels.for_numbers(Range.of(numbers))
    codes = torch.empty(numbers.shape, dtype=torch.uint8)
    write_codes(((numbers - channels.low) / channels.step).float(), codes)
    kept = ByteNumbers(trained("campplus"), lambda: None)
    folded = (matrix, bias.double())
    product = ClampedProduct(norm, folded, channels, lambda: numbers, kept, 64)
    made = product(codes, torch.empty_like(codes))
    size = expected.std()
    assert (made - expected).std() < 0.02 * size
    assert (made - expected).mean(0).abs().max() < 0.002 * size


def some_channels() -> ByteChannels:
    """Steps of both signs, and none."""
    steps = torch.tensor([0.5, 2.0, -0.25, 0.0, 1.0], dtype=torch.float64)
    return ByteChannels(torch.tensor([-8.0, -400.0, 10.0, 3.0, 7.0]).double(), steps)


def test_zero_is_the_nearest_code() -> None:
    assert some_channels().zero.tolist() == [16, 200, 40, 0, 0]


def test_codes_after_a_norm_stand_for_what_it_makes() -> None:
    channels = some_channels()
    norm = BatchNorm(5).eval()
    norm.weight.data.copy_(torch.tensor([1.0, -2.0, 0.0, 3.0, 0.5]))
    assert norm.running_mean is not None
    norm.running_mean.normal_()
    norm.bias.data.normal_()
    codes = torch.randint(0, 256, (50, 5), generator=torch.Generator().manual_seed(1))
    normed = channels.normalized(norm)
    numbers = norm((channels.low + codes * channels.step).float())
    assert torch.allclose((normed.low + codes * normed.step).float(), numbers, atol=1e-4)


def test_products_of_codes_are_those_of_the_numbers() -> None:
    """Also where steps are below zero, and where all codes of a channel are one number."""
    generator = torch.Generator().manual_seed(1)
    channels = some_channels()
    codes = torch.randint(0, 256, (900, 5), generator=generator)
    numbers = (channels.low + codes * channels.step).float()
    matrix, bias = torch.randn(3, 5, generator=generator), torch.randn(3, generator=generator)
    expected = numbers @ matrix.T + bias
    made = ByteChannels(torch.full((3,), -2.0).double(), torch.full((3,), 0.5).double())
    for rounded, step, low in (
        (channels.rounded(matrix, bias, Moments.of(numbers)), 1.0, 0.0),
        (channels.rounded(matrix, bias, Moments.of(numbers), made), 0.5, -2.0),
    ):
        weights = rounded.whole * rounded.steps[:, None]
        product = (codes.float() @ weights.T + rounded.bias) * step + low
        assert (product - expected).abs().max() < 0.02 * expected.std()
        assert not rounded.whole[:, 3].any()


def nearest(matrix: Tensor) -> RoundedWeights:
    """Rounded for inputs of which nothing is known."""
    return RoundedWeights.of(
        matrix, torch.zeros(len(matrix)), Moments.of(torch.zeros(2, matrix.shape[1]))
    )


def test_rounding_errors_make_up_for_each_other() -> None:
    """On inputs of the kind that was seen, whose channels rise and fall together."""
    generator = torch.Generator().manual_seed(1)
    mixed = torch.randn(20, 100, generator=generator)
    inputs = (torch.randn(3_000, 20, generator=generator) @ mixed).relu_()
    matrix = torch.randn(30, 100, generator=generator)
    fitted = RoundedWeights.of(matrix, torch.zeros(30), Moments.of(inputs[:2_000]))
    errors = []
    for rounded in (fitted, nearest(matrix)):
        weights = rounded.whole * rounded.steps[:, None]
        made = inputs[2_000:] @ weights.T + rounded.bias
        errors.append((made - inputs[2_000:] @ matrix.T).square().mean())
    assert errors[0] < errors[1] / 3
    assert int(fitted.whole.int().abs().max()) == LARGEST_WEIGHT


def test_weights_are_rounded_to_the_nearest_where_inputs_never_differ() -> None:
    matrix = torch.tensor([[127.0, 0.4, -3.6], [0.0, 0.0, 0.0]])
    rounded = nearest(matrix)
    assert rounded.whole.tolist() == [[127, 0, -4], [0, 0, 0]]
    assert rounded.steps.tolist() == [1.0, 1.0]


@torch.inference_mode()
def test_moments_of_pieces_are_those_of_the_whole() -> None:
    rows = torch.randn(500, 7, generator=torch.Generator().manual_seed(1)) + 1_000
    together, pieces = Moments.of(rows), Moments()
    for some in rows.split(90):
        pieces.see(some)
    for moments in (together, pieces):
        assert torch.allclose(moments.mean, rows.double().mean(0), atol=1e-4)
        expected = torch.cov(rows.double().T, correction=0).float()
        assert torch.allclose(moments.covariance, expected, atol=1e-4)
    halved = pieces.divided(torch.full((7,), 2.0))
    assert torch.allclose(halved.covariance, pieces.covariance / 4)


@pytest.mark.parametrize(
    ("numbers", "codes"), [([-9.0, 0.4, 0.6, 254.6, 300.0], [0, 0, 1, 255, 255])]
)
def test_codes_are_the_nearest(numbers: list[float], codes: list[int]) -> None:
    made = write_codes(torch.tensor(numbers), torch.empty(len(numbers), dtype=torch.uint8))
    assert made.tolist() == codes


def test_other_encoders_are_refused() -> None:
    network = ENCODERS["tdnn"](SMALL["tdnn"]).eval()
    with pytest.raises(
        ConfigError, match="int8 is offered for campplus, campplus-small, ecapa, not for tdnn"
    ):
        Embedder(network, precision="int8")


@pytest.mark.parametrize(
    ("precision", "message"),
    [
        ("int8", "offered for campplus, campplus-small, ecapa, not for wavlm"),
        ("int9", "unknown value"),
    ],
)
def test_what_is_refused_is_not_downloaded(
    monkeypatch: pytest.MonkeyPatch, precision: str, message: str
) -> None:
    """The cache of these tests is empty."""
    asked: list[str] = []
    monkeypatch.setattr(load_checkpoint, "download_weights", asked.append)
    with pytest.raises(ConfigError, match=message):
        load_encoder("wavlm-base-plus-sv", precision=precision, download=True)
    assert not asked


def test_the_command_refuses_before_it_downloads(ask: Ask) -> None:
    answer = ask(
        "verify", "wavlm-base-plus-sv", RECORDINGS[0], RECORDINGS[1], "--precision", "int8"
    )
    assert answer.code == 2
    assert "offered for campplus, campplus-small, ecapa, not for wavlm" in answer.err
    assert "download" not in answer.err


def test_processors_without_the_instructions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizing, "CAN_MULTIPLY_BYTES", False)
    with pytest.raises(ConfigError, match="needs a processor that multiplies bytes"):
        in_8_bits(trained("campplus"))


def test_compiled_networks_are_refused() -> None:
    with pytest.raises(ConfigError, match="compile is not available with precision int8"):
        Embedder(trained("campplus"), precision="int8", compile=True)


@needs_bytes
def test_networks_that_train_are_refused() -> None:
    with pytest.raises(ConfigError, match="evaluation mode"):
        optimize_in_8_bits(trained("campplus").train())


@needs_bytes
def test_the_command_says_what_it_waits_for(ask: Ask) -> None:
    first, second = RECORDINGS[0], RECORDINGS[1]
    words = ("verify", "campplus-int8", first, second, "--precision", "int8", "--json")
    answer = ask(*words)
    assert answer.code == 0
    assert answer.err == "preparing these weights for int8; this takes seconds …\n"
    again = ask(*words)
    assert (again.out, again.err) == (answer.out, "")


@needs_bytes
def test_the_command_says_if_nothing_can_be_kept(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path / "file"))
    words = ("verify", "campplus-int8", RECORDINGS[0], RECORDINGS[1], "--precision", "int8")
    for answer in (ask(*words), ask(*words)):
        assert answer.code == 0
        first, second = answer.err.splitlines()
        assert first == "preparing these weights for int8; this takes seconds …"
        assert second.startswith("they cannot be kept (")
        assert str(tmp_path / "file") in second
        assert "set the environment variable TIMBRAL_CACHE" in second


@needs_bytes
def test_in_python_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    in_8_bits(trained("campplus"))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("parts", [2, 4])
def test_codes_of_a_feature_are_at_steps_of_a_part(parts: int) -> None:
    code = Code(0.07, 100)
    features = torch.linspace(-12.0, 16.0, 5_000, dtype=torch.float64).reshape(50, 100)
    offsets = torch.arange(parts) / parts - (parts - 1) / (2 * parts)
    exact = features[:, :, None] / code.step + code.zero + offsets
    codes = FeatureCodes(code, parts)(features.float())
    assert codes.shape == (50, 100, parts)
    assert codes.dtype is torch.uint8
    assert ((codes - exact).abs() < 0.501)[(exact > 0) & (exact < 255)].all()
    assert (codes[exact < -0.501] == 0).all()
    assert (codes[exact > 255.501] == 255).all()
    inside = (exact.amin(2) > 0) & (exact.amax(2) < 255)
    assert (codes.double() - exact).mean(2).abs()[inside].max() < 0.501 / parts
