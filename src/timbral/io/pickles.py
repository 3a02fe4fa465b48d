"""Pickles of plain values and NumPy arrays, read without Python's or NumPy's unpickling.

A pickle is a program that can call any function by name, and even an array that NumPy rebuilds from
a pickle can end the process. So a small interpreter here knows only the instructions for plain
values and arrays: names in the file become placeholders, an array is checked against a fixed list
of number types and against the length of its bytes, and keys of dictionaries must be strings or
whole numbers (hashing deeply nested tuples can also end a process). Nothing that a file names is
imported or called.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # most jobs read no pickle, and torch takes seconds
    from torch import Tensor

__all__ = ["UnknownNameError", "names_in_pickles", "read_pickle"]

NUMBER_TYPES = ("i1", "i2", "i4", "i8", "u1", "u2", "f2", "f4", "f8")
"""NumPy's codes of allowed array types, which torch has, too"""

MOST_DIMENSIONS = 64
"""largest number of dimensions, NumPy's own limit"""

NAMES = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),
    ("__builtin__", "bytes"),
}
"""names that a file may contain; they are implemented here, not imported"""


NUMBERS = {("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar")}
"""single numbers of NumPy's types, which weights do not contain; read only with records"""


class UnknownNameError(pickle.UnpicklingError):
    """A file refers to a name that plain values and arrays do not need."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name if name.isprintable() else repr(name)[1:-1]
        """in one line, whatever a damaged file says"""

    def __str__(self) -> str:
        return (
            f"it asks for {self.name}; only tensors and plain values are read, because a pickle "
            "could run any code"
        )


@dataclass(frozen=True)
class _Name:
    """A name in a file, such as ``numpy.dtype``."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass
class _Dtype:
    """A type of numbers; its byte order follows in the file."""

    code: str
    order: str = "<"

    @property
    def numpy(self) -> np.dtype[Any]:
        return np.dtype(f"{self.order}{self.code}")


@dataclass
class _Array:
    """An array; its shape and bytes follow in the file."""

    tensor: Tensor | list[Any] | None = None
    """a list for an array of words"""


class _Record(dict[Any, Any]):
    """The attributes of an object of a class, by name."""


_MARK = object()


def read_pickle(content: bytes, as_records: Collection[tuple[str, str]] = ()) -> Any:
    """The first object of a pickle: plain values, and tensors for its arrays.

    as_records: classes (module, name) whose objects are read as dicts of their attributes, without
    importing the classes; with them, arrays of words (as lists) and NumPy's numbers are also read.

    Raises pickle.UnpicklingError that names anything else, and ValueError for damaged files.
    """
    return _Machine(content, frozenset(as_records)).run()


def names_in_pickles(content: bytes, count: int) -> set[str]:
    """Names in the first `count` pickles of a file, as ``module.name``; nothing is imported."""
    names: set[str] = set()
    file = io.BytesIO(content)
    try:
        for _ in range(count):
            for opcode, argument, _position in pickletools.genops(file):
                if opcode.name == "GLOBAL":
                    names.add(str(argument).replace(" ", ".", 1))
    except ValueError:  # it ends early
        pass
    return names


