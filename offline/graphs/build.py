"""From a pack to engines of TensorRT or TensorRT-RTX, in the cache, with the parity gate's answer."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from engines.engine_cache import (
    MANIFEST_NAME,
    SCHEMA_VERSION,
    BatchProfile,
    CachedEngine,
    EngineKey,
    EngineManifest,
    PlanFile,
    Precision,
    default_root,
    list_engines,
    publish,
    read_plans,
    timing_cache_path,
)
from engines.errors import (
    BackendUnavailableError,
    ConfigError,
    EngineError,
    EngineMismatchError,
    OutputError,
)
from engines.file_lock import file_lock
from engines.gpu import Gpu, usable_gpu
from engines.manifest import FEATURES
from engines.pack import Pack
from engines.tensorrt_api import TensorRtApi, load_api
from engines.whole import write_whole
from offline.graphs.build_cpu import export_command
from offline.graphs.half import half_graph
from offline.graphs.parity import Parity, compare
from offline.graphs.probes import Windows, gate_windows
from offline.graphs.symmetric import symmetric_graph
from offline.graphs.tensorrt_builder import Plan, build_plan
from realtime.gpu_engine import has_torch_with_cuda, open_plans, require_memory

Progress = Callable[[str, int, int], None]
_TYPES = {
    "CONVOLUTION": {"fp32": "FLOAT", "fp16": "HALF", "int8": "INT8"},
    "MATRIX_MULTIPLY": {"fp32": "FLOAT", "fp16": "HALF", "int8": "FLOAT"},
}


@dataclass(frozen=True)
class Built:
    """An engine in the cache; `is_new` is False if it was there already."""

    engine: CachedEngine
    is_new: bool


def build_engine(
    pack: Pack,
    flavour: str,
    precision: Precision | None,
    batch: BatchProfile,
    *,
    root: Path | None = None,
    windows: Windows | None = None,
    is_rebuilt: bool = False,
    progress: Progress = lambda _phase, _n_done, _n_all: None,
    tell: Callable[[str], None] = lambda _text: None,
) -> Built:
    """Build the features and the networks of a pack, unless they are in the cache and whole.

    Args:
        pack: a pack that has its graphs.
        flavour: `tensorrt`, which needs the GPU that it builds for, or `tensorrt-rtx`, which needs none.
        precision: of the networks; features, inputs and outputs are float32. None: int8 for a pack of INT8
            graphs, else fp32.
        batch: numbers of windows in one inference.
        root: folder of the cache; None: see `engines.engine_cache.default_root`.
        windows: for the parity gate; None: the edge cases.
        is_rebuilt: build it also if it is there.
        progress: told (phase, steps done, steps in all).
        tell: told what a person should know.

    Raises:
        ConfigError: this precision cannot be had of the pack's graphs.
        BackendUnavailableError: the library, or the GPU that it needs, is not there.
        EngineError: the library builds nothing, or the engine is too far from float32.
        OutputError: the cache cannot be written.
    """
    precision = _precision_of(pack, flavour, precision)
    folder = root or default_root()
    gpu, why_no_gpu = _gpu()
    if flavour == "tensorrt" and gpu is None:
        raise BackendUnavailableError(
            f"TensorRT builds only on the GPU that the engine is meant for: {why_no_gpu}. "
            "Without a GPU: --engine tensorrt-rtx"
        )
    if flavour == "tensorrt":
        require_memory()
    api = load_api(flavour)
    key = EngineKey(pack.sha256, flavour, api.version, api.gpu_scope(gpu), precision, batch)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be made: {error.strerror or error}; give another --out"
        ) from error
    with file_lock(
        folder / f"{key.name}.lock", lambda: tell("another build of the same engine is under way; waiting")
    ):
        cached = None if is_rebuilt else _whole_engine(folder, key, pack, tell)
        if cached is not None:
            return Built(cached, is_new=False)
        plans = _build_plans(api, key, pack, folder, progress)
        contents = {stage: plan.content for stage, plan in plans.items()}
        parity = _parity(api, key, pack, contents, gpu, why_no_gpu, windows or gate_windows(), progress)
        if parity.verdict == "failed":
            raise EngineError(f"{parity}. The engine was not kept; {_other_way(pack, precision)}")
        files = {
            stage: PlanFile(sha256(plan.content).hexdigest(), len(plan.content), plan.layers)
            for stage, plan in plans.items()
        }
        manifest = EngineManifest(SCHEMA_VERSION, key, pack.manifest.name, files, parity.to_json())
        return Built(publish(folder, manifest, contents), is_new=True)


def _precision_of(pack: Pack, flavour: str, wanted: Precision | None) -> Precision:
    is_int8 = pack.manifest.graph_precision == "int8"
    if wanted is None:
        return "int8" if is_int8 else "fp32"
    if wanted == "int8" and not is_int8:
        raise ConfigError(
            f"{flavour} takes INT8 from INT8 graphs, and those of {pack.path} are float; make such graphs, "
            f"and build those: breath-offline quantise --pack {pack.path} --data DIR --out PACK"
        )
    if wanted != "int8" and is_int8:
        raise ConfigError(
            f"{flavour} builds {wanted} from float graphs, and those of {pack.path} are INT8; leave "
            f"--precision out, or make float graphs of them, and build those: {export_command(pack)}"
        )
    return wanted


def _other_way(pack: Pack, precision: Precision) -> str:
    if precision == "int8":
        return f"build from float graphs, made with: {export_command(pack)}; or report it"
    return "use --precision fp32, or report it" if precision == "fp16" else "please report it"


def _gpu() -> tuple[Gpu | None, str]:
    try:
        return usable_gpu(), ""
    except BackendUnavailableError as error:
        return None, str(error)


def _whole_engine(
    folder: Path, key: EngineKey, pack: Pack, tell: Callable[[str], None]
) -> CachedEngine | None:
    place = folder / key.name
    if not (place / MANIFEST_NAME).exists():
        return None
    for engine in list_engines(folder):
        if engine.path == place:
            try:
                read_plans(engine, wanted=key, pack_path=pack.path)
            except EngineMismatchError as error:
                tell(f"built anew: {error}")
                return None
            return engine
    tell(f"built anew: {place / MANIFEST_NAME} cannot be read")
    return None


def _build_plans(
    api: TensorRtApi, key: EngineKey, pack: Pack, folder: Path, progress: Progress
) -> dict[str, Plan]:
    timing_path = timing_cache_path(folder, key)
    timings = timing_path.read_bytes() if timing_path.is_file() else b""
    plans: dict[str, Plan] = {}
    for stage, path in pack.graph_paths.items():
        graph = path.read_bytes()
        # Sums over a second of sound, logarithms of what is near zero: the features are float32 everywhere.
        precision = "fp32" if stage == FEATURES else key.precision
        if precision == "fp16":
            graph = half_graph(graph)
        elif precision == "int8":
            graph = symmetric_graph(graph)

        def told(phase: str, n_done: int, n_all: int, stage: str = stage) -> None:
            progress(f"{stage}: {phase.lower()}", n_done, n_all)

        plan = build_plan(api, stage, graph, key.batch, timings, told)
        _require_types(stage, plan, precision)
        plans[stage], timings = plan, plan.timings or timings
    if timings:
        write_whole(timing_path, timings)
    return plans


def _require_types(stage: str, plan: Plan, precision: Precision) -> None:
    """What takes the time must be computed in what was asked for."""
    for kind, expected in _TYPES.items():
        found = plan.layers.get(kind, {})
        others = set(found) - {expected[precision]}
        # The first convolution stays in float32, see `offline.graphs.quantise`.
        is_first = (
            precision == "int8" and kind == "CONVOLUTION" and found.get("FLOAT") == 1 < sum(found.values())
        )
        if others - ({"FLOAT"} if is_first else set()):
            raise EngineError(
                f"{stage} was to be {precision}, but has {kind.lower()} layers of "
                f"{', '.join(sorted(others))}. Please report it with your versions"
            )


def _parity(
    api: TensorRtApi,
    key: EngineKey,
    pack: Pack,
    plans: dict[str, bytes],
    gpu: Gpu | None,
    why_no_gpu: str,
    windows: Windows,
    progress: Progress,
) -> Parity:
    if gpu is None:
        return Parity("not run here", why_no_gpu, against="")
    try:
        require_memory()
        # An engine of RTX is for other machines too; on a GPU that is not of its list it cannot be tried.
        api.engine_from_plan(*next(iter(plans.items())))
    except EngineError as error:
        if not api.is_rtx:
            raise
        return Parity("not run here", f"{gpu.label}: {error}", against="")
    tolerance = "symmetric int8" if key.precision == "int8" else key.precision
    found: list[Parity] = []
    # Whoever runs the engine may have torch compute the features, or not.
    for has_torch_features in (True, False) if has_torch_with_cuda() else (False,):
        with open_plans(pack, api, plans, key.batch, has_torch_features=has_torch_features) as opened:
            parity = compare(opened, pack, tolerance, windows, lambda *steps: progress("parity", *steps))
        if parity.verdict == "failed":
            return parity
        found.append(parity)
    return max(found, key=lambda parity: parity.largest or 0.0)
