"""Products of an exported graph in 8 bits on both sides: faster where a processor multiplies bytes.

What a product over frames takes, x (…, in), is rounded to u8 by one scale and offset, which the
smallest and largest numbers of some recordings give, and its weights W (in, out) to s8 by a scale
for each output. Processors without VNNI add two neighboring products in 16 bits; weights whose sums
could be cut off there have 7 bits, so that vectors do not depend on the machine.

A runtime finds QuantizeLinear and DequantizeLinear beside the product and multiplies whole numbers.
Everything else stays in float32: convolutions, attention, what is computed once for an utterance or
a segment, and norms, of which 8 bits take more than they save.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from timbral.audio.decode import Wave
from timbral.errors import CheckpointError
from timbral.exporting.stored_constants import EXACT, constant_values
from timbral.inference.onnx_runtime import open_session

if TYPE_CHECKING:
    import onnx

__all__ = ["quantize_activations"]

LEAST_WEIGHTS = 4_096
"""of a product; smaller ones gain nothing"""
LEAST_ROWS_PER_SECOND = 16.0
"""fewer are segments or utterances"""
STEPS = 255
BITS_8, BITS_7 = 127, 63
"""the largest whole number of a weight"""
LARGEST_PAIR = 32_767
"""the sum of two products of whole numbers where there is no VNNI: what is larger is cut off"""


@dataclass
class Product:
    """A product (…, in) @ (in, out), and what was seen of its left side."""

    node: onnx.NodeProto
    weights: np.ndarray
    low: float = 0.0
    highest: np.ndarray | None = None
    """of each input (in,)"""
    rows_per_second: float = np.inf

    def see(self, values: np.ndarray, seconds: float) -> None:
        """Take the numbers that it multiplied for a recording."""
        self.low = min(self.low, float(values.min()))
        highest = values.reshape(-1, values.shape[-1]).max(axis=0)
        self.highest = highest if self.highest is None else np.maximum(self.highest, highest)
        rows = values.size / values.shape[-1]
        self.rows_per_second = min(self.rows_per_second, rows / seconds)

    @property
    def scale(self) -> float:
        high = 0.0 if self.highest is None else float(self.highest.max())
        return (max(high, 0.0) - self.low) / STEPS

    @property
    def zero(self) -> int:
        return round(-self.low / self.scale)

    def whole_weights(self) -> tuple[np.ndarray, np.ndarray]:
        """(in, out) in int8, and the scales (out,)."""
        assert self.highest is not None, "it has seen a recording"
        codes = np.rint(self.highest / self.scale) + self.zero
        for largest in (BITS_8, BITS_7):
            scale = (np.abs(self.weights).max(axis=0) / largest).astype(np.float32)
            scale = np.where(scale > 0, scale, np.float32(1.0))
            whole = np.rint(self.weights / scale).clip(-largest, largest)
            if _largest_pair(codes[:, None] * whole) <= LARGEST_PAIR:
                break
        return whole.astype(np.int8), scale

    @property
    def is_over_frames(self) -> bool:
        finite = np.isfinite(self.scale) and self.scale > 0
        return bool(finite and self.rows_per_second >= LEAST_ROWS_PER_SECOND)


def quantize_activations(
    proto: onnx.ModelProto, waves: Sequence[Wave], sample_rate: int, path: Path
) -> int:
    """Take the products over frames to 8 bits, in place; returns how many these are.

    Args:
        proto: of a `WaveGraph`, with its own names
        waves: preprocessed recordings (T,), which give the ranges
        path: of the file that is to be written, for messages

    Raises CheckpointError for a graph without such products.
    """
    products = list(_products(proto.graph))
    if products:
        _observe(proto, products, waves, sample_rate, path)
    chosen = [each for each in products if each.is_over_frames]
    if not chosen:
        raise CheckpointError(
            f"{path}: the encoder has no products over frames that 8 bits would make faster (a "
            "recurrent layer has none); export it without `calibrate`"
        )
    _insert(proto.graph, {each.node.output[0]: each for each in chosen})
    _remove_unused(proto.graph)
    return len(chosen)


def _largest_pair(products: np.ndarray) -> float:
    """Of products (in, out), the largest sum of two neighbors of one sign, without a sign."""
    padded = np.pad(products, ((0, len(products) % 2), (0, 0)))
    signed = (padded.clip(min=0), -padded.clip(max=0))
    return max(float((each[::2] + each[1::2]).max()) for each in signed)


def _products(graph: onnx.GraphProto) -> Iterator[Product]:
    values = constant_values(graph)
    for node in graph.node:
        if node.op_type != "MatMul" or any(word in node.name for word in EXACT):
            continue
        weights = values(node.input[1])
        if weights is None or weights.ndim != 2 or weights.size < LEAST_WEIGHTS:
            continue
        if values(node.input[0]) is None and np.isfinite(weights).all():
            yield Product(node, weights)


def _observe(
    proto: onnx.ModelProto,
    products: Sequence[Product],
    waves: Sequence[Wave],
    sample_rate: int,
    path: Path,
) -> None:
    """Run recordings through the graph, and let each product see what it multiplies."""
    from onnx import helper

    watched = copy.deepcopy(proto)
    taken = sorted({each.node.input[0] for each in products})
    watched.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in taken)
    session = open_session(watched.SerializeToString(), path)
    for wave in waves:
        given = {"waves": wave[None], "lengths": np.array([len(wave)], dtype=np.int64)}
        seen = dict(zip(taken, session.run(taken, given), strict=True))
        for product in products:
            product.see(seen[product.node.input[0]], len(wave) / sample_rate)


def _insert(graph: onnx.GraphProto, chosen: Mapping[str, Product]) -> None:
    """Both sides of the products, which their outputs name, in 8 bits."""
    from onnx import helper, numpy_helper

    nodes: list[onnx.NodeProto] = []
    done: dict[str, str] = {}

    def store(name: str, values: np.ndarray | np.generic) -> str:
        graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def rounded(name: str, product: Product) -> str:
        if name not in done:
            scale = store(f"{name}_u8_scale", np.float32(product.scale))
            zero = store(f"{name}_u8_zero", np.uint8(product.zero))
            done[name] = f"{name}_rounded"
            whole = f"{name}_u8"
            nodes.append(helper.make_node("QuantizeLinear", [name, scale, zero], [whole]))
            nodes.append(helper.make_node("DequantizeLinear", [whole, scale, zero], [done[name]]))
        return done[name]

    def stored(name: str, product: Product) -> str:
        whole, scale = product.whole_weights()
        given = [
            store(f"{name}_s8", whole),
            store(f"{name}_s8_scale", scale),
            store(f"{name}_s8_zero", np.zeros(len(scale), np.int8)),
        ]
        nodes.append(helper.make_node("DequantizeLinear", given, [f"{name}_rounded"], axis=1))
        return f"{name}_rounded"

    for node in graph.node:
        each = type(node).FromString(node.SerializeToString())
        product = chosen.get(each.output[0]) if each.output else None
        if product is not None:
            each.input[0] = rounded(each.input[0], product)
            each.input[1] = stored(each.output[0], product)
        nodes.append(each)
    del graph.node[:]
    graph.node.extend(nodes)


def _remove_unused(graph: onnx.GraphProto) -> None:
    """Nodes and constants that no output needs."""
    needed = {each.name for each in graph.output}
    kept: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(type(node).FromString(node.SerializeToString()))
    tensors = [
        type(each).FromString(each.SerializeToString())
        for each in graph.initializer
        if each.name in needed
    ]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(tensors)
