"""From a pack's weights to its three ONNX graphs, each verified against torch before it is kept.

A pack without weights, as the shipped ones are, gives float graphs too, with the weights in its own graphs.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from engines.contract import N_CHANNELS, N_FRAMES, N_ROWS, N_SCALARS, WINDOW_SAMPLES
from engines.ensemble import sigmoid
from engines.errors import ConfigError, EngineError
from engines.manifest import Manifest
from engines.onnx_backend import open_session
from engines.pack import FEATURES_GRAPH, Pack, check_destination, save_pack
from offline.clips import ClipSet
from offline.graphs.parts import (
    AGAINST_TORCH,
    FEATURES_AGAINST_BEFORE,
    INT8_AGAINST_FLOAT,
    GraphDifference,
)
from offline.graphs.probes import edge_cases
from offline.graphs.weights import networks_to_go_on_with
from offline.sound import read_clip
from realtime.features.stack import FeatureStack

OPSET = 20
MAX_CLIPS = 64
# CENS is quantised: a share that lies within rounding of a step may fall on either side of it, which moves a
# few pixels a lot. So images are held to a mean, and to the share of pixels that differ visibly.
MAX_MEAN_IMAGE_DIFFERENCE = 1e-3
MAX_SHARE_OF_PIXELS = 2e-3
VISIBLE = 0.05
MAX_SCALAR_DIFFERENCE = 1e-2
MAX_PROB_DIFFERENCE = 5e-3
# Of P between float graphs and the INT8 graphs that their weights are of, on average. In networks of shipped
# packs it is 0.002 to 0.006 on sound of clips and streams, and up to 0.024 on the edge cases alone.
MAX_MEAN_FROM_INT8 = 0.05
OUTPUTS = ("P(exhale)", "P(breath)")


def export_pack(
    pack: Pack, clips: ClipSet | None = None, *, out: Path | None = None, keep_weights: bool = True
) -> Pack:
    """Write the three graphs into a pack, batch dynamic, weights stored as float16 and computed in float32.

    Of a pack that holds graphs only they are made of the weights in these, and what is written holds graphs
    only too. Its decision stays as it was fitted to the INT8 graphs: P moves by 0.006 at most on average
    between the two.

    Args:
        pack: a pack that has its weights, or its graphs.
        clips: real clips to verify on, 64 at most are used; None: only the edge cases.
        out: folder of the pack that is written; None: `pack` itself.
        keep_weights: False leaves the weights out, as in the pack that is shipped; needs `out`.

    Raises:
        ConfigError: the weights would be lost, or the graphs that hold them.
        PackError: the pack has neither weights nor graphs that they can be taken from.
        EngineError: a graph and torch disagree, or the graphs and those before them.
        OutputError: `out` holds something else, or cannot be written.
    """
    folder = out or pack.path
    if folder.resolve() == pack.path.resolve() and not (keep_weights and pack.has_weights):
        lost = "weights" if pack.has_weights else "graphs, which hold its only weights"
        raise ConfigError(
            f"{pack.path} would lose its {lost}, and nothing can make them again; give another --out"
        )
    networks = networks_to_go_on_with(pack)
    check_destination(folder)
    windows = verification_windows(clips)
    features = FeatureStack(pack.manifest.feature_spec).eval()
    graphs = {FEATURES_GRAPH: features_graph(features)}
    graphs.update({f"{name}.onnx": network_graph(network) for name, network in networks.items()})
    differences = verify_graphs(graphs, features, networks, windows)
    for found in differences:
        logging.getLogger(__name__).info("%s: largest difference %.2g", found.graph, found.largest)
    manifest = _with_differences(pack.manifest, differences, len(windows))
    if not pack.has_weights:
        moved = graphs_against_those_before(pack, graphs, windows)
        manifest = _with_origin(manifest, pack, {"n_windows": len(windows), **moved})
    dropped = set() if keep_weights else {path.name for path in pack.weight_paths.values()}
    others = {name: (pack.path / name).read_bytes() for name in set(pack.manifest.files) - dropped}
    return save_pack(folder, manifest, others | graphs)


def features_graph(features: nn.Module) -> bytes:
    """The graph from `windows` (B, 16000) to `images` (B, 9, 128, 63) and `scalars` (B, 39)."""
    example = (torch.zeros(2, WINDOW_SAMPLES),)
    return _bytes_of(_graph(features, example, ["windows"], ["images", "scalars"]))


def network_graph(network: nn.Module) -> bytes:
    """The graph from `images` and `scalars` to `logit`, (B,) or (B, 2), as the network's own."""
    example = (torch.zeros(2, N_CHANNELS, N_ROWS, N_FRAMES), torch.zeros(2, N_SCALARS))
    graph = _graph(network, example, ["images", "scalars"], ["logit"])
    return _bytes_of(_stored_in_half(graph))


