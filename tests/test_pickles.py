"""Pickles of arrays are read by checks of our own; nothing in them is run or rebuilt by NumPy."""

from __future__ import annotations

import collections
import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from timbral.checkpoints.foreign.base import Content
from timbral.checkpoints.foreign.paddlespeech import PADDLESPEECH
from timbral.checkpoints.foreign.weight_files import read_content
from timbral.errors import CheckpointError
from timbral.io.pickles import read_pickle

ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    np.arange(6, dtype=">f4").reshape(3, 2),
    np.arange(4, dtype=np.float16),
    np.arange(-2, 2, dtype=np.int64),
    np.arange(3, dtype=np.uint8),
    np.array(7.0, np.float32),
    np.zeros((0, 3), np.float32),
]


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_arrays_and_plain_values_are_read(protocol: int) -> None:
    plain = {"a": 1, "b": [1.5, None, True], "c": {"d": "ü"}, "e": ("x", -(2**40)), 3: b"12"}
    content = {**plain, "arrays": collections.OrderedDict(enumerate(ARRAYS))}
    read = read_pickle(pickle.dumps(content, protocol))
    arrays = read.pop("arrays")
    assert read == plain
    for number, array in enumerate(ARRAYS):
        assert isinstance(arrays[number], torch.Tensor)
        assert tuple(arrays[number].shape) == array.shape
        np.testing.assert_array_equal(arrays[number].numpy(), array)


class Stand:
    """Is pickled as an array with the state of one's choice."""

    def __init__(self, state: tuple[Any, ...], dtype: tuple[Any, ...] | None = None) -> None:
        self.state, self.dtype = state, dtype

    def __reduce__(self) -> tuple[Any, ...]:
        rebuild, arguments, _ = np.zeros(1).__reduce__()
        return rebuild, arguments, self.state


F4 = np.dtype("<f4")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.array([None, "x"], dtype=object), "has the type 'O8'"),
        (np.zeros(2, dtype=[("a", "<f4"), ("b", "<i4")]), "has the type 'V8'"),
        (np.array(["2020-01-01"], dtype="M8[s]"), "has the type 'M8'"),
        (np.array(["abc"]), "has the type 'U3'"),
        (Stand((1, (3,), F4, False, b"12345678")), r"shape \(3,\) and type f4 has 8 bytes"),
        (Stand((1, (-1, -2), F4, False, b"12345678")), "has no shape, or no bytes"),
        (Stand((1, ("2",), F4, False, b"12345678")), "has no shape, or no bytes"),
        (Stand((1, (2**62, 4), F4, False, b"12345678")), "has 8 bytes"),
        (Stand((1, (1,) * 65, F4, False, b"1234")), "has no shape, or no bytes"),
        (Stand((1, (2,), F4, False, [1.0, 2.0])), "has no shape, or no bytes"),
        (Stand((1, (2,), "f4", False, b"12345678")), "an unknown kind of state"),
        (Stand((1, (2,))), "an unknown kind of state"),
        (np.float32(1.0), r"asks for numpy\S*\.multiarray\.scalar"),
        (np.dtype("f4"), "a class instead of a value"),
        (np.ndarray, "a class instead of a value"),
        ({(1, 2): 3}, "a key is tuple, not a string"),
        ({1, 2}, r"does not occur in plain values and arrays|asks for __builtin__\.set"),
        (Path("x"), r"asks for pathlib\S*\.PosixPath"),
        (print, r"asks for builtins\.print|asks for __builtin__\.print"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_anything_else_is_refused(value: Any, words: str, protocol: int) -> None:
    with pytest.raises((pickle.UnpicklingError, ValueError), match=words):
        read_pickle(pickle.dumps({"weights": value}, protocol))


def test_arrays_of_the_same_bytes_cannot_fill_the_memory() -> None:
    same_bytes = bytes(4000)
    arrays = [Stand((1, (1000,), F4, False, same_bytes)) for _ in range(3)]
    with pytest.raises(pickle.UnpicklingError, match="more bytes than the file"):
        read_pickle(pickle.dumps(arrays))


def test_every_cut_is_an_error(tmp_path: Path) -> None:
    whole = pickle.dumps({"a": ARRAYS[0], "b": [1, "x"]}, 4)
    for length in range(len(whole)):
        (tmp_path / "x.pdparams").write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="cannot be read as weights"):
            read_content(tmp_path / "x.pdparams")


def test_every_changed_byte_is_read_or_an_error(tmp_path: Path) -> None:
    whole = pickle.dumps({"a": ARRAYS[0], "b": [1, "x"]}, 4)
    for position in range(len(whole)):
        for bit in (1, 4, 128):
            changed = bytearray(whole)
            changed[position] ^= bit
            (tmp_path / "x.pdparams").write_bytes(changed)
            with suppress(CheckpointError):
                assert isinstance(read_content(tmp_path / "x.pdparams").values, dict)


def lstm(linear: Any) -> Content:
    values = {
        "lstm.weight_ih_l0": torch.zeros(32, 40),
        "lstm.weight_hh_l0": torch.zeros(32, 8),
        "linear.weight": linear,
        "linear.bias": torch.zeros(4),
    }
    return Content(values, "arrays")


def test_bfloat16_of_paddle_is_read() -> None:
    numbers = torch.tensor([[1.0, -2.5, 0.0, 3e38], [0.1, 1e-30, 7.0, -1.0]] * 4)
    stored = numbers.bfloat16().view(torch.int16).numpy().view(np.uint16)
    read = read_pickle(pickle.dumps({"linear.weight": stored}))["linear.weight"]
    weights = PADDLESPEECH.convert(lstm(read)).tensors["encoder.linear.weight"]
    assert weights.dtype == torch.float32
    assert torch.equal(weights, numbers.bfloat16().float().T)
    for wrong in (torch.int16, torch.int64, torch.uint8):
        with pytest.raises(CheckpointError, match=r"linear\.weight contains torch"):
            PADDLESPEECH.convert(lstm(torch.zeros(8, 4, dtype=wrong)))
