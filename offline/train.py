"""From a clip set to a model pack: split, features, both networks, weights, calibration, graphs."""

import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from engines.contract import contract_hash
from engines.ensemble import fuse, sigmoid, weights_from_scores
from engines.errors import ConfigError
from engines.manifest import SCHEMA_VERSION, Ensemble, Manifest, NetworkInfo, Provenance, SplitDays
from engines.pack import Pack, check_destination, save_pack
from engines.spec import NARROWBAND, FeatureSpec
from engines.torch_backend import ARCHITECTURES
from offline.calibration import fitted_temperature
from offline.clips import ClipSet
from offline.distributed import World, joined_world
from offline.export import export_pack
from offline.metrics import binary_metrics
from offline.precompute import precompute
from offline.progress import TrainingView
from offline.resume import prepare_work, run_key
from offline.settings import TrainSettings
from offline.split import Split, split_by_day
from offline.store import FeatureStore, open_store
from offline.trainer import Trained, train_network


@dataclass(frozen=True)
class DatasetInfo:
    """What the manifest says of the clips; whoever ships a pack owes their authors the credit."""

    name: str = "not stated"
    licence: str = "not stated"
    credit: str = "not stated"


def train_pack(
    clips: ClipSet,
    out: Path,
    settings: TrainSettings,
    *,
    name: str | None = None,
    dataset: DatasetInfo | None = None,
    spec: FeatureSpec = NARROWBAND,
    store_folder: Path | None = None,
    work_folder: Path | None = None,
    is_resumed: bool = False,
    is_restarted: bool = False,
) -> Pack | None:
    """Train both networks and write the pack, graphs included.

    What can be refused is refused before the training begins. Under `torchrun`, the store and the work
    folder must be the same folders for all processes.

    Args:
        clips: the labelled clips, of several days.
        out: the pack's folder.
        settings: of the training.
        name: of the pack; None: that of its folder.
        dataset: name, licence and credit of the clips, for the manifest.
        spec: parameters inside the channels.
        store_folder: feature store to use or make; None: inside the work folder.
        work_folder: checkpoints, histories, TensorBoard; None: `out` with `.training` behind its name.
        is_resumed: go on where an earlier run in this work folder stopped, if there was one.
        is_restarted: delete what an earlier run left, and begin anew.

    Returns:
        The pack; None in processes other than the main one.

    Raises:
        ConfigError: settings that do not fit, or checkpoints of which nothing was said.
        LabelsError: the clips cannot be split or used, or the checkpoints are of another training.
        OutputError: something cannot be written.
        EngineError: a graph of the finished pack differs from torch; its weights are kept.
    """
    place = out.resolve()
    work = work_folder or place.with_name(f"{place.name}.training")
    store_place = store_folder or work / "store"
    check_destination(out)
    for folder in (work, store_place):
        if folder.resolve().is_relative_to(place):
            raise ConfigError(
                f"{folder} lies in {out}, which the pack takes for itself; choose another folder"
            )
    split = split_by_day(clips, settings.seed)
    key = run_key(clips, split, spec, settings)
    with joined_world() as world:
        if world.is_main:
            prepare_work(work, ARCHITECTURES, key, is_resumed=is_resumed, is_restarted=is_restarted)
        with TrainingView(work, is_shown=world.is_main) as view:
            store = _store(clips, store_place, spec, world, view)
            rows = {part: _rows_of(store, split, part) for part in ("train", "validation", "test")}
            trained: dict[str, Trained] = {}
            for network in ARCHITECTURES:
                watcher = view.watcher(network, settings)
                trained[network] = train_network(
                    network, store, rows["train"], rows["validation"], settings, world, work, watcher,
                    run_key=key, is_resumed=is_resumed,
                )  # fmt: skip
    if not world.is_main:
        return None
    pack_name, its_dataset = name or place.name, dataset or DatasetInfo()
    pack = save_pack(out, *_pack_content(pack_name, trained, store, split, rows, settings, its_dataset))
    return export_pack(pack, clips=clips.of_days(split.test))


