"""What tests of every kind share: a model pack that is tiny, real, and hears the demo breather."""

import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engines.contract import N_CHANNELS, N_FRAMES, N_ROWS, N_SCALARS, WINDOW_SAMPLES, contract_hash
from engines.manifest import (
    SCHEMA_VERSION,
    Emission,
    Ensemble,
    Manifest,
    NetworkInfo,
    NormalByAge,
    Provenance,
    SplitDays,
)
from engines.pack import load_pack, save_changed_pack, save_pack
from engines.spec import FeatureSpec

# Of the newest quarter second: the demo's inhalations have a larger one than its exhalations.
NEWEST_SAMPLES = 4000
BRIGHTNESS_MIDDLE = 0.0115
BRIGHTNESS_SPAN = 0.001


# What an engine keeps of its graphs belongs to this run: the user's own cache is neither filled nor trusted.
@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def _constants(**arrays):
    return [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]


def _model(nodes, inputs, outputs, constants):
    infos = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in side.items()]
        for side in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, "tiny", *infos, constants)
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _features_graph():
    """Images of zeros; scalar 0 is the mean square, scalar 1 the brightness of the newest quarter second.

    Brightness is the mean square of the differences of neighbouring samples over that of the samples.
    """
    node = helper.make_node
    first = WINDOW_SAMPLES - NEWEST_SAMPLES
    nodes = [
        node("Shape", ["windows"], ["shape"]),
        node("Slice", ["shape", "zero", "one"], ["n"]),
        node("Concat", ["n", "image"], ["images_shape"], axis=0),
        node("ConstantOfShape", ["images_shape"], ["images"]),
        node("Mul", ["windows", "windows"], ["square"]),
        node("ReduceMean", ["square", "one"], ["mean_square"]),
        node("Slice", ["windows", "late", "last", "one"], ["newer"]),
        node("Slice", ["windows", "early", "previous", "one"], ["older"]),
        node("Sub", ["newer", "older"], ["difference"]),
        node("Mul", ["difference", "difference"], ["difference_square"]),
        node("Mul", ["newer", "newer"], ["newest_square"]),
        node("ReduceMean", ["difference_square", "one"], ["rough"]),
        node("ReduceMean", ["newest_square", "one"], ["loud"]),
        node("Add", ["loud", "epsilon"], ["safe"]),
        node("Div", ["rough", "safe"], ["brightness"]),
        node("Concat", ["n", "rest_width"], ["rest_shape"], axis=0),
        node("ConstantOfShape", ["rest_shape"], ["rest"]),
        node("Concat", ["mean_square", "brightness", "rest"], ["scalars"], axis=1),
    ]
    constants = _constants(
        zero=np.array([0]),
        one=np.array([1]),
        image=np.array([N_CHANNELS, N_ROWS, N_FRAMES]),
        early=np.array([first - 1]),
        late=np.array([first]),
        previous=np.array([WINDOW_SAMPLES - 1]),
        last=np.array([WINDOW_SAMPLES]),
        epsilon=np.array([1e-12], np.float32),
        rest_width=np.array([N_SCALARS - 2]),
    )
    outputs = {"images": ["n", N_CHANNELS, N_ROWS, N_FRAMES], "scalars": ["n", N_SCALARS]}
    return _model(nodes, {"windows": ["n", WINDOW_SAMPLES]}, outputs, constants)


def _network_graph(slope):
    """logit = slope * (middle - brightness) / span, plus the mean of the images."""
    node = helper.make_node
    nodes = [
        node("MatMul", ["scalars", "weights"], ["brightness"]),
        node("ReduceMean", ["images", "axes"], ["image_mean"], keepdims=0),
        node("Add", ["brightness", "offset"], ["shifted"]),
        node("Add", ["shifted", "image_mean"], ["logit"]),
    ]
    weights = np.zeros(N_SCALARS, np.float32)
    weights[1] = -slope / BRIGHTNESS_SPAN
    constants = _constants(
        weights=weights,
        axes=np.array([1, 2, 3]),
        offset=np.array([slope * BRIGHTNESS_MIDDLE / BRIGHTNESS_SPAN], np.float32),
    )
    inputs = {"images": ["n", N_CHANNELS, N_ROWS, N_FRAMES], "scalars": ["n", N_SCALARS]}
    return _model(nodes, inputs, {"logit": ["n"]}, constants)


@pytest.fixture(scope="session")
def tiny_pack(tmp_path_factory):
    """Folder of a model pack for the ONNX engine: small graphs, a full manifest."""
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        contract_hash=contract_hash(),
        name="tiny",
        feature_spec=FeatureSpec(),
        band_hz=(0.0, 2000.0),
        networks=(NetworkInfo("cnn8", "cnn8", 0.8), NetworkInfo("vgg", "vgg", 0.8)),
        ensemble=Ensemble(method="normalised", score_name="auc", weights=(0.5, 0.5)),
        temperature=1.0,
        split=SplitDays(),
        metrics={},
        provenance=Provenance("none", "none", "none", 0, 0, {}, {}),
        files={},
    )
    graphs = {
        "features.onnx": _features_graph(),
        "cnn8.onnx": _network_graph(1.0),
        "vgg.onnx": _network_graph(0.7),
    }
    return save_pack(tmp_path_factory.mktemp("packs") / "tiny", manifest, graphs).path


@pytest.fixture(scope="session")
def fitted_pack(tiny_pack, tmp_path_factory):
    """Folder of the tiny pack with an emission: just after its onset a phase sounds like the one before."""
    phase = NormalByAge(mean=((1.0, -3.0), (-1.0, 3.0), (0.0, 0.0), (0.0, 0.0)), sd=((2.0,),) * 4)
    presence = NormalByAge(mean=((1.0, 3.0), (1.0, 3.0), (-1.0, -3.0), (-1.0, -3.0)), sd=((2.0,),) * 4)
    rise = NormalByAge(mean=((5.0, 0.0), (5.0, 0.0), (-5.0, 0.0), (-5.0, 0.0)), sd=((5.0, 3.0),) * 4)
    emission = Emission((0.2,), phase, presence, n_windows=100, streams="", rise=rise)
    folder = tmp_path_factory.mktemp("packs") / "fitted"
    return save_changed_pack(folder, load_pack(tiny_pack), emission=emission).path


@pytest.fixture
def clean_environment(monkeypatch, tmp_path):
    """No settings but those of the test: no variables, an empty configuration folder."""
    for name in [name for name in os.environ if name.startswith("BREATH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    return tmp_path / "configuration"