class _Machine:
    """The stack and the memo of a pickle, and its instructions."""

    def __init__(self, content: bytes, records: frozenset[tuple[str, str]] = frozenset()) -> None:
        self.content = content
        self.records = records
        self.names = NAMES | records | (NUMBERS if records else set())
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.bytes_left = len(content)
        """bytes left for arrays; otherwise a file whose arrays share bytes could fill the memory"""

    def run(self) -> Any:
        for opcode, argument, _ in pickletools.genops(self.content):
            if opcode.name == "STOP":
                return _finished(self.stack.pop())
            if opcode.name in PUSHED:
                self.stack.append(argument)
                continue
            instruction = INSTRUCTIONS.get(opcode.name)
            if instruction is None:
                raise pickle.UnpicklingError(
                    f"{opcode.name} does not occur in plain values and arrays"
                )
            instruction(self, argument)
        raise ValueError("the pickle has no end")

    def put(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def since_mark(self) -> list[Any]:
        """Pop everything above the last mark from the stack, and the mark."""
        for position in range(len(self.stack) - 1, -1, -1):
            if self.stack[position] is _MARK:
                items = self.stack[position + 1 :]
                del self.stack[position:]
                return items
        raise ValueError("a mark is missing")

    def take(self, count: int) -> list[Any]:
        """Pop `count` values from the stack, the lowest first."""
        items = self.stack[-count:]
        if len(items) < count:
            raise ValueError("values are missing")
        del self.stack[-count:]
        return items

    def make_tuple(self, size: int | None) -> None:
        self.stack.append(tuple(self.since_mark() if size is None else self.take(size)))

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise ValueError("it appends to something that is not a list")
        target.extend(_finished(item) for item in items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise ValueError("it sets items of something that is not a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | int):
                raise pickle.UnpicklingError(f"a key is {type(key).__name__}, not a string")
            target[key] = _finished(value)

    def name(self, module: Any, name: Any) -> None:
        """Push a placeholder for a name; refuse names that arrays do not need."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise pickle.UnpicklingError("it asks for a class without a name")
        if (module, name) not in self.names:
            raise UnknownNameError(f"{module}.{name}")
        self.stack.append(_Name(module, name))

    def call(self) -> None:
        called, arguments = self.take(2)
        if not isinstance(called, _Name):
            raise pickle.UnpicklingError(f"it calls a {type(called).__name__}")
        match str(called), arguments:
            case "collections.OrderedDict", ():
                self.stack.append({})
            case "_codecs.encode", (str(text), "latin1"):  # bytes, before protocol 3
                self.stack.append(text.encode("latin1"))
            case "__builtin__.bytes", ():
                self.stack.append(b"")
            case _:
                self.stack.append(self.called_numpy(str(called), arguments))

    def called_numpy(self, called: str, arguments: Any) -> Any:
        """The results of NumPy's functions that rebuild types, arrays and numbers."""
        match called.replace("numpy._core", "numpy.core"), arguments:
            case "numpy.dtype", (str(code), *_):
                words = bool(self.records) and code.startswith("O")
                return _Dtype("O" if words else _number_type(code))
            case "numpy.core.multiarray._reconstruct", (_Name("numpy", "ndarray"), *_):
                return _Array()
            case (
                "numpy.core.numeric._frombuffer",
                (data, _Dtype() as dtype, tuple(shape), "C" | "F" as order),
            ):
                return _Array(self.tensor(shape, dtype, order == "F", data))
            case "numpy.core.multiarray.scalar", (_Dtype() as dtype, bytes(data)):
                number = self.tensor((), dtype, False, data)
                return number if isinstance(number, list) else number.item()
            case _:
                raise pickle.UnpicklingError(f"it calls {called} in a way that arrays do not need")

    def new_object(self) -> None:
        called, arguments = self.take(2)
        known = isinstance(called, _Name) and (called.module, called.name) in self.records
        if not known or arguments != ():
            raise pickle.UnpicklingError(f"it creates an object of {called}")
        self.stack.append(_Record())

    def build(self) -> None:
        built, state = self.take(2)
        self.stack.append(built)
        match built, state:
            case _Dtype() as dtype, (int(), "<" | ">" | "|" as order, None, None, None, *_):
                dtype.order = order
            case _Record() as record, dict(values):
                record.update(values)
            case _Array(None) as array, (int(), tuple(shape), _Dtype() as dtype, fortran, data):
                array.tensor = self.tensor(shape, dtype, bool(fortran), data)
            case _:
                raise pickle.UnpicklingError("an array or its type has an unknown kind of state")

    def tensor(
        self, shape: tuple[Any, ...], dtype: _Dtype, fortran: bool, data: Any
    ) -> Tensor | list[Any]:
        """The array with these bytes; refuses a shape that they do not fill exactly."""
        sizes_are_counts = all(type(size) is int and size >= 0 for size in shape)
        if dtype.code == "O" and isinstance(data, list) and shape == (len(data),):
            return data
        is_data = isinstance(data, bytes | bytearray) and dtype.code != "O"
        if not sizes_are_counts or len(shape) > MOST_DIMENSIONS or not is_data:
            raise pickle.UnpicklingError("an array has no shape, or no bytes")
        if math.prod(shape) * dtype.numpy.itemsize != len(data):
            raise pickle.UnpicklingError(
                f"an array of shape {shape} and type {dtype.code} has {len(data)} bytes"
            )
        self.bytes_left -= len(data)
        if self.bytes_left < 0:
            raise pickle.UnpicklingError("its arrays contain more bytes than the file")
        array = np.frombuffer(data, dtype.numpy).reshape(shape, order="F" if fortran else "C")
        import torch

        return torch.from_numpy(array.astype(dtype.code, order="C"))  # in this machine's order


def _number_type(code: str) -> str:
    code = code.lstrip("<>=|")
    if code not in NUMBER_TYPES:
        raise pickle.UnpicklingError(
            f"an array has the type {code[:20]!r}; allowed: {', '.join(NUMBER_TYPES)}"
        )
    return code


def _finished(value: Any) -> Any:
    """A finished value, with arrays as tensors."""
    if isinstance(value, _Array):
        if value.tensor is None:
            raise pickle.UnpicklingError("an array has no numbers")
        return value.tensor
    if isinstance(value, _Record):
        return dict(value)
    if isinstance(value, _Name | _Dtype):
        raise pickle.UnpicklingError("it contains a class instead of a value")
    return value


PUSHED = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
"""instructions that push a value"""

INSTRUCTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, version: None,
    "FRAME": lambda machine, length: None,
    "MARK": lambda machine, _: machine.stack.append(_MARK),
    "NONE": lambda machine, _: machine.stack.append(None),
    "NEWTRUE": lambda machine, _: machine.stack.append(True),
    "NEWFALSE": lambda machine, _: machine.stack.append(False),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "TUPLE": lambda machine, _: machine.make_tuple(None),
    "TUPLE1": lambda machine, _: machine.make_tuple(1),
    "TUPLE2": lambda machine, _: machine.make_tuple(2),
    "TUPLE3": lambda machine, _: machine.make_tuple(3),
    "APPEND": lambda machine, _: machine.append(machine.take(1)),
    "APPENDS": lambda machine, _: machine.append(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.set_items(machine.take(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "BINGET": lambda machine, index: machine.get(index),
    "LONG_BINGET": lambda machine, index: machine.get(index),
    "BINPUT": lambda machine, index: machine.put(index),
    "LONG_BINPUT": lambda machine, index: machine.put(index),
    "MEMOIZE": lambda machine, _: machine.put(None),
    "GLOBAL": lambda machine, words: machine.name(*words.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.name(*machine.take(2)),
    "REDUCE": lambda machine, _: machine.call(),
    "NEWOBJ": lambda machine, _: machine.new_object(),
    "BUILD": lambda machine, _: machine.build(),
}
