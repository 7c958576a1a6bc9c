"""INT8 graphs for the CPU: calibrated on sound of the training days, judged on the validation days."""

import contextlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray

from engines.backend import Inference, inference_from_outputs
from engines.ensemble import fuse, fuse_presence, sigmoid
from engines.errors import ConfigError, EngineError, LabelsError
from engines.manifest import FEATURES
from engines.onnx_backend import import_onnxruntime, open_session
from engines.pack import Pack, check_destination, save_pack
from offline.clips import ClipSet
from offline.compose.negatives import Negatives
from offline.graphs.int8_form import with_convolved_normalisation
from offline.graphs.parity import AUC_BY_CHANCE
from offline.graphs.parts import (
    AGAINST_TORCH,
    FEATURES_AGAINST_BEFORE,
    INT8_AGAINST_FLOAT,
    check_has_graphs,
    model_from_bytes,
    undo_half_storage,
)
from offline.metrics import binary_metrics
from offline.sound import read_clip
from offline.training.live_settings import LiveSettings
from offline.training.live_windows import WindowSource

N_CALIBRATION_WINDOWS = 160
N_CALIBRATION_BATCHES = 20
# Live windows that no epoch of a training draws.
CALIBRATION_EPOCH = 1_000_000
PERCENTILE = 99.99
MAX_AUC_LOSS = 0.003
MAX_MEAN_PROB_DIFFERENCE = 0.02

Features = tuple[NDArray[np.float32], NDArray[np.float32]]


def quantise_pack(
    pack: Pack, clips: ClipSet, out: Path, *, negatives: Path | None = None, seed: int = 0
) -> Pack:
    """Write a pack whose networks compute their convolutions in INT8, for ONNX Runtime on a CPU.

    Convolutions but the first (its input is the images, whose outliers INT8 cannot hold) get quantise and
    dequantise nodes, one scale per output channel for the weights, and so do the normalisations between them;
    activations are calibrated to the 99.99th percentile. Features and dense layers stay float32.

    Args:
        pack: a pack with float graphs.
        clips: labelled clips that hold the pack's training and validation days.
        out: folder of the pack that is written.
        negatives: sounds that are not breathing: calibrate on live windows, clips among them, of a pack that
            was trained on such; None: on clips alone.
        seed: of the choice of what is calibrated on.

    Raises:
        ConfigError: the pack's graphs are INT8 already, or there are none, or no negatives in that folder; or
            `out` is the pack itself.
        LabelsError: the clips lack the pack's days, or those of one of the phases.
        AudioFileError: one of the negatives cannot be read.
        EngineError: a network loses more than 0.003 AUC of the phase on the validation days (or, with few
            clips, more than chance takes), or its probabilities move too far.
        OutputError: `out` cannot be written.
    """
    if pack.manifest.graph_precision == "int8":
        raise ConfigError(f"the graphs of {pack.path} are INT8 already; give a pack with float graphs")
    check_has_graphs(pack)
    if out.resolve() == pack.path.resolve():
        raise ConfigError(
            f"{pack.path} would lose its weights and its float graphs, and nothing can make them again; give "
            "another --out"
        )
    check_destination(out)
    split = pack.manifest.split
    calibration, judged = clips.of_days(split.train), clips.of_days(split.validation)
    if not len(calibration) or not len(judged):
        raise LabelsError("the clips hold none of the pack's training or validation days; give its own clips")
    labels = np.array([clip.label for clip in judged])
    if len(set(labels)) < 2:
        raise LabelsError(
            f"the {len(labels)} clips of the pack's validation days are all of one phase: there is no AUC to "
            "lose or keep; give the pack's own clips, all of them"
        )
    if negatives is not None:
        Negatives.find(negatives, "train").check()
    graphs = {stage: path.read_bytes() for stage, path in pack.graph_paths.items()}
    calibrating = _features(graphs["features"], _calibration_windows(calibration, negatives, seed))
    judging = _features(graphs["features"], np.stack([read_clip(clip.path) for clip in judged]))
    before, after = [], []
    for network in pack.manifest.networks:
        quantised = int8_graph(graphs[network.name], calibrating)
        before.append(_output(graphs[network.name], judging))
        after.append(_output(quantised, judging))
        graphs[network.name] = quantised
    figures = _judged(pack, inference_from_outputs(before, {}), inference_from_outputs(after, {}), labels)
    manifest = msgspec.structs.replace(
        pack.manifest,
        graph_precision="int8",
        # It was fitted to the float graphs.
        emission=None,
        metrics=_metrics_of_int8(pack, figures),
    )
    weights = {path.name for path in pack.weight_paths.values()}
    files = {path.name: graphs[stage] for stage, path in pack.graph_paths.items()}
    further = set(pack.manifest.files) - set(files) - weights
    others = {name: (pack.path / name).read_bytes() for name in further}
    return save_pack(out, manifest, others | files)


