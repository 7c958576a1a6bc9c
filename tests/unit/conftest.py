"""Packs of both networks with random weights: as training leaves them, and with their graphs."""

import hypothesis
import numpy as np
import pytest

from engines.contract import WINDOW_SAMPLES

# How long an example takes says something of the machine, not of the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def one_thread():
    """Torch on one core: small batches gain nothing from more, and rounding depends on their number."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def probe_windows():
    """(B, 16000) float32: the edge cases, and noise of several levels and colours."""
    from offline.graphs.probes import edge_cases

    random = np.random.default_rng(1)
    noises = [
        0.1 * level * np.convolve(random.standard_normal(WINDOW_SAMPLES), np.ones(width) / width, "same")
        for level, width in ((1.0, 1), (0.3, 8), (2.0, 20), (0.01, 40))
    ]
    return np.stack([*edge_cases().values(), *noises]).astype(np.float32).clip(-1, 1)


@pytest.fixture(scope="session")
def make_weights_pack(tmp_path_factory, one_thread, probe_windows):
    """`make_weights_pack(n_outputs)`: random weights, no graphs; batch statistics are of real features."""
    from random_pack import random_pack

    return lambda n_outputs: random_pack(tmp_path_factory.mktemp("packs"), probe_windows, n_outputs)


@pytest.fixture(scope="session")
def weights_pack(make_weights_pack):
    """A pack of networks with one output, the phase."""
    return make_weights_pack(1)


@pytest.fixture(scope="session")
def presence_weights_pack(make_weights_pack):
    """A pack of networks with two outputs, the phase and the presence of breath."""
    return make_weights_pack(2)


@pytest.fixture(scope="session")
def features_graph_once():
    """Let every export of a session share the features' graph, which takes most of an export's time."""
    from offline.graphs import export

    make = export.features_graph
    made = {}

    def make_once(features):
        return made.get(features.spec) or made.setdefault(features.spec, make(features))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "features_graph", make_once)
        yield


@pytest.fixture(scope="session")
def exported_pack(tmp_path_factory, weights_pack, features_graph_once):
    """`weights_pack` with its graphs."""
    from offline.graphs.export import export_pack

    return export_pack(weights_pack, out=tmp_path_factory.mktemp("packs") / "exported")


@pytest.fixture(scope="session")
def presence_pack(tmp_path_factory, presence_weights_pack, features_graph_once):
    """`presence_weights_pack` with its graphs."""
    from offline.graphs.export import export_pack

    return export_pack(presence_weights_pack, out=tmp_path_factory.mktemp("packs") / "presence")
