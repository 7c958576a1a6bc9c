"""Our TensorRT code against the real bindings: TensorRT's own, without its libraries, and TensorRT-RTX's."""

import ast
import ctypes
import importlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tensorrt_fakes import FakeContext, FakeEngine, FakeGpu, FakeTensorRt, Member

from engines.errors import BackendUnavailableError, EngineError
from engines.gpu import Gpu, usable_gpu
from engines.tensorrt_api import TensorRtApi, is_installed, load_api

PROJECT = Path(__file__).resolve().parents[3]
CODE = ("engines/tensorrt_api.py", "engines/tensorrt_backend.py", "offline/graphs/tensorrt_builder.py")

# Class, method, names of the arguments that we pass by position; None: an attribute.
USED = {
    ("Builder", "__init__"): ("logger",),
    ("Builder", "create_network"): ("flags",),
    ("Builder", "create_builder_config"): (),
    ("Builder", "create_optimization_profile"): (),
    ("Builder", "build_serialized_network"): ("network", "config"),
    ("OnnxParser", "__init__"): ("network", "logger"),
    ("OnnxParser", "parse"): ("model",),
    ("OnnxParser", "get_error"): ("index",),
    ("OnnxParser", "num_errors"): None,
    ("IBuilderConfig", "clear_flag"): ("flag",),
    ("IBuilderConfig", "add_optimization_profile"): ("profile",),
    ("IBuilderConfig", "create_timing_cache"): ("serialized_timing_cache",),
    ("IBuilderConfig", "set_timing_cache"): ("cache", "ignore_mismatch"),
    ("IBuilderConfig", "get_timing_cache"): (),
    ("IBuilderConfig", "progress_monitor"): None,
    ("ITimingCache", "serialize"): (),
    ("IOptimizationProfile", "set_shape"): ("input", "min", "opt", "max"),
    ("INetworkDefinition", "num_inputs"): None,
    ("INetworkDefinition", "get_input"): ("index",),
    ("INetworkDefinition", "num_layers"): None,
    ("INetworkDefinition", "get_layer"): ("index",),
    ("ILayer", "get_output"): ("index",),
    ("ILayer", "get_input"): ("index",),
    ("ILayer", "num_inputs"): None,
    ("ILayer", "type"): None,
    ("ITensor", "dtype"): None,
    ("ITensor", "name"): None,
    ("ITensor", "shape"): None,
    ("ILogger", "log"): ("severity", "msg"),
    ("IProgressMonitor", "phase_start"): ("phase_name", "parent_phase", "num_steps"),
    ("IProgressMonitor", "step_complete"): ("phase_name", "step"),
    ("IProgressMonitor", "phase_finish"): ("phase_name",),
    ("BuilderFlag", "TF32"): None,
    ("Runtime", "__init__"): ("logger",),
    ("Runtime", "deserialize_cuda_engine"): ("serialized_engine",),
    ("ICudaEngine", "num_io_tensors"): None,
    ("ICudaEngine", "get_tensor_name"): ("index",),
    ("ICudaEngine", "get_tensor_mode"): ("name",),
    ("ICudaEngine", "get_tensor_dtype"): ("name",),
    ("ICudaEngine", "get_tensor_shape"): ("name",),
    ("ICudaEngine", "create_execution_context"): (),
    ("IExecutionContext", "set_input_shape"): ("name", "shape"),
    ("IExecutionContext", "set_tensor_address"): ("name", "memory"),
    ("IExecutionContext", "execute_async_v3"): ("stream_handle",),
    ("TensorIOMode", "INPUT"): None,
    ("TensorIOMode", "OUTPUT"): None,
    ("DataType", "FLOAT"): None,
    ("DataType", "HALF"): None,
}
ONLY_RTX = {
    ("ICudaEngine", "create_runtime_config"): (),
    ("ICudaEngine", "create_execution_context"): ("runtime_config",),
    ("IRuntimeConfig", "dynamic_shapes_kernel_specialization_strategy"): None,
    ("DynamicShapesKernelSpecializationStrategy", "EAGER"): None,
}
READ_DOCS = """
import importlib, json, os, sys
sys.setdlopenflags(os.RTLD_LAZY)
module = importlib.import_module(sys.argv[1])
docs = {}
for kind in json.loads(sys.argv[2]):
    members = getattr(module, kind, None)
    if members is not None:
        docs[kind] = {name: str(getattr(members, name).__doc__ or "") for name in dir(members)}
print(json.dumps({"version": module.__version__, "docs": docs}))
"""
# What the bindings take from the libraries that are absent; none of it is called by an import.
STUBS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)
LIBRARIES = ("libnvinfer", "libnvinfer_plugin", "libnvonnxparser")


