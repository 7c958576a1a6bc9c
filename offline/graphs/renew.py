"""A pack's graph of the features, made anew as this version computes them; its networks stay as they are."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engines.ensemble import sigmoid
from engines.errors import ConfigError, EngineError
from engines.manifest import FEATURES
from engines.onnx_backend import open_session
from engines.pack import FEATURES_GRAPH, SHIPPED_PACKS, Pack, check_destination, save_pack
from offline.clips import ClipSet
from offline.graphs.export import features_graph, verification_windows, verify_graphs
from offline.graphs.parts import AGAINST_TORCH, FEATURES_AGAINST_BEFORE, GraphDifference, check_has_graphs
from realtime.features.stack import FeatureStack

# Both are the same up to the rounding of float32, which INT8 networks may turn into a step.
MAX_MEAN_MOVE = 2e-3


def renew_features(pack: Pack, clips: ClipSet | None = None, *, out: Path | None = None) -> Pack:
    """Write a pack whose features graph is that of this version; its networks, and what was fitted, stay.

    It is another pack then: engines that were built for it are not engines of that one. Where the graph is
    that of this version already and nothing else is asked for, nothing is written.

    Args:
        pack: a pack that has its graphs.
        clips: real clips to verify on, 64 at most are used; None: only the edge cases.
        out: folder of the pack that is written; None: `pack` itself, if it is not a shipped one.

    Raises:
        ConfigError: the pack has no graphs, or a shipped one would be changed where it is installed.
        EngineError: the graph and torch disagree, or the pack's networks say something else with it.
        OutputError: `out` holds something else, or cannot be written.
    """
    check_has_graphs(pack)
    shipped = {folder.resolve() for folder in SHIPPED_PACKS.values()}
    if out is None and pack.path.resolve() in shipped:
        raise ConfigError(f"{pack.path} is a shipped pack and stays as it is; give another folder with --out")
    folder = out or pack.path
    check_destination(folder)
    features = FeatureStack(pack.manifest.feature_spec).eval()
    graph = features_graph(features)
    if out is None and graph == pack.graph_paths[FEATURES].read_bytes():
        return pack
    windows = verification_windows(clips)
    (found,) = verify_graphs({FEATURES_GRAPH: graph}, features, {}, windows)
    metrics = dict(pack.manifest.metrics)
    metrics[AGAINST_TORCH] = metrics.get(AGAINST_TORCH, {}) | {
        FEATURES_GRAPH: {"n_windows": len(windows), **found.figures()}
    }
    metrics[FEATURES_AGAINST_BEFORE] = {
        "pack_sha256": pack.sha256,
        "n_windows": len(windows),
        **_moves(pack, graph, windows),
    }
    manifest = msgspec.structs.replace(pack.manifest, metrics=metrics)
    files = {name: (pack.path / name).read_bytes() for name in pack.manifest.files}
    return save_pack(folder, manifest, files | {FEATURES_GRAPH: graph})


def _moves(pack: Pack, graph: bytes, windows: NDArray[np.float32]) -> dict[str, Any]:
    """How far P of each network is from what it was, by the name of its graph."""
    names = ["images", "scalars"]
    before, after = (
        dict(zip(names, open_session(made).run(names, {"windows": windows}), strict=True))
        for made in (pack.graph_paths[FEATURES].read_bytes(), graph)
    )
    moves = {}
    for network in pack.manifest.networks:
        path = pack.graph_paths[network.name]
        session = open_session(path.read_bytes())
        gap = np.abs(sigmoid(session.run(None, after)[0]) - sigmoid(session.run(None, before)[0]))
        if not gap.mean() <= MAX_MEAN_MOVE:
            raise EngineError(
                f"{path} says something else with the features of this version: P moves by {gap.mean():.2g} "
                "on average. Please report it with your versions"
            )
        moves[path.name] = GraphDifference.of(path.name, gap).figures()
    return moves
