"""INT8 graphs for the CPU: calibrated on clips of the training days, judged on the validation days."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray

from engines.ensemble import fuse, sigmoid
from engines.errors import ConfigError, EngineError, LabelsError
from engines.onnx_backend import open_session
from engines.pack import Pack, check_destination, save_pack
from offline.clips import ClipSet
from offline.metrics import binary_metrics
from offline.sound import read_clip

N_CALIBRATION_CLIPS = 128
PERCENTILE = 99.99
MAX_AUC_LOSS = 0.003
MAX_MEAN_PROB_DIFFERENCE = 0.02

Features = tuple[NDArray[np.float32], NDArray[np.float32]]


def quantise_pack(pack: Pack, clips: ClipSet, out: Path, *, seed: int = 0) -> Pack:
    """Write a pack whose networks compute their convolutions in INT8, for ONNX Runtime on a CPU.

    Convolutions but the first (its input is the images, whose outliers INT8 cannot hold) get quantise and
    dequantise nodes, one scale per output channel for the weights; activations are calibrated to the
    99.99th percentile. Features, dense layers and normalisations stay float32.

    Args:
        pack: a pack with float graphs.
        clips: labelled clips that hold the pack's training and validation days.
        out: folder of the pack that is written.
        seed: of the choice of the calibration clips.

    Raises:
        ConfigError: the pack's graphs are INT8 already.
        LabelsError: the clips lack the pack's days.
        EngineError: a network loses more than 0.003 AUC on the validation days, or moves too far.
        OutputError: `out` cannot be written.
    """
    if pack.manifest.graph_precision == "int8":
        raise ConfigError(f"the graphs of {pack.path} are INT8 already; give a pack with float graphs")
    check_destination(out)
    split = pack.manifest.split
    calibration, judged = clips.of_days(split.train), clips.of_days(split.validation)
    if not len(calibration) or not len(judged):
        raise LabelsError("the clips hold none of the pack's training or validation days; give its own clips")
    order = np.random.default_rng(seed).permutation(len(calibration))[:N_CALIBRATION_CLIPS]
    graphs = {stage: path.read_bytes() for stage, path in pack.graph_paths.items()}
    calibrating = _features(graphs["features"], [calibration.clips[i].path for i in order])
    judging = _features(graphs["features"], [clip.path for clip in judged])
    labels = np.array([clip.label for clip in judged])
    logits: dict[str, dict[str, NDArray[np.float32]]] = {"float": {}, "int8": {}}
    for network in pack.manifest.networks:
        quantised = int8_graph(graphs[network.name], calibrating)
        logits["float"][network.name] = _logits(graphs[network.name], judging)
        logits["int8"][network.name] = _logits(quantised, judging)
        graphs[network.name] = quantised
    figures = _judged(pack, logits, labels)
    manifest = msgspec.structs.replace(
        pack.manifest,
        graph_precision="int8",
        metrics=pack.manifest.metrics | {"int8_against_float": figures},
    )
    weights = {path.name for path in pack.weight_paths.values()}
    files = {path.name: graphs[stage] for stage, path in pack.graph_paths.items()}
    further = set(pack.manifest.files) - set(files) - weights
    others = {name: (pack.path / name).read_bytes() for name in further}
    return save_pack(out, manifest, others | files)


def int8_graph(graph: bytes, calibrating: Features) -> bytes:
    """Quantise one network's graph.

    Args:
        graph: `images` and `scalars` -> `logit`, float32, or float32 stored as float16.
        calibrating: images (N, 9, 128, 63) and scalars (N, 39) that show which values occur.
    """
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rows = iter(range(len(calibrating[0])))

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            row = next(self._rows, None)
            if row is None:
                return None
            return {"images": calibrating[0][row : row + 1], "scalars": calibrating[1][row : row + 1]}

    model = _with_float_weights(onnx.load_from_string(graph))
    with tempfile.TemporaryDirectory() as folder:
        plain, prepared, done = (Path(folder) / name for name in ("plain.onnx", "prepared.onnx", "done.onnx"))
        onnx.save(model, plain)
        quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        convolutions = [node.name for node in onnx.load(prepared).graph.node if node.op_type == "Conv"]
        quantization.quantize_static(
            str(prepared),
            str(done),
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
            activation_type=quantization.QuantType.QUInt8,
            calibrate_method=quantization.CalibrationMethod.Percentile,
            op_types_to_quantize=["Conv", "MaxPool", "Add"],
            nodes_to_exclude=convolutions[:1],
            extra_options={"CalibPercentile": PERCENTILE},
        )
        return done.read_bytes()


def _with_float_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Undo the storage as float16: the quantiser wants weights, not casts of weights."""
    halves = {tensor.name: tensor for tensor in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        if node.op_type == "Cast" and node.input[0] in halves:
            tensor = halves[node.input[0]]
            values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, node.output[0]))
        else:
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


def _judged(
    pack: Pack, logits: dict[str, dict[str, NDArray[np.float32]]], labels: NDArray[np.int64]
) -> dict[str, Any]:
    """Figures of INT8 against float on the same clips.

    Raises:
        EngineError: INT8 costs too much.
    """
    figures: dict[str, Any] = {"n_clips": len(labels)}
    for name in (*logits["float"], "ensemble"):
        before, after = (_prob(pack, logits[kind], name) for kind in ("float", "int8"))
        loss = binary_metrics(labels, before).auc - binary_metrics(labels, after).auc
        moved = float(np.abs(before - after).mean())
        figures[name] = {"auc_lost": round(loss, 5), "mean_difference": round(moved, 5)}
        if not (loss < MAX_AUC_LOSS and moved <= MAX_MEAN_PROB_DIFFERENCE):
            raise EngineError(
                f"{name} in INT8 loses {loss:.4f} AUC and moves P(exhale) by {moved:.3f} on average on the "
                f"{len(labels)} validation clips; less than {MAX_AUC_LOSS} and {MAX_MEAN_PROB_DIFFERENCE} "
                "are allowed. Ship the float graphs"
            )
    return figures


def _prob(pack: Pack, logits: dict[str, NDArray[np.float32]], name: str) -> NDArray[np.float32]:
    if name != "ensemble":
        return sigmoid(logits[name])
    stacked = np.stack([logits[network.name] for network in pack.manifest.networks], axis=1)
    return fuse(stacked, pack.manifest.weights, pack.manifest.temperature)


def _features(graph: bytes, paths: list[Path]) -> Features:
    session = open_session(graph)
    parts = [
        session.run(None, {"windows": np.stack([read_clip(path) for path in batch])})
        for batch in _batches(paths)
    ]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _logits(graph: bytes, features: Features) -> NDArray[np.float32]:
    session = open_session(graph)
    rows = list(range(len(features[0])))
    parts = [
        session.run(None, {"images": features[0][batch], "scalars": features[1][batch]})[0]
        for batch in _batches(rows)
    ]
    return np.concatenate(parts)


def _batches(items: list[Any], size: int = 16) -> Iterator[list[Any]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]