def _store(clips: ClipSet, folder: Path, spec: FeatureSpec, world: World, view: TrainingView) -> FeatureStore:
    if world.is_main:
        precompute(clips, folder, spec, progress=view.precomputing)
    world.wait()
    return open_store(folder)


def _rows_of(store: FeatureStore, split: Split, part: str) -> NDArray[np.int64]:
    return np.flatnonzero(np.isin(store.days, split.days_of(part))).astype(np.int64)


def _pack_content(
    pack_name: str,
    trained: dict[str, Trained],
    store: FeatureStore,
    split: Split,
    rows: dict[str, NDArray[np.int64]],
    settings: TrainSettings,
    dataset: DatasetInfo,
) -> tuple[Manifest, dict[str, bytes]]:
    states = {name: _stored_state(result.network) for name, result in trained.items()}
    networks = {name: _restored(result.network, states[name]) for name, result in trained.items()}
    scores = [round(result.best.auc, 6) for result in trained.values()]
    weights = weights_from_scores(scores, settings.ensemble)
    logits = {part: _logits(networks, store, rows[part]) for part in ("validation", "test")}
    temperature = fitted_temperature(logits["validation"], store.labels[rows["validation"]], weights)
    metrics = {
        part: _metrics(logits[part], store.labels[rows[part]], list(networks), weights, temperature)
        for part in logits
    }
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        contract_hash=contract_hash(),
        name=pack_name,
        feature_spec=store.spec,
        band_hz=(0.0, store.spec.lowpass_hz or store.spec.mel_fmax_hz),
        networks=tuple(NetworkInfo(name, name, score) for name, score in zip(networks, scores, strict=True)),
        ensemble=Ensemble(settings.ensemble, "validation AUC", weights),
        temperature=temperature,
        split=SplitDays(split.train, split.validation, split.test),
        metrics=metrics,
        provenance=Provenance(
            dataset=dataset.name,
            licence=dataset.licence,
            credit=dataset.credit,
            n_clips=len(store),
            seed=settings.seed,
            settings=asdict(settings)
            | {"clips": store.fingerprint, "best_epochs": {n: r.best.epoch for n, r in trained.items()}},
            software={"python": platform.python_version()}
            | {package: version(package) for package in ("torch", "torchaudio", "numpy")},
        ),
        files={},
    )
    return manifest, {f"{name}.safetensors": safetensors_bytes(state) for name, state in states.items()}


def _stored_state(network: nn.Module) -> dict[str, Tensor]:
    """Matrices and kernels in float16, half the size; vectors (biases, statistics) stay float32."""
    return {
        name: (value.half() if value.is_floating_point() and value.ndim > 1 else value.clone()).contiguous()
        for name, value in network.state_dict().items()
    }


def _restored(network: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    """The network as whoever loads the pack will have it: everything that follows is measured on that."""
    network.load_state_dict(state)
    return network


@torch.inference_mode()
def _logits(
    networks: dict[str, nn.Module], store: FeatureStore, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    columns: list[NDArray[np.float32]] = []
    for network in networks.values():
        parts = [
            network(
                torch.from_numpy(store.images[batch]).float(), torch.from_numpy(store.scalars[batch])
            ).numpy()
            for batch in np.array_split(rows, max(1, len(rows) // 128))
        ]
        columns.append(np.concatenate(parts))
    return np.stack(columns, axis=1)


def _metrics(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    names: list[str],
    weights: tuple[float, ...],
    temperature: float,
) -> dict[str, object]:
    prob = {name: sigmoid(logits[:, column]) for column, name in enumerate(names)}
    prob["ensemble"] = fuse(logits, weights, temperature)
    return {name: binary_metrics(labels, values).to_json() for name, values in prob.items()}
