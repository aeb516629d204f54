"""What a SavedModel does when it is loaded or run: TensorFlow's graphs can read and write files, which no model needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from convert.tflite.tensorflow_output import quiet_tensorflow
from fer_edge.errors import UsageError

_META_GRAPH = 2  # the number of the field `meta_graphs` in the message SavedModel
# Operators that only compute: on their inputs, on the model's own variables, or with random numbers. Without their versions.
_COMPUTING_NAMES = """
    Abs Acos Acosh Add AddN AdjustContrast AdjustHue AdjustSaturation All Angle Any ApproximateEqual ArgMax ArgMin
    Asin Asinh Assert AssignAddVariableOp AssignSubVariableOp AssignVariableOp Atan Atan2 Atanh AvgPool AvgPool3D
    BatchMatMul BatchToSpace BatchToSpaceND BiasAdd Bincount Bitcast BitwiseAnd BitwiseOr BitwiseXor BroadcastArgs
    BroadcastGradientArgs BroadcastTo Bucketize Case Cast Ceil CheckNumerics Cholesky ClipByValue Complex
    ComplexAbs Concat ConcatOffset Conj ConjugateTranspose Const Conv Conv2D Conv2DBackpropInput Conv3D
    Conv3DBackpropInput Cos Cosh CropAndResize Cross Cumprod Cumsum CumulativeLogsumexp DataFormatDimMap
    DataFormatVecPermute DenseBincount DepthToSpace DepthwiseConv2dNative Dequantize DestroyResourceOp Diag
    DiagPart Dilation2D DisableCopyOnRead Div DivNoNan DynamicPartition DynamicStitch Einsum Elu Empty
    EmptyTensorList EnsureShape Enter Equal Erf Erfc Erfinv EuclideanNorm Exit Exp ExpandDims Expm1
    ExtractImagePatches ExtractVolumePatches FFT FFT2D FFT3D FakeParam FakeQuantWithMinMaxArgs
    FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel Fill Floor FloorDiv FloorMod FusedBatchNorm Gather
    GatherNd Greater GreaterEqual GuaranteeConst HSVToRGB HistogramFixedWidth IFFT IFFT2D IFFT3D IRFFT IRFFT2D
    IRFFT3D Identity IdentityN If Igamma Igammac Imag ImageProjectiveTransform InTopK Inv Invert InvertPermutation
    IsFinite IsInf IsNan L2Loss LRN LeakyRelu LeftShift Less LessEqual Lgamma LinSpace Log Log1p LogSoftmax
    LogicalAnd LogicalNot LogicalOr LoopCond LowerBound MatMul MatrixBandPart MatrixDeterminant MatrixDiag
    MatrixDiagPart MatrixInverse MatrixSetDiag MatrixSolve MatrixTriangularSolve Max MaxPool MaxPool3D
    MaxPoolWithArgmax Maximum Mean Merge Min Minimum MirrorPad Mod Mul MulNoNan Multinomial Neg NextIteration NoOp
    NotEqual OneHot OnesLike Pack Pad ParallelDynamicStitch PartitionedCall Placeholder PlaceholderWithDefault Pow
    PreventGradient Prod Qr Quantize QuantizeAndDequantize RFFT RFFT2D RFFT3D RGBToHSV RandomShuffle
    RandomStandardNormal RandomUniform RandomUniformInt Range Rank ReadVariableOp Real RealDiv Reciprocal Relu
    Relu6 Reshape ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor ResourceGather ResourceGatherNd
    ResourceScatterAdd ResourceScatterUpdate Reverse ReverseSequence RightShift Rint RngReadAndSkip RngSkip Roll
    Round Rsqrt ScaleAndTranslate ScatterNd SegmentMax SegmentMean SegmentMin SegmentProd SegmentSum Select
    SelfAdjointEig Selu Shape ShapeN Sigmoid Sign Sin Sinh Size Slice Softmax SoftmaxCrossEntropyWithLogits
    Softplus Softsign SpaceToBatch SpaceToBatchND SpaceToDepth SparseSoftmaxCrossEntropyWithLogits Split SplitV
    Sqrt Square SquaredDifference Squeeze StatefulPartitionedCall StatefulStandardNormal StatefulTruncatedNormal
    StatefulUniform StatefulUniformFullInt StatefulUniformInt StatelessCase StatelessIf StatelessMultinomial
    StatelessRandomGetAlg StatelessRandomGetKeyCounter StatelessRandomGetKeyCounterAlg StatelessRandomNormal
    StatelessRandomUniform StatelessRandomUniformFullInt StatelessRandomUniformInt StatelessShuffle
    StatelessTruncatedNormal StatelessWhile StopGradient StridedSlice Sub Sum Svd Switch Tan Tanh TensorListConcat
    TensorListElementShape TensorListFromTensor TensorListGather TensorListGetItem TensorListLength
    TensorListPopBack TensorListPushBack TensorListReserve TensorListResize TensorListScatter TensorListSetItem
    TensorListSplit TensorListStack TensorScatterAdd TensorScatterMax TensorScatterMin TensorScatterSub
    TensorScatterUpdate TensorStridedSliceUpdate Tile TopK Transpose TruncateDiv TruncateMod TruncatedNormal
    Unique UniqueWithCounts Unpack UnravelIndex UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentProd
    UnsortedSegmentSum UpperBound VarHandleOp VarIsInitializedOp VariableShape Where While Xdivy Xlogy ZerosLike
