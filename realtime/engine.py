"""Open the back end that was chosen, with the features it needs."""

from engines.backend import Choice, Engine, choose
from engines.pack import Pack


def open_engine(pack: Pack, requested: str = "auto", n_threads: int | None = None) -> tuple[Engine, Choice]:
    """Open an engine for a pack.

    Args:
        pack: the model pack.
        requested: `auto`, `onnxruntime`, `torch` or `tensorrt`.
        n_threads: threads of one inference; None: the back end's own choice. Torch has one number for the
            whole process.

    Returns:
        The engine, not warmed up yet, and which one it is and why.

    Raises:
        ConfigError: `requested` is no engine.
        EngineError: it cannot run here.
    """
    choice = choose(requested, has_onnx_graphs=pack.has_graphs, has_weights=pack.has_weights)
    if choice.name == "onnxruntime":
        from engines.onnx_backend import OnnxEngine

        return OnnxEngine(pack, n_threads), choice
    import torch

    from engines.torch_backend import TorchEngine
    from realtime.features.stack import FeatureStack

    if n_threads is not None:
        torch.set_num_threads(n_threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return TorchEngine(pack, FeatureStack(pack.manifest.feature_spec), device), choice
