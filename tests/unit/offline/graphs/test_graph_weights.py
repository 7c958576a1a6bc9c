import numpy as np
import pytest
import torch

from engines.contract import WINDOW_SAMPLES
from engines.ensemble import sigmoid
from engines.errors import PackError
from engines.manifest import SplitDays
from engines.onnx_backend import open_session
from engines.pack import load_pack
from offline.graphs.weights import networks_to_go_on_with, restore_statistics
from offline.training.lessons import Examples


@pytest.fixture(scope="module")
def examples():
    """Features of noise of many colours that comes and goes."""
    rng = np.random.default_rng(2)
    frequency = np.fft.rfftfreq(WINDOW_SAMPLES, 1 / 16_000)
    colour = (frequency + 50.0) ** -rng.uniform(0.5, 2, (24, 1)) * (frequency < 2000)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal((24, WINDOW_SAMPLES))) * colour)
    envelope = np.sin(np.linspace(0, np.pi, WINDOW_SAMPLES)) ** rng.uniform(0.2, 3, (24, 1))
    windows = 0.2 * noise * envelope / np.abs(noise).max(axis=1, keepdims=True)
    features = open_session(load_pack("default").graph_paths["features"])
    images, scalars = features.run(None, {"windows": windows.astype(np.float32)})
    targets = np.ones((24, 1), np.float32)
    return Examples(images.astype(np.float16), scalars, np.arange(24), targets, targets)


@pytest.mark.parametrize("name", ["default", "clips"])
def test_networks_of_a_shipped_pack_compute_what_its_graphs_do(name, examples):
    pack = load_pack(name)
    networks = networks_to_go_on_with(pack)
    assert list(networks) == [info.name for info in pack.manifest.networks]
    images, scalars = examples.images.astype(np.float32), examples.scalars
    for info in pack.manifest.networks:
        restore_statistics(networks[info.name], examples)
        session = open_session(pack.graph_paths[info.name])
        wanted = session.run(None, {"images": images, "scalars": scalars})[0].reshape(len(images), -1)
        with torch.inference_mode():
            found = networks[info.name](torch.from_numpy(images), torch.from_numpy(scalars))
        found = found.reshape(len(images), -1).numpy()
        # The graph's activations are INT8, the network's are not.
        assert np.ptp(wanted, axis=0).min() > 0.5
        assert np.abs(sigmoid(found) - sigmoid(wanted)).mean() < 0.02


def test_normalisations_know_what_they_hear(examples):
    """In training mode the statistics of the batch take the place of the kept ones, and little changes."""
    network = networks_to_go_on_with(load_pack("clips"))["cnn8"]
    restore_statistics(network, examples)
    images = torch.from_numpy(examples.images.astype(np.float32))
    scalars = torch.from_numpy(examples.scalars)
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout | torch.nn.Dropout2d):
            module.p = 0.0
    with torch.no_grad():
        evaluated = network(images, scalars)
        trained = network.train()(images, scalars)
    np.testing.assert_allclose(trained, evaluated, atol=1e-3)


def test_a_graph_of_something_else_is_refused(toy_pack):
    with pytest.raises(PackError, match="give a pack with weights"):
        networks_to_go_on_with(toy_pack)


def test_a_pack_of_neither_weights_nor_graphs_is_refused(make_pack):
    with pytest.raises(PackError, match="neither all weights nor all graphs"):
        networks_to_go_on_with(make_pack(SplitDays((), (), ())))