"""
_COMPUTING = frozenset(_COMPUTING_NAMES.split())
_VERSION = re.compile(r"[Vv]\d+$")  # AddV2, AdjustContrastv2


def require_harmless(folder: Path) -> None:
    """Raises UsageError when the functions of a SavedModel have operators that do more than compute, or cannot be examined.

    The functions that save and restore its variables are not examined: nothing calls them here.
    """
    graphs = _meta_graphs(folder)
    # TensorFlow runs nodes outside of the functions when it loads a graph without objects, or several graphs
    if len(graphs) != 1 or not graphs[0].object_graph_def.nodes:
        raise UsageError(
            f"{folder} is a SavedModel of TensorFlow 1, which runs a graph of its own when it is loaded; if you trust who"
            " wrote it, give --trust-model"
        )
    (graph,) = graphs
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    waiting, seen = list(graph.object_graph_def.concrete_functions), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in functions:
            continue
        seen.add(name)
        for node in functions[name].node_def:
            if node.op not in functions and not is_computing(node.op):
                raise UsageError(
                    f"{folder} has the operator {node.op[:40]!a}, which is not among those that only compute: it may reach"
                    " files or other programs when the model is loaded or run; if you trust who wrote it, give --trust-model"
                )
            waiting += [node.op, *_called(node)]


def is_computing(operator: str) -> bool:
    """Whether an operator of TensorFlow, of any version, is known to do nothing but compute."""
    return _VERSION.sub("", operator) in _COMPUTING


def _called(node: Any) -> Iterator[str]:
    """The names of the functions among a node's attributes."""
    for value in node.attr.values():
        yield value.func.name
        yield from (function.name for function in value.list.func)


def _meta_graphs(folder: Path) -> list[Any]:
    """The graphs in saved_model.pb. Raises UsageError when it cannot be read."""
    with quiet_tensorflow():
        import tensorflow as tf
    path = folder / "saved_model.pb"
    try:
        content = path.read_bytes()
        return [tf.compat.v1.MetaGraphDef.FromString(part) for part in _fields(content, _META_GRAPH)]
    except Exception as error:  # protobuf's own kinds, whatever implementation it has
        raise UsageError(f"{path} cannot be loaded as a SavedModel: it is damaged; save it again") from error


def _fields(content: bytes, wanted: int) -> Iterator[bytes]:
    """The values of the fields of number `wanted` in a protobuf message. Raises ValueError when it is damaged."""
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        if tag & 7 == 0:
            _, at = _varint(content, at)
        elif tag & 7 == 2:
            size, at = _varint(content, at)
            if at + size > len(content):
                raise ValueError("a field ends behind the message")
            if tag >> 3 == wanted:
                yield content[at : at + size]
            at += size
        else:
            raise ValueError(f"wire type {tag & 7}")


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(content) and shift < 64:
        byte = content[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise ValueError("a number does not end")