def read_docs(module, folder=None):
    kinds = sorted({kind for kind, _ in USED | ONLY_RTX})
    path = {} if folder is None else {"PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", READ_DOCS, module, json.dumps(kinds)],
        capture_output=True,
        text=True,
        env=path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def signatures(doc, method):
    """Argument names of every overload in a docstring of pybind11, without self."""
    for line in re.findall(rf"^(?:\d+\. )?{method}\((self.*)\) -> ", doc, flags=re.MULTILINE):
        yield re.findall(r"(?:^|, )(\w+): ", line)[1:]


def assert_has(docs, used):
    for (kind, name), arguments in used.items():
        assert name in docs[kind], f"{kind} has no {name}"
        if arguments is not None:
            found = list(signatures(docs[kind][name], name))
            assert any(tuple(names[: len(arguments)]) == arguments for names in found), (kind, name, found)


@pytest.fixture(scope="module")
def tensorrt_docs(tmp_path_factory):
    """The docstrings of TensorRT's real bindings, imported over stubs of its libraries."""
    found = importlib.util.find_spec("tensorrt_bindings")
    if found is None or found.origin is None:
        pytest.skip("tensorrt-cu13-bindings is not installed; it is part of breath[test] on Linux")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler for the stubs of TensorRT's libraries")
    folder = tmp_path_factory.mktemp("bindings")
    shutil.copytree(Path(found.origin).parent, folder / "tensorrt_bindings")
    source = folder / "stubs.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in STUBS))
    for library in LIBRARIES:
        target = folder / "tensorrt_bindings" / f"{library}.so.11"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", target, source], check=True)
    return read_docs("tensorrt_bindings", folder)


def test_what_we_call_is_in_tensorrt(tensorrt_docs):
    assert tensorrt_docs["version"].startswith("11.")
    assert_has(tensorrt_docs["docs"], USED)


def test_what_we_call_is_in_tensorrt_rtx():
    pytest.importorskip(
        "tensorrt_rtx", reason="tensorrt-rtx-cu13 is not installed; it is part of breath[rtx]"
    )
    docs = read_docs("tensorrt_rtx")["docs"]
    assert_has(docs, USED)
    assert_has(docs, ONLY_RTX)


def test_the_list_of_what_we_call_is_what_we_call():
    code = "".join((PROJECT / name).read_text(encoding="utf-8") for name in CODE)
    unused = [name for _, name in USED | ONLY_RTX if name != "__init__" and name not in code]
    assert unused == []


