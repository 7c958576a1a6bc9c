"""Open a pack's engines on a GPU: the features by torch where torch is on the GPU, else by their engine."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.engine_cache import (
    BatchProfile,
    EngineKey,
    build_command,
    default_root,
    find_engine,
    read_plans,
)
from engines.errors import BackendUnavailableError, EngineError, EngineMismatchError
from engines.gpu import Gpu, usable_gpu
from engines.installing import install_extra
from engines.manifest import FEATURES
from engines.pack import Pack
from engines.tensorrt_api import INSTALL, MODULES, TensorRtApi, is_installed, load_api

if TYPE_CHECKING:
    from engines.tensorrt_backend import TensorRtEngine


def why_not_tensorrt(pack: Pack, flavour: str, root: Path | None = None) -> str:
    """What keeps a flavour of TensorRT from running this pack here; empty: nothing.

    The GPU is asked for first: without one, TensorRT is not even imported.
    """
    try:
        gpu = usable_gpu()
        if not is_installed(flavour):
            return f"{MODULES[flavour]} is not installed; {INSTALL[flavour]}"
        _plans(pack, load_api(flavour), gpu, root)
    except EngineError as error:
        return str(error)
    return ""


def open_tensorrt(
    pack: Pack, flavour: str, root: Path | None = None, *, has_stage_times: bool = False
) -> "TensorRtEngine":
    """Open the engine that was built last for this pack, library and GPU.

    Args:
        pack: the model pack.
        flavour: `tensorrt` or `tensorrt-rtx`.
        root: folder of the engines; None: the user's own cache.
        has_stage_times: see `TensorRtEngine`.

    Raises:
        BackendUnavailableError: no usable GPU, no TensorRT, or nothing to own its memory.
        EngineMissingError: nothing was built.
        EngineMismatchError: what was built is for something else, or damaged.
        EngineError: the GPU or the library failed.
    """
    gpu = usable_gpu()
    api = load_api(flavour)
    key, plans = _plans(pack, api, gpu, root)
    try:
        return open_plans(pack, api, plans, key.batch, has_stage_times=has_stage_times)
    except EngineMismatchError as error:
        # It is whole, so that it would not be built again by itself.
        mend = build_command(pack.path, flavour, key, is_anew=True)
        raise EngineMismatchError(f"{error}. Build it again: {mend}") from error


def open_plans(
    pack: Pack,
    api: TensorRtApi,
    plans: Mapping[str, bytes],
    batch: BatchProfile,
    *,
    has_torch_features: bool = True,
    has_stage_times: bool = False,
) -> "TensorRtEngine":
    """Open what was built; only where there is a usable GPU.

    Torch owns the memory where it is on the GPU, and computes the features; in a process without it pycuda
    owns the memory, and an engine computes them.

    Args:
        pack: the model pack.
        api: the flavour that built the plans.
        plans: serialised engines, of the features and every network.
        batch: numbers of windows that the plans accept.
        has_torch_features: False: by their engine also where torch could.
        has_stage_times: see `TensorRtEngine`.

    Raises:
        BackendUnavailableError: there is neither torch with CUDA nor pycuda.
        EngineError: see `TensorRtEngine`.
    """
    from engines.device_memory import DeviceMemory, PycudaMemory, TorchMemory
    from engines.front_end import FrontEnd
    from engines.tensorrt_backend import TensorRtEngine

    has_torch = has_torch_with_cuda()
    is_torch_computing = has_torch and has_torch_features
    memory: DeviceMemory = TorchMemory() if has_torch else PycudaMemory()
    try:
        front_end = FrontEnd(memory, batch.largest, _features_on_gpu(pack) if is_torch_computing else None)
    except BaseException:
        memory.close()
        raise
    stages = [stage for stage in pack.graph_paths if stage != FEATURES or not is_torch_computing]
    chosen = {stage: plans[stage] for stage in stages}
    return TensorRtEngine(api, chosen, memory, front_end, batch, has_stage_times=has_stage_times)


def _features_on_gpu(pack: Pack) -> Any:
    from realtime.features.stack import FeatureStack

    try:
        return FeatureStack(pack.manifest.feature_spec).eval().to("cuda")
    except RuntimeError as error:
        raise EngineError(f"torch cannot bring the features to the GPU: {error}") from error


def require_memory() -> None:
    """See that something can own the GPU's memory, before the minutes that a build takes.

    Raises:
        BackendUnavailableError: there is neither torch with CUDA nor pycuda.
    """
    if not has_torch_with_cuda() and importlib.util.find_spec("pycuda") is None:
        raise BackendUnavailableError(f"neither torch with CUDA nor pycuda is there; {install_extra('gpu')}")


def has_torch_with_cuda() -> bool:
    """Whether torch is installed, was built for CUDA and sees a GPU; it is imported for this."""
    if any(importlib.util.find_spec(name) is None for name in ("torch", "torchaudio")):
        return False
    import torch

    return torch.cuda.is_available()


def _plans(pack: Pack, api: TensorRtApi, gpu: Gpu, root: Path | None) -> tuple[EngineKey, dict[str, bytes]]:
    engine = find_engine(
        root or default_root(),
        pack_path=pack.path,
        pack_sha256=pack.sha256,
        flavour=api.flavour,
        version=api.version,
        gpu=gpu.label,
    )
    key = engine.manifest.key
    plans = read_plans(engine, wanted=key, pack_path=pack.path)
    missing = set(pack.graph_paths) - set(plans)
    if missing:
        mend = build_command(pack.path, api.flavour, key, is_anew=True)
        raise BackendUnavailableError(
            f"the engine in {engine.path} lacks {', '.join(sorted(missing))}. Build it again: {mend}"
        )
    return key, plans
