"""TensorRT and TensorRT-RTX behind one face: everything in which 10, 11 and RTX differ is on this page.

Both import anywhere, build differently, and run only on a GPU:

    flavour        module         builds                       an engine runs
    tensorrt       tensorrt       on the GPU it is meant for   on that GPU, with that version
    tensorrt-rtx   tensorrt_rtx   anywhere                     on every GPU of RTX's list, with that version

Networks are strongly typed, as version 11 and RTX always have them: the engine has the types of the graph.
"""

import importlib
import importlib.util
import logging
from typing import Any

from engines.errors import BackendUnavailableError, EngineError, EngineMismatchError
from engines.gpu import Gpu
from engines.installing import install_extra

MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
INSTALL = {
    "tensorrt": install_extra("gpu"),
    "tensorrt-rtx": install_extra("rtx"),
}
ANY_GPU = "any"
OLDEST_TENSORRT = 10
_LOGGER = logging.getLogger(__name__)
_ERRORS = frozenset({"INTERNAL_ERROR", "ERROR"})


class TensorRtApi:
    """One flavour of TensorRT.

    Args:
        flavour: a key of `MODULES`.
        module: its Python module.

    Raises:
        BackendUnavailableError: the module is older than version 10.
    """

    def __init__(self, flavour: str, module: Any) -> None:
        self.flavour = flavour
        self.module = module
        self.version: str = module.__version__
        self.is_rtx = flavour == "tensorrt-rtx"
        self._errors: list[str] = []
        self._runtime: Any = None
        self.logger = _python_logger(module, self._errors)
        if not self.is_rtx and self._major < OLDEST_TENSORRT:
            raise BackendUnavailableError(
                f"TensorRT {self.version} is too old, {OLDEST_TENSORRT} is the oldest that works; "
                f"{INSTALL[flavour]}"
            )

    @property
    def _major(self) -> int:
        return int(self.version.split(".")[0])

    @property
    def network_flags(self) -> int:
        """For `create_network`: version 10 must be asked for strong typing, the others know nothing else."""
        if self.is_rtx or self._major > OLDEST_TENSORRT:
            return 0
        return 1 << int(self.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)

    def gpu_scope(self, gpu: Gpu | None) -> str:
        """Label of the GPUs on which an engine that is built now will run."""
        if self.is_rtx:
            return ANY_GPU
        if gpu is None:
            raise BackendUnavailableError("TensorRT builds only on the GPU that the engine is meant for")
        return gpu.label

    def take_errors(self) -> str:
        """What the library complained of since the last call; an empty text where it did not."""
        text = "; ".join(self._errors)
        self._errors.clear()
        return text

    def engine_from_plan(self, stage: str, plan: bytes) -> Any:
        """Deserialise an engine. Only where there is a usable GPU.

        Raises:
            EngineError: the runtime cannot be created.
            EngineMismatchError: the library refuses the plan; it says so by returning None.
        """
        try:
            if self._runtime is None:
                self._runtime = self.module.Runtime(self.logger)
            engine = self._runtime.deserialize_cuda_engine(plan)
        except (TypeError, RuntimeError) as error:  # a null factory is a TypeError of the bindings
            raise EngineError(f"{self.flavour} cannot start: {self.take_errors() or error}") from error
        if engine is None:
            said = self.take_errors() or "no reason given"
            raise EngineMismatchError(f"{self.flavour} {self.version} refuses the engine of {stage}: {said}")
        return engine

    def context_from_engine(self, stage: str, engine: Any) -> Any:
        """Create an execution context.

        RTX compiles kernels for the shapes it meets; they are asked for at once, because a graph cannot be
        captured while they are compiled behind the scenes.

        Raises:
            EngineError: the library does not give one, for want of memory mostly.
        """
        arguments = []
        if self.is_rtx:
            config = engine.create_runtime_config()
            strategies = self.module.DynamicShapesKernelSpecializationStrategy
            config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
            arguments = [config]
        context = engine.create_execution_context(*arguments)
        if context is None:
            raise EngineError(
                f"{self.flavour} gives no execution context for {stage}: "
                f"{self.take_errors() or 'no reason given'}; is the memory of the GPU full?"
            )
        return context


def is_installed(flavour: str) -> bool:
    """Whether the module is there; it is not imported."""
    return importlib.util.find_spec(MODULES[flavour]) is not None


def load_api(flavour: str) -> TensorRtApi:
    """Import a flavour of TensorRT.

    Raises:
        BackendUnavailableError: it is not installed, or its libraries cannot be loaded.
    """
    try:
        module = importlib.import_module(MODULES[flavour])
    except (ImportError, OSError, RuntimeError) as error:
        raise BackendUnavailableError(
            f"{MODULES[flavour]} cannot be imported ({error}); {INSTALL[flavour]}"
        ) from error
    return TensorRtApi(flavour, module)


def _python_logger(module: Any, errors: list[str]) -> Any:
    """A logger of TensorRT that passes messages on, and keeps the errors for our own messages."""

    class PassingLogger(module.ILogger):  # type: ignore[misc]  # the base is known only now
        def __init__(self) -> None:
            module.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            if severity.name in _ERRORS or severity.name == "WARNING":
                _LOGGER.debug("%s: %s", severity.name, msg)
            if severity.name in _ERRORS:
                errors.append(msg.strip())
                del errors[:-3]

    return PassingLogger()