def int8_graph(graph: bytes, calibrating: Features) -> bytes:
    """Quantise one network's graph.

    Args:
        graph: `images` and `scalars` -> `logit`, one per window or several, float32, or float32 stored as
            float16.
        calibrating: images (N, 9, 128, 63) and scalars (N, 39) that show which values occur.
    """
    import_onnxruntime()
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

    model = model_from_bytes(graph)
    # The quantiser wants weights, not casts of weights.
    undo_half_storage(model.graph)
    with tempfile.TemporaryDirectory() as folder:
        plain, prepared, done = (Path(folder) / name for name in ("plain.onnx", "prepared.onnx", "done.onnx"))
        onnx.save(model, plain)
        quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        model = with_convolved_normalisation(onnx.load(prepared))
        onnx.save(model, prepared)
        with contextlib.redirect_stdout(io.StringIO()):  # it tells what it counts
            _quantise_static(quantization, prepared, done, Reader(), model)
        return done.read_bytes()


def _quantise_static(
    quantization: Any, prepared: Path, done: Path, reader: Any, model: onnx.ModelProto
) -> None:
    quantization.quantize_static(
        str(prepared),
        str(done),
        reader,
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        weight_type=quantization.QuantType.QInt8,
        activation_type=quantization.QuantType.QUInt8,
        calibrate_method=quantization.CalibrationMethod.Percentile,
        op_types_to_quantize=["Conv", "MaxPool", "Add", "Relu"],
        nodes_to_exclude=_kept_in_float(model),
        extra_options={"CalibPercentile": PERCENTILE},
    )


def _kept_in_float(model: onnx.ModelProto) -> list[str]:
    """Names of the first convolution and its activation, and of the activations between dense layers."""
    nodes = model.graph.node
    convolutions = [node for node in nodes if node.op_type == "Conv"]
    first, others = convolutions[0], convolutions[1:]
    quantised = {output for node in others for output in node.output}
    activations = [node.name for node in nodes if node.op_type == "Relu" and node.input[0] not in quantised]
    return [first.name, *activations]