def verify_graphs(
    files: dict[str, bytes], features: nn.Module, networks: dict[str, nn.Module], windows: NDArray[np.float32]
) -> tuple[GraphDifference, ...]:
    """Run graphs and torch on the same windows.

    Raises:
        EngineError: they differ by more than the tolerances of this module.
    """
    with torch.inference_mode():
        images, scalars = features(torch.from_numpy(windows))
        expected = {
            name: torch.sigmoid(network(images, scalars)).numpy() for name, network in networks.items()
        }
    graph_images, graph_scalars = open_session(files[FEATURES_GRAPH]).run(None, {"windows": windows})
    difference = np.abs(graph_images - images.numpy())
    scale = np.maximum(1.0, np.abs(scalars.numpy()))
    scalar_difference = np.abs(graph_scalars - scalars.numpy()) / scale
    # Written so that a NaN fails.
    if not (
        difference.mean() <= MAX_MEAN_IMAGE_DIFFERENCE
        and (difference > VISIBLE).mean() <= MAX_SHARE_OF_PIXELS
        and np.quantile(scalar_difference, 0.99) <= MAX_SCALAR_DIFFERENCE
    ):
        raise EngineError(
            f"{FEATURES_GRAPH} differs from torch: mean {difference.mean():.2g}, largest "
            f"{difference.max():.2g} in the images, {scalar_difference.max():.2g} in the scalars. "
            "Please report it with your versions"
        )
    found = [GraphDifference.of(FEATURES_GRAPH, difference)]
    for name, prob in expected.items():
        session = open_session(files[f"{name}.onnx"])
        (logit,) = session.run(None, {"images": images.numpy(), "scalars": scalars.numpy()})
        if logit.shape != prob.shape:
            raise EngineError(
                f"{name}.onnx gives out {logit.shape}, torch {prob.shape}. "
                "Please report it with your versions"
            )
        gap = np.abs(sigmoid(logit) - prob).reshape(len(prob), -1)
        if not gap.max() <= MAX_PROB_DIFFERENCE:
            worst = OUTPUTS[gap.max(axis=0).argmax()]
            raise EngineError(
                f"{name}.onnx differs from torch by {gap.max():.2g} in {worst}. "
                "Please report it with your versions"
            )
        found.append(GraphDifference.of(f"{name}.onnx", gap))
    return tuple(found)


def graphs_against_those_before(
    pack: Pack, graphs: dict[str, bytes], windows: NDArray[np.float32]
) -> dict[str, dict[str, float]]:
    """How far float graphs are from a pack's own, whose weights they have, by the name of the network.

    Raises:
        EngineError: farther than the rounding to INT8 explains.
    """
    images, scalars = open_session(graphs[FEATURES_GRAPH]).run(None, {"windows": windows})
    feed = {"images": images, "scalars": scalars}
    moved: dict[str, dict[str, float]] = {}
    for info in pack.manifest.networks:
        path = pack.graph_paths[info.name]
        before, after = (
            sigmoid(open_session(graph).run(None, feed)[0])
            for graph in (path.read_bytes(), graphs[path.name])
        )
        gap = np.abs(before - after)
        if not gap.mean() <= MAX_MEAN_FROM_INT8:
            raise EngineError(
                f"float graphs with the weights of {path} say something else: P moves by {gap.mean():.2g} "
                "on average. Please report it with your versions"
            )
        moved[path.name] = GraphDifference.of(path.name, gap).figures()
    return moved


def _with_origin(manifest: Manifest, pack: Pack, moved: dict[str, Any]) -> Manifest:
    """Say that the weights come from graphs, of which pack, and what that changes."""
    kind = pack.manifest.graph_precision
    origin = {"graphs": kind, "pack": pack.manifest.name, "pack_sha256": pack.sha256}
    settings = manifest.provenance.settings | {"weights_from": origin}
    return msgspec.structs.replace(
        manifest,
        provenance=msgspec.structs.replace(manifest.provenance, settings=settings),
        metrics=manifest.metrics | {f"graphs_against_{kind}_graphs": moved},
    )


def verification_windows(clips: ClipSet | None) -> NDArray[np.float32]:
    """What graphs are verified on, (N, 16000): the edge cases, and up to 64 clips from all over the set."""
    windows = list(edge_cases().values())
    if clips is not None and len(clips):
        every = max(1, len(clips) // MAX_CLIPS)
        windows += [read_clip(clip.path) for clip in list(clips)[::every][:MAX_CLIPS]]
    return np.stack(windows).astype(np.float32)


def _with_differences(
    manifest: Manifest, differences: tuple[GraphDifference, ...], n_windows: int
) -> Manifest:
    figures = {found.graph: found.figures() for found in differences}
    metrics = manifest.metrics | {AGAINST_TORCH: {"n_windows": n_windows, **figures}}
    for replaced in (INT8_AGAINST_FLOAT, FEATURES_AGAINST_BEFORE):
        metrics.pop(replaced, None)
    return msgspec.structs.replace(manifest, metrics=metrics, graph_precision="float")


def _graph(
    module: nn.Module, example: tuple[torch.Tensor, ...], inputs: list[str], outputs: list[str]
) -> onnx.ModelProto:
    batch = torch.export.Dim("batch")
    with _quiet():
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            dynamic_shapes=tuple({0: batch} for _ in example),
            input_names=inputs,
            output_names=outputs,
            opset_version=OPSET,
        )
    assert program is not None
    graph: onnx.ModelProto = program.model_proto
    onnx.checker.check_model(graph)
    return _without_notes(graph)


def _without_notes(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Drop the exporter's notes, source lines and their paths: the file says nothing of this machine."""
    inner = graph.graph
    described = (inner.node, inner.initializer, inner.value_info, inner.input, inner.output)
    for part in (graph, inner, *(element for elements in described for element in elements)):
        part.doc_string = ""
        del part.metadata_props[:]
    return graph


def _bytes_of(graph: onnx.ModelProto) -> bytes:
    serialised: bytes = graph.SerializeToString()
    return serialised


def _stored_in_half(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Keep matrices as float16 with a cast behind them; runtimes undo the cast once, when they load."""
    casts = []
    for tensor in graph.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        name = tensor.name
        half = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(onnx.numpy_helper.from_array(half, f"{name}_half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}_half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = list(graph.graph.node)
    del graph.graph.node[:]
    graph.graph.node.extend([*casts, *nodes])
    onnx.checker.check_model(graph)
    return graph


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints its progress and warns of its own internals."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
