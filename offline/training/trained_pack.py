"""What a pack holds after a training: manifest, weights, calibration and the figures of the clips."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from engines.contract import contract_hash
from engines.ensemble import fuse, network_probs, weights_from_scores
from engines.manifest import SCHEMA_VERSION, Ensemble, Manifest, NetworkInfo, Provenance, SplitDays
from offline.metrics import binary_metrics
from offline.split import Split
from offline.store import FeatureStore
from offline.training.calibration import fitted_temperature
from offline.training.lessons import Examples, Lessons
from offline.training.trainer import Trained
from offline.versions import software_versions


@dataclass(frozen=True)
class DatasetInfo:
    """What the manifest says of the clips; whoever ships a pack owes their authors the credit."""

    name: str = "not stated"
    licence: str = "not stated"
    credit: str = "not stated"


def rows_of(store: FeatureStore, split: Split, part: str) -> NDArray[np.int64]:
    """Rows of a store whose day belongs to a part of the split."""
    return np.flatnonzero(np.isin(store.days, split.days_of(part))).astype(np.int64)


def pack_content(
    name: str,
    trained: dict[str, Trained],
    lessons: Lessons,
    store: FeatureStore,
    split: Split,
    recipe: dict[str, Any],
    dataset: DatasetInfo,
) -> tuple[Manifest, dict[str, bytes]]:
    """Manifest and weight files of a pack.

    The temperature is fitted to what chose the best epochs, of live windows those that are no clips; the
    metrics are those of the clips.

    Args:
        name: of the pack.
        trained: the networks, by name.
        lessons: they were trained on.
        store: features of all clips.
        split: of their days.
        recipe: settings of the training, as plain values; `seed` and `ensemble` are needed.
        dataset: what the clips are.
    """
    states = {name: _stored_state(result.network) for name, result in trained.items()}
    networks = {name: _restored(result.network, states[name]) for name, result in trained.items()}
    scores = [round(result.best.auc, 6) for result in trained.values()]
    weights = weights_from_scores(scores, recipe["ensemble"])
    # Where presence is learned, only windows of streams tell it; clips would calibrate for clips.
    has_phase = lessons.validation.weights.min(axis=1) > 0
    temperature = fitted_temperature(
        _logits(networks, lessons.validation)[has_phase],
        lessons.validation.targets[has_phase, 0].astype(np.int64),
        weights,
    )
    metrics: dict[str, Any] = {}
    for part in ("validation", "test"):
        examples = Examples.of_clips(store, rows_of(store, split, part))
        labels = store.labels[examples.rows]
        metrics[part] = _metrics(_logits(networks, examples), labels, list(networks), weights, temperature)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        contract_hash=contract_hash(),
        name=name,
        feature_spec=store.spec,
        band_hz=(0.0, store.spec.lowpass_hz or store.spec.mel_fmax_hz),
        networks=tuple(
            NetworkInfo(network, network, score, lessons.n_outputs)
            for network, score in zip(networks, scores, strict=True)
        ),
        ensemble=Ensemble(recipe["ensemble"], "validation AUC", weights),
        temperature=temperature,
        split=SplitDays(split.train, split.validation, split.test),
        metrics=metrics,
        provenance=Provenance(
            dataset=dataset.name,
            licence=dataset.licence,
            credit=dataset.credit,
            n_clips=len(store),
            seed=recipe["seed"],
            settings=recipe
            | {"clips": store.fingerprint, "best_epochs": {n: r.best.epoch for n, r in trained.items()}},
            software=software_versions(("torch", "torchaudio", "numpy")),
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
def _logits(networks: dict[str, nn.Module], examples: Examples) -> NDArray[np.float32]:
    """Of the phase, (N, n_networks)."""
    columns: list[NDArray[np.float32]] = []
    for network in networks.values():
        parts = [
            network(
                torch.from_numpy(examples.images[rows]).float(), torch.from_numpy(examples.scalars[rows])
            ).reshape(len(rows), -1)[:, 0]
            for rows in np.array_split(examples.rows, max(1, len(examples) // 128))
        ]
        columns.append(torch.cat(parts).numpy())
    return np.stack(columns, axis=1)


def _metrics(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    names: list[str],
    weights: tuple[float, ...],
    temperature: float,
) -> dict[str, object]:
    prob = dict(zip(names, network_probs(logits, temperature).T, strict=True))
    prob["ensemble"] = fuse(logits, weights, temperature)
    return {name: binary_metrics(labels, values).to_json() for name, values in prob.items()}
