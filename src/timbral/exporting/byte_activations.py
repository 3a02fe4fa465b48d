"""Compute products of an exported graph with 8-bit inputs and weights: faster on some CPUs.

The input of a product over frames, x (…, in), is rounded to u8 with one scale and offset, from the
smallest and largest values seen on some recordings. Its weights W (in, out) are rounded to s8 with
one scale per output. Processors without VNNI add two neighboring products in 16 bits. Weights whose
sums could overflow there get only 7 bits, so that vectors do not depend on the machine.

A runtime that finds QuantizeLinear and DequantizeLinear around a product multiplies whole numbers.
Everything else stays in float32: convolutions, attention, what is computed once per utterance or
segment, and norms, for which 8 bits cost more time than they save.
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
"""products with fewer weights gain nothing from 8 bits"""
LEAST_ROWS_PER_SECOND = 16.0
"""products with fewer rows are not over frames, but over segments or utterances"""
STEPS = 255
BITS_8, BITS_7 = 127, 63
"""largest whole number that a weight may become"""
LARGEST_PAIR = 32_767
"""largest sum of two products that does not overflow on processors without VNNI"""


@dataclass
class SeenProduct:
    """A product (…, in) @ (in, out), and the range of values seen as its left input."""

    node: onnx.NodeProto
    weights: np.ndarray
    low: float = 0.0
    highest: np.ndarray | None = None
    """highest value seen of each input (in,)"""
    rows_per_second: float = np.inf

    def see(self, values: np.ndarray, seconds: float) -> None:
        """Extend the range by the values that were multiplied for one recording."""
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
        """The weights (in, out) as int8, and the scale of each output (out,)."""
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
    """Convert the products over frames to 8 bits, in place; returns their number.

    Args:
        proto: the graph of a `WaveGraph`, with its original names
        waves: preprocessed recordings (T,), which give the ranges
        path: the file that will be written, for messages

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
    """The largest magnitude of a sum of two neighboring products (in, out) of the same sign."""
    padded = np.pad(products, ((0, len(products) % 2), (0, 0)))
    signed = (padded.clip(min=0), -padded.clip(max=0))
    return max(float((each[::2] + each[1::2]).max()) for each in signed)


def _products(graph: onnx.GraphProto) -> Iterator[SeenProduct]:
    values = constant_values(graph)
    for node in graph.node:
        if node.op_type != "MatMul" or any(word in node.name for word in EXACT):
            continue
        weights = values(node.input[1])
        if weights is None or weights.ndim != 2 or weights.size < LEAST_WEIGHTS:
            continue
        if values(node.input[0]) is None and np.isfinite(weights).all():
            yield SeenProduct(node, weights)


def _observe(
    proto: onnx.ModelProto,
    products: Sequence[SeenProduct],
    waves: Sequence[Wave],
    sample_rate: int,
    path: Path,
) -> None:
    """Run recordings through the graph, and record the values that each product multiplies."""
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


def _insert(graph: onnx.GraphProto, chosen: Mapping[str, SeenProduct]) -> None:
    """Insert the 8-bit inputs and weights of the `chosen` products, by names of outputs."""
    from onnx import helper, numpy_helper

    nodes: list[onnx.NodeProto] = []
    done: dict[str, str] = {}

    def store(name: str, values: np.ndarray | np.generic) -> str:
        graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def rounded(name: str, product: SeenProduct) -> str:
        if name not in done:
            scale = store(f"{name}_u8_scale", np.float32(product.scale))
            zero = store(f"{name}_u8_zero", np.uint8(product.zero))
            done[name] = f"{name}_rounded"
            whole = f"{name}_u8"
            nodes.append(helper.make_node("QuantizeLinear", [name, scale, zero], [whole]))
            nodes.append(helper.make_node("DequantizeLinear", [whole, scale, zero], [done[name]]))
        return done[name]

    def stored(name: str, product: SeenProduct) -> str:
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
    """Remove nodes and constants that no output needs."""
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