def _judged(pack: Pack, before: Inference, after: Inference, labels: NDArray[np.int64]) -> dict[str, Any]:
    """Figures of INT8 against float on the same clips.

    Every clip holds breath, so presence has no AUC; it must not move, no more than the phase.

    Raises:
        EngineError: INT8 costs too much.
    """
    figures: dict[str, Any] = {"n_clips": len(labels)}
    may_be_lost = max(MAX_AUC_LOSS, AUC_BY_CHANCE / len(labels))
    exhale, exhale_int8 = _probs_exhale(pack, before), _probs_exhale(pack, after)
    breath, breath_int8 = _probs_breath(pack, before), _probs_breath(pack, after)
    for name, prob in exhale.items():
        loss = binary_metrics(labels, prob).auc - binary_metrics(labels, exhale_int8[name]).auc
        moved = {"P(exhale)": float(np.abs(prob - exhale_int8[name]).mean())}
        figures[name] = {"auc_lost": round(loss, 5), "mean_difference": round(moved["P(exhale)"], 5)}
        if breath:
            moved["P(breath)"] = float(np.abs(breath[name] - breath_int8[name]).mean())
            figures[name]["mean_difference_of_presence"] = round(moved["P(breath)"], 5)
        if not (loss < may_be_lost and all(gap <= MAX_MEAN_PROB_DIFFERENCE for gap in moved.values())):
            moves = " and ".join(f"{what} by {gap:.3f}" for what, gap in moved.items())
            raise EngineError(
                f"{name} in INT8 loses {loss:.4f} AUC and moves {moves} on average on the "
                f"{len(labels)} validation clips; less than {may_be_lost:.3f} and "
                f"{MAX_MEAN_PROB_DIFFERENCE} are allowed. Ship the float graphs"
            )
    return figures


def _metrics_of_int8(pack: Pack, figures: dict[str, Any]) -> dict[str, Any]:
    """What is true of the pack with INT8 graphs: how near float graphs were to torch is not."""
    metrics = {**pack.manifest.metrics, INT8_AGAINST_FLOAT: figures}
    metrics.pop(FEATURES_AGAINST_BEFORE, None)
    if AGAINST_TORCH in metrics:
        replaced = {path.name for stage, path in pack.graph_paths.items() if stage != FEATURES}
        kept = {name: value for name, value in metrics[AGAINST_TORCH].items() if name not in replaced}
        metrics[AGAINST_TORCH] = kept
    return metrics


def _probs_exhale(pack: Pack, inference: Inference) -> dict[str, NDArray[np.float32]]:
    fused = fuse(inference.logits, pack.manifest.weights, pack.manifest.temperature)
    return _by_name(pack, inference.logits) | {"ensemble": fused}


def _probs_breath(pack: Pack, inference: Inference) -> dict[str, NDArray[np.float32]]:
    """Empty for networks that know the phase only."""
    if inference.presence_logits is None:
        return {}
    fused = fuse_presence(inference.presence_logits, pack.manifest.weights)
    return _by_name(pack, inference.presence_logits) | {"ensemble": fused}


def _by_name(pack: Pack, logits: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    return {network.name: sigmoid(logits[:, column]) for column, network in enumerate(pack.manifest.networks)}


def _calibration_windows(clips: ClipSet, negatives: Path | None, seed: int) -> NDArray[np.float32]:
    """(n, 16000) float32 windows of the training days."""
    rng = np.random.default_rng(seed)
    if negatives is None:
        chosen = rng.permutation(len(clips))[:N_CALIBRATION_WINDOWS]
        return np.stack([read_clip(clips.clips[index].path) for index in chosen])
    source = WindowSource(clips, Negatives.find(negatives, "train"), LiveSettings())
    # A few of each of many batches: those of one batch come from two streams.
    share = N_CALIBRATION_WINDOWS // N_CALIBRATION_BATCHES
    parts = [
        rng.permutation(source.batch((seed, CALIBRATION_EPOCH, batch)).samples)[:share]
        for batch in range(N_CALIBRATION_BATCHES)
    ]
    return np.concatenate(parts)


def _features(graph: bytes, windows: NDArray[np.float32]) -> Features:
    session = open_session(graph)
    parts = [session.run(None, {"windows": windows[rows]}) for rows in _batches(len(windows))]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _output(graph: bytes, features: Features) -> NDArray[np.float32]:
    session = open_session(graph)
    images, scalars = features
    parts = [
        session.run(None, {"images": images[rows], "scalars": scalars[rows]})[0]
        for rows in _batches(len(images))
    ]
    return np.concatenate(parts)


def _batches(n_rows: int, size: int = 16) -> Iterator[slice]:
    return (slice(first, first + size) for first in range(0, n_rows, size))