def test_what_we_call_is_on_that_list():
    """Every attribute in the code that the real bindings have too."""
    pytest.importorskip(
        "tensorrt_rtx", reason="tensorrt-rtx-cu13 is not installed; it is part of breath[rtx]"
    )
    real = {name for members in read_docs("tensorrt_rtx")["docs"].values() for name in members}
    code = [ast.parse((PROJECT / name).read_text(encoding="utf-8")) for name in CODE]
    called = {node.attr for tree in code for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    of_logging = {"logger", "DEBUG", "ERROR"}
    assert (called & real) - of_logging - {name for _, name in USED | ONLY_RTX} == set()


def test_a_name_that_is_not_there_would_be_found():
    docs = {"Builder": {"build": "build(self: Builder, network: INetworkDefinition) -> IHostMemory"}}
    assert_has(docs, {("Builder", "build"): ("network",)})
    for wrong in ({("Builder", "make"): ()}, {("Builder", "build"): ("network", "config")}):
        with pytest.raises(AssertionError):
            assert_has(docs, wrong)


def test_the_fakes_have_no_calls_that_the_real_ones_lack():
    pairs = {"IExecutionContext": FakeContext, "ICudaEngine": FakeEngine, "Runtime": FakeTensorRt}
    for kind, fake in pairs.items():
        methods = {name for used_kind, name in USED if used_kind == kind and name != "__init__"}
        assert methods <= set(dir(fake)), kind


@pytest.fixture
def module():
    return FakeTensorRt(FakeGpu())


@pytest.mark.parametrize(
    ("flavour", "version", "flags"),
    [("tensorrt", "10.16.1.11", 8), ("tensorrt", "11.4.0.106", 0), ("tensorrt-rtx", "1.7.1.116", 0)],
)
def test_only_version_ten_has_to_be_asked_for_strong_typing(module, flavour, version, flags):
    module.__version__ = version
    module.NetworkDefinitionCreationFlag = type("Flags", (), {"STRONGLY_TYPED": 3})
    assert TensorRtApi(flavour, module).network_flags == flags


def test_an_older_tensorrt_is_refused(module):
    module.__version__ = "8.6.1"
    with pytest.raises(BackendUnavailableError, match=r"8\.6\.1 is too old.*pip install"):
        TensorRtApi("tensorrt", module)


def test_engines_of_tensorrt_are_tied_to_a_gpu_and_those_of_rtx_are_not(module):
    gpu = Gpu("NVIDIA H200", (9, 0))
    assert TensorRtApi("tensorrt", module).gpu_scope(gpu) == "NVIDIA H200 (sm_90)"
    assert TensorRtApi("tensorrt-rtx", module).gpu_scope(None) == "any"
    with pytest.raises(BackendUnavailableError, match="only on the GPU"):
        TensorRtApi("tensorrt", module).gpu_scope(None)


def test_errors_of_the_library_are_kept_until_they_are_taken(module):
    api = TensorRtApi("tensorrt", module)
    api.logger.log(Member("ERROR"), "first")
    api.logger.log(Member("WARNING"), "no error")
    api.logger.log(Member("INTERNAL_ERROR"), "second")
    assert api.take_errors() == "first; second"
    assert api.take_errors() == ""


def test_a_flavour_that_is_not_installed_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendUnavailableError, match=r'pip install "\.\[gpu\]"'):
        load_api("tensorrt")


def test_libraries_that_cannot_be_loaded_are_no_traceback(monkeypatch):
    def broken(name):
        raise OSError("libnvinfer.so.11: cannot open shared object file")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(EngineError, match=r"libnvinfer\.so\.11"):
        load_api("tensorrt")


def test_asking_whether_it_is_installed_imports_nothing():
    code = (
        "import sys; from engines.tensorrt_api import is_installed; is_installed('tensorrt-rtx');"
        "sys.exit('tensorrt_rtx' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False).returncode == 0
    assert isinstance(is_installed("tensorrt"), bool)


class FakeDriver:
    """libcuda with one GPU, in which one call may fail."""

    def __init__(self, n_gpus=1, failing=""):
        self.n_gpus = n_gpus
        self.failing = failing

    def __getattr__(self, call):
        def answer(*arguments):
            if call == self.failing:
                return 35
            self._fill(call, arguments)
            return 0

        return answer

    def _fill(self, call, arguments):
        if call == "cuDeviceGetCount":
            arguments[0]._obj.value = self.n_gpus
        elif call == "cuDeviceGetName":
            ctypes.memmove(arguments[0], b"NVIDIA L4\0", 10)
        elif call == "cuDeviceGetAttribute":
            arguments[0]._obj.value = {75: 8, 76: 9}[arguments[1]]
        elif call == "cuGetErrorString":
            arguments[1]._obj.value = b"driver too old"


def test_the_driver_names_the_gpu():
    assert usable_gpu(FakeDriver()).label == "NVIDIA L4 (sm_89)"


@pytest.mark.parametrize(
    "call", ["cuInit", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName", "cuDeviceGetAttribute"]
)
def test_every_answer_of_the_driver_is_checked(call):
    with pytest.raises(BackendUnavailableError, match=f"{call} with error 35, driver too old"):
        usable_gpu(FakeDriver(failing=call))


def test_a_driver_without_a_gpu():
    with pytest.raises(BackendUnavailableError, match="CUDA_VISIBLE_DEVICES"):
        usable_gpu(FakeDriver(n_gpus=0))
