"""Full-integer quantization: calibration statistics, channel equalization, range search, bias correction, weight rounding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convert.quantize.bias_correction import correct_biases
from convert.quantize.channel_equalization import equalize
from convert.quantize.litert_quantization import int8_model
from convert.quantize.range_refinement import refine_ranges
from convert.quantize.range_search import QuantizationOptions, search_ranges
from convert.quantize.tensor_statistics import collect_statistics
from convert.quantize.weight_rounding import round_by_layer_error
from convert.sources.checks import require_int8
from convert.tflite.graph import Graph
from fer_edge.classifier import RAW_RANGE
from fer_edge.errors import UsageError


def quantize_graph(
    float_graph: Graph,
    images: np.ndarray,
    options: QuantizationOptions | None = None,
    *,
    keep_float: Sequence[str] = (),
    may_keep_float: bool = False,
) -> Graph:
    """Returns the int8 model of a float graph with batch size 1; ranges come from `images` uint8 (N, side, side).

    The float model's input values are the pixels, 0 to 255, and so is the range of the int8 model's input. Layers named in
    `keep_float` (conv_3, dense_1: `python -m convert.layers`) stay float; if the last is among them, so is the output. Raises
    UsageError when the model has no such layer, all are named, or the quantizer rejects it; ParityFailed when an operator
    remains in floating point although `keep_float` is empty and `may_keep_float` is not given.
    """
    options = options or QuantizationOptions()
    require_layers(float_graph, keep_float)
    graph = float_graph.copy()
    statistics = collect_statistics(graph, images)
    if options.equalize:
        statistics = equalize(graph, statistics, options.equalize)
    searched = search_ranges(graph, statistics, options.clip)
    if options.refine:
        searched = refine_ranges(graph, searched, images)
    ranges = {tensor: (low * options.widen, high * options.widen) for tensor, (low, high) in searched.items()}
    ranges[graph.inputs[0]] = RAW_RANGE
    correct = options.correct and options.per_channel
    if correct and not options.round_by_error:
        correct_biases(graph, statistics, keep_float)
    quantized = int8_model(graph, ranges, keep_float, options.per_channel)
    if correct and options.round_by_error:
        round_by_layer_error(quantized, graph, images)
    if not keep_float and not may_keep_float:
        require_int8(quantized, float_graph)
    return quantized


def require_layers(float_graph: Graph, keep_float: Sequence[str]) -> None:
    """Raises UsageError when the graph has no operator of one of these names, or no layer of another name."""
    layers = [op.name for op in float_graph.layers()]
    if unknown := set(keep_float) - {op.name for op in float_graph.operators}:
        raise UsageError(f"the model has no layer {', '.join(sorted(unknown))}; its layers are {', '.join(layers)}")
    if set(layers) <= set(keep_float):
        raise UsageError("all layers would remain in float; use the float model itself, or name fewer layers")
