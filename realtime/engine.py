"""Open the back end that was chosen, with the features it needs."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from engines.backend import GPU_ENGINES, Choice, Engine, choose
from engines.engine_cache import chosen_root
from engines.errors import EngineError
from engines.pack import Pack
from engines.processor import runs_in_tiles


def open_engine(pack: Pack, requested: str = "auto", n_threads: int | None = None) -> tuple[Engine, Choice]:
    """Open an engine for a pack.

    One that runs on a GPU is replaced by one that does not when it fails later; see `FallbackEngine`. With
    `auto`, one that cannot even be opened is passed over, as long as ONNX Runtime and torch are left.

    Args:
        pack: the model pack.
        requested: `auto`, `onnxruntime`, `openvino`, `torch`, `tensorrt` or `tensorrt-rtx`.
        n_threads: threads of one inference; None: the back end's own choice. Torch has one number for the
            whole process.

    Returns:
        The engine, not warmed up yet, and which one it is and why.

    Raises:
        ConfigError: `requested` is no engine, or the folder of engines that the environment names is no path.
        EngineError: it cannot run here.
    """
    refused: dict[str, str] = {}
    while True:
        choice = choose_engine(pack, requested, refused)
        try:
            return _open(pack, choice.name, n_threads), choice
        except EngineError as error:
            # Whether the library takes an engine, an old one or one for other GPUs, only opening it tells.
            if requested != "auto" or choice.name not in (*GPU_ENGINES, "openvino"):
                raise
            refused[choice.name] = str(error) or type(error).__name__


def choose_engine(pack: Pack, requested: str, refused: Mapping[str, str] = MappingProxyType({})) -> Choice:
    """What `open_engine` would open, and why.

    Args:
        pack: the model pack.
        requested: as for `open_engine`.
        refused: those that could not be opened, and why not.

    Raises:
        ConfigError, BackendUnavailableError: as for `engines.backend.choose`.
    """
    from realtime.gpu_engine import why_not_tensorrt

    return choose(
        requested,
        has_onnx_graphs=pack.has_graphs,
        has_weights=pack.has_weights,
        why_not_on_gpu=lambda flavour: why_not_tensorrt(pack, flavour),
        runs_in_tiles=runs_in_tiles(pack.manifest.graph_precision),
        refused=refused,
    )


def _open(pack: Pack, name: str, n_threads: int | None) -> Engine:
    if name in GPU_ENGINES:
        from engines.fallback import FallbackEngine
        from realtime.gpu_engine import open_tensorrt

        return FallbackEngine(open_tensorrt(pack, name), lambda: _open_on_cpu(pack, n_threads))
    if name == "onnxruntime":
        from engines.onnx_backend import OnnxEngine

        return OnnxEngine(pack, n_threads)
    if name == "openvino":
        from engines.openvino_backend import OpenVinoEngine

        return OpenVinoEngine(pack, n_threads, openvino_root())
    import torch

    return _open_torch(pack, n_threads, "cuda" if torch.cuda.is_available() else "cpu")


def openvino_root(root: Path | None = None) -> Path | None:
    """Where OpenVINO keeps what it compiles, below a folder of engines; None: in the user's own cache.

    It removes what it kept longest ago, so that the folder has to be its own.

    Args:
        root: the folder of engines; None: the one that the environment names, if it does.

    Raises:
        ConfigError: the environment names what can be no path.
    """
    root = root or chosen_root()
    return root / "openvino" if root else None


def _open_on_cpu(pack: Pack, n_threads: int | None) -> Engine:
    choice = choose("auto", has_onnx_graphs=pack.has_graphs, has_weights=pack.has_weights)
    if choice.name == "torch":
        return _open_torch(pack, n_threads, "cpu")
    return open_engine(pack, choice.name, n_threads)[0]


def _open_torch(pack: Pack, n_threads: int | None, device: str) -> Engine:
    import torch

    from engines.torch_backend import TorchEngine, load_networks
    from realtime.features.stack import FeatureStack

    if n_threads is not None:
        torch.set_num_threads(n_threads)
    return TorchEngine(load_networks(pack), FeatureStack(pack.manifest.feature_spec), device)
