"""Changes to valid content: what disks, transfers, other tools and strangers do to files."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet

__all__ = ["MUTATIONS"]

ODD_VALUES: list[Any] = [
    None, True, False, 0, -1, 1.5, 10**6, 10**18, -(10**18), 2**63, 1e308, float("nan"),
    float("inf"), "", "x", "0", "1e18", "../..", "\0", "\ud83d\ude00", "x" * 3000, [], {}, [None],
    [[[]]], {"": None}, {"name": "lstm"}, [1, 2, 3], "none",
]  # fmt: skip
"""in the place of any value of a JSON document"""
ODD_BYTES = (0, 1, 10, 32, 34, 44, 46, 127, 128, 255)


def change_bytes(draw: random.Random, content: bytes) -> bytes:
    """Bits flipped, bytes set, ranges removed or repeated, numbers replaced, the end cut off."""
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        if changed:
            draw.choice(BYTE_CHANGES)(draw, changed, draw.randrange(len(changed)))
    return bytes(changed)


def _flip(draw: random.Random, changed: bytearray, at: int) -> None:
    changed[at] ^= 1 << draw.randrange(8)


def _set(draw: random.Random, changed: bytearray, at: int) -> None:
    changed[at] = draw.choice(ODD_BYTES)


def _remove(draw: random.Random, changed: bytearray, at: int) -> None:
    del changed[at : at + draw.choice((1, 2, 4, 8, 40))]


def _repeat(draw: random.Random, changed: bytearray, at: int) -> None:
    changed[at:at] = changed[at : at + draw.choice((1, 2, 4, 8, 40))]


def _set_number(draw: random.Random, changed: bytearray, at: int) -> None:
    number = draw.choice((0, 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1))
    size = draw.choice((4, 8))
    changed[at : at + size] = number.to_bytes(8, "little")[: min(size, len(changed) - at)]


def _cut(draw: random.Random, changed: bytearray, at: int) -> None:
    del changed[at:]


BYTE_CHANGES = (_flip, _set, _remove, _repeat, _set_number, _cut)


def change_json(draw: random.Random, content: bytes) -> bytes:
    """A value replaced by an odd one, a key removed or renamed; now and then the text itself."""
    if draw.random() < 0.02:
        return draw.choice((b"[", b'{"a":')) * 3_000
    document = json.loads(content)
    for _ in range(draw.choice((1, 1, 2, 3))):
        document = _changed(draw, document)
    text = json.dumps(document).encode()
    return change_bytes(draw, text) if draw.random() < 0.15 else text


def change_lines(draw: random.Random, content: bytes) -> bytes:
    """Lines removed, repeated, split or joined; fields emptied or made odd; odd text around it."""
    lines = content.decode("utf-8", "replace").split("\n")
    if draw.random() < 0.1:
        return change_bytes(draw, content)
    for _ in range(draw.choice((1, 1, 2, 3))):
        at = draw.randrange(len(lines))
        lines[at : at + 1] = draw.choice(LINE_CHANGES)(draw, lines[at])
        lines = lines or [""]
    mark = "\ufeff" if draw.random() < 0.1 else ""
    return (mark + "\n".join(lines)).encode("utf-8", "replace")


def _odd_text(draw: random.Random) -> str:
    return str(draw.choice(ODD_VALUES))[:40]


def _replace_field(draw: random.Random, line: str) -> list[str]:
    fields = line.split(draw.choice((" ", ",", "\t")))
    fields[draw.randrange(len(fields))] = _odd_text(draw)
    return [draw.choice((" ", ",", "\t")).join(fields)]


LINE_CHANGES: tuple[Callable[[random.Random, str], list[str]], ...] = (
    lambda draw, line: [],
    lambda draw, line: [line, line],
    lambda draw, line: [line.replace(draw.choice(' ,\t"/'), _odd_text(draw), 1)],
    _replace_field,
    lambda draw, line: [_odd_text(draw) + line],
    lambda draw, line: [line + draw.choice((" ", "\t", '"', ",", "\r", "\0", "\x85", " x", ",x"))],
)


def change_json_lines(draw: random.Random, content: bytes) -> bytes:
    """One document of many, one a line, or the lines."""
    lines = content.split(b"\n")
    at = draw.randrange(len(lines))
    if not lines[at] or draw.random() < 0.2:
        return change_lines(draw, content)
    lines[at] = change_json(draw, lines[at])
    return b"\n".join(lines)


def _changed(draw: random.Random, value: Any) -> Any:
    """A document with one value somewhere in it changed; deeper ones are likelier."""
    if isinstance(value, dict) and value and draw.random() < 0.85:
        key = draw.choice(sorted(value))
        rest = {name: item for name, item in value.items() if name != key}
        action = draw.random()
        if action < 0.1:
            return rest
        if action < 0.15:
            return {**rest, draw.choice(("", "x", key.upper(), f"{key}s")): value[key]}
        return {**value, key: _changed(draw, value[key])}
    if isinstance(value, list) and value and draw.random() < 0.85:
        at = draw.randrange(len(value))
        return [*value[:at], _changed(draw, value[at]), *value[at + draw.choice((1, 1, 0)) :]]
    return draw.choice(ODD_VALUES)


def change_table(draw: random.Random, content: bytes) -> bytes:
    """Columns of a Parquet table of other types, with nulls, renamed, repeated or left out."""
    table = pa.parquet.read_table(io.BytesIO(content))
    names, columns = list(table.column_names), list(table.columns)
    for _ in range(draw.choice((1, 1, 2))):
        at = draw.randrange(len(names))
        count = table.num_rows
        match draw.randrange(5):
            case 0:
                del names[at], columns[at]
            case 1:
                names[at] = draw.choice(("", "x", names[at].upper(), draw.choice(names)))
            case 2:
                values = columns[at].to_pylist()
                values[draw.randrange(count)] = None
                columns[at] = pa.array(values, columns[at].type)
            case _:
                columns[at] = draw.choice(ODD_COLUMNS)(count)
        if not names:
            break
    memory = io.BytesIO()
    pa.parquet.write_table(pa.Table.from_arrays(columns, names), memory)
    return memory.getvalue()


ODD_COLUMNS: list[Callable[[int], pa.Array]] = [
    lambda count: pa.nulls(count),
    lambda count: pa.array([1] * count),
    lambda count: pa.array([True] * count),
    lambda count: pa.array([float("nan")] * count),
    lambda count: pa.array([b"\xff"] * count),
    lambda count: pa.array(["x"] * count).dictionary_encode(),
    lambda count: pa.array(["x"] * count, pa.large_string()),
    lambda count: pa.array([""] * count),
    lambda count: pa.array([{"a": 1}] * count),
    lambda count: pa.array([[1.0, float("inf")]] * count),
    lambda count: pa.array([[1e30, 2.0]] * count),
    lambda count: pa.array([[1.0] * (row % 3) for row in range(count)]),
    lambda count: pa.array([[1, 2]] * count),
    lambda count: pa.array([[[1.0]]] * count),
    lambda count: pa.array([[0.5, None]] * count, pa.list_(pa.float16())),
    lambda count: pa.array([10**18] * count, pa.timestamp("us")),
    lambda count: pa.array([Decimal("1.5")] * count),
]


MUTATIONS: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "bytes": change_bytes,
    "json": change_json,
    "lines": change_lines,
    "json-lines": change_json_lines,
    "table": change_table,
}
