"""A GPU and a TensorRT that run on the CPU, as strict as the real ones, and that fail on demand.

What is enqueued happens when the stream is waited for, and not before: whoever reads too early reads zeros,
whoever overwrites too early spoils what is still to be read.
"""

import numpy as np

from engines.device_memory import DeviceArray
from engines.errors import EngineError

ALIGNMENT = 256
STREAM = 0x5EED
FEATURES = "features"
# What a network makes of the scalars; to that it adds the images. Of the features, the images are the first
# sample, the scalars the last one.
FACTORS = {"cnn8": 2.0, "vgg": -3.0}


class FakeGpu:
    """What a test looks at: calls in order, live memory; `fail_on` names the call that fails from then on."""

    def __init__(self):
        self.log = []
        self.fail_on = None
        self.arrays = {}
        self.queue = []
        self.recording = None
        self.has_graphs = True
        self.n_uploaded_bytes = 0
        self._next_address = ALIGNMENT

    def called(self, name):
        self.log.append(name)
        return name != self.fail_on

    def enqueue(self, work):
        (self.queue if self.recording is None else self.recording).append(work)

    def new_array(self, shape):
        address = self._next_address
        array = np.zeros(shape, np.float32)
        self._next_address += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
        self.arrays[address] = array
        return address, array

    def is_live(self, address):
        return address in self.arrays and address % ALIGNMENT == 0


class FakeMemory:
    """`DeviceMemory` on a `FakeGpu`."""

    stream_handle = STREAM

    def __init__(self, gpu):
        self.gpu = gpu
        self.page_locked_ids = set()
        self.kept = []
        self.is_closed = False

    def allocate(self, shape):
        self._require("allocate")
        address, array = self.gpu.new_array(shape)
        return DeviceArray(shape, address, array)

    def page_locked(self, shape):
        self._require("page_locked")
        host = np.zeros(shape, np.float32)
        self.kept.append(host)
        self.page_locked_ids.add(id(host))
        return host

    def upload(self, host, device):
        self._require("upload")
        self._require_page_locked(host)
        assert host.shape[1:] == device.shape[1:]
        assert len(host) <= device.shape[0]
        self.gpu.n_uploaded_bytes += host.nbytes
        target = self.gpu.arrays[device.address]
        self.gpu.enqueue(lambda: np.copyto(target[: len(host)], host))

    def download(self, device, host):
        self._require("download")
        self._require_page_locked(host)
        source = self.gpu.arrays[device.address]
        self.gpu.enqueue(lambda: np.copyto(host, source[: len(host)]))

    def synchronise(self):
        assert self.gpu.recording is None, "waiting inside a recording"
        queue, self.gpu.queue = self.gpu.queue, []
        self._require("synchronise")
        for work in queue:
            work()

    def capture(self, enqueue):
        if not self.gpu.has_graphs:
            return None
        self._require("capture")
        self.gpu.recording = []
        try:
            enqueue()
        finally:
            recorded, self.gpu.recording = self.gpu.recording, None

        def launch():
            self._require("launch")
            self.gpu.queue.extend(recorded)

        return launch

    def close(self):
        self.gpu.called("close memory")
        self.is_closed = True
        self.gpu.arrays.clear()

    def _require(self, name):
        assert not self.is_closed, f"{name} after close"
        if not self.gpu.called(name):
            raise EngineError(f"the GPU failed in {name}: out of luck")

    def _require_page_locked(self, host):
        base = host if host.base is None else host.base
        assert id(base) in self.page_locked_ids, "a transfer from ordinary memory"


class Member:
    """A value of an enumeration of the bindings."""

    def __init__(self, name):
        self.name = name


class FakeContext:
    def __init__(self, engine):
        self.engine = engine
        self.addresses = {}
        self.shapes = {}
        self.shape_of_last_run = None

    def set_tensor_address(self, name, memory):
        assert name in self.engine.tensors
        assert type(memory) is int
        assert self.engine.gpu.is_live(memory), "an address that is not live, or not aligned"
        self.addresses[name] = memory
        return self.engine.gpu.called(f"address {name} {self.engine.stage}")

    def set_input_shape(self, name, shape):
        assert shape[1:] == self.engine.tensors[name]
        least, most = self.engine.batch
        self.shapes[name] = shape
        return self.engine.gpu.called(f"shape {name} {self.engine.stage}") and least <= shape[0] <= most

    def execute_async_v3(self, stream_handle):
        gpu = self.engine.gpu
        assert stream_handle == STREAM
        assert self.addresses.keys() == self.engine.tensors.keys()
        arrays = {name: gpu.arrays[address] for name, address in self.addresses.items()}
        (n,) = {shape[0] for shape in self.shapes.values()}
        assert gpu.recording is None or self.shape_of_last_run == n, "recorded before a plain run"
        self.shape_of_last_run = n

        def compute_features():
            windows = arrays["windows"][:n]
            arrays["images"][:n] = windows[:, :1, None, None]
            arrays["scalars"][:n] = windows[:, -1:]

        def run_network():
            logit = arrays["logit"]
            phase = FACTORS[self.engine.stage] * arrays["scalars"][:n, 0] + arrays["images"][:n, 0, 0, 0]
            logit[:n] = phase if logit.ndim == 1 else np.stack([phase, -10 * phase], axis=1)

        work = compute_features if self.engine.stage == FEATURES else run_network
        if not gpu.called(self.engine.stage):
            return False
        gpu.enqueue(work)
        return True


class FakeEngine:
    def __init__(self, module, stage):
        self.module = module
        self.gpu = module.gpu
        self.stage = stage
        self.batch = module.batch
        self.tensors = {"images": (9, 128, 63), "scalars": (39,)}
        if stage == FEATURES:
            self.tensors = {"windows": (16_000,), **self.tensors}
            self.outputs = {"images", "scalars"}
        else:
            self.tensors["logit"] = module.shapes_of_logit[stage]
            self.outputs = {"logit"}

    @property
    def num_io_tensors(self):
        return len(self.tensors)

    def get_tensor_name(self, index):
        return list(self.tensors)[index]

    def get_tensor_mode(self, name):
        modes = self.module.TensorIOMode
        return modes.OUTPUT if name in self.outputs else modes.INPUT

    def get_tensor_shape(self, name):
        return (-1, *self.tensors[name])

    def get_tensor_dtype(self, name):
        return self.module.tensor_dtype

    def create_execution_context(self):
        return self.module.new_context(self) if self.gpu.called(f"context {self.stage}") else None


class FakeTensorRt:
    """A module like `tensorrt`; a plan is the name of its stage."""

    __version__ = "11.4.0.106"

    class ILogger:
        pass

    class TensorIOMode:
        INPUT, OUTPUT = Member("INPUT"), Member("OUTPUT")

    class DataType:
        FLOAT, HALF = Member("FLOAT"), Member("HALF")

    def __init__(self, gpu, batch=(1, 4)):
        self.gpu = gpu
        self.batch = batch
        self.tensor_dtype = self.DataType.FLOAT
        self.shapes_of_logit = dict.fromkeys(FACTORS, ())
        self.contexts = []
        self.has_factory = True
        self.engine_type = FakeEngine

    def new_context(self, engine):
        self.contexts.append(FakeContext(engine))
        return self.contexts[-1]

    def Runtime(self, logger):  # noqa: N802  # the bindings' name
        if not self.has_factory:
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self.logger = logger
        return self

    def deserialize_cuda_engine(self, plan):
        if not self.gpu.called(f"deserialise {plan.decode()}"):
            self.logger.log(Member("ERROR"), "the plan has another version tag")
            return None
        return self.engine_type(self, plan.decode())
