"""Train one network on a feature store: the loop, its schedule, its checkpoints."""

import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engines.errors import ConfigError, OutputError
from engines.torch_backend import ARCHITECTURES
from offline.augment import Batch, mixed
from offline.checkpoint import load_checkpoint, save_checkpoint
from offline.distributed import World
from offline.metrics import binary_metrics
from offline.resume import RunKey, checkpoint_path, require_same_run
from offline.settings import Precision, TrainSettings
from offline.store import FeatureStore


@dataclass(frozen=True)
class EpochRecord:
    """One row of the history: figures of the averaged weights on the validation days."""

    epoch: int
    train_loss: float
    validation_loss: float
    accuracy: float
    auc: float
    learning_rate: float
    seconds: float
    is_best: bool


@dataclass(frozen=True)
class Trained:
    """The outcome: the best averaged weights (on the CPU, evaluation mode) and how they came about."""

    network: nn.Module
    best: EpochRecord
    history: tuple[EpochRecord, ...]


@dataclass(frozen=True)
class Watcher:
    """Called as training goes on: after every step (done, all), and after every epoch."""

    step: Callable[[int, int], None]
    epoch: Callable[[EpochRecord], None]


def train_network(
    architecture: str,
    store: FeatureStore,
    train_rows: NDArray[np.int64],
    validation_rows: NDArray[np.int64],
    settings: TrainSettings,
    world: World,
    folder: Path,
    watcher: Watcher,
    *,
    run_key: RunKey,
    is_resumed: bool = False,
) -> Trained:
    """Train one network; after every epoch everything is in `folder/<architecture>.safetensors`.

    The order of the clips, the mixing and the dropout of an epoch depend on the seed, the epoch and the
    process alone, so that a resumed run is the run that was never interrupted.

    Args:
        architecture: a key of `ARCHITECTURES`.
        store: features and labels.
        train_rows: rows of `store` to learn from.
        validation_rows: rows of `store` that decide which epoch is the best, and when to stop.
        settings: of the training.
        world: the processes that train together; `folder` and the store are the same for all of them.
        folder: checkpoints and histories.
        watcher: told how it goes.
        run_key: kept in the checkpoint; one that has another key is not gone on with.
        is_resumed: go on from the checkpoint if there is one, instead of writing over it.

    Raises:
        ConfigError: the batches are too small for so many processes, or the training diverged.
        LabelsError: the checkpoint cannot be resumed.
        OutputError: a checkpoint cannot be written.
    """
    run = _Run(architecture, store, train_rows, settings, world)
    checkpoint = checkpoint_path(folder, architecture)
    modules = {"network": run.network, "average": run.average, "best": run.best}
    history: list[EpochRecord] = []
    if is_resumed and checkpoint.is_file():
        require_same_run(checkpoint, run_key)
        values = load_checkpoint(checkpoint, modules, run.optimizer)
        history = [EpochRecord(**record) for record in values["history"]]
    best = max(history, key=lambda record: record.auc, default=None)
    for epoch in range(len(history), settings.epochs):
        if best is not None and epoch - best.epoch > settings.patience:
            break
        started = time.monotonic()
        train_loss = run.epoch(epoch, watcher.step)
        prob, loss = run.predictions(validation_rows)
        if not math.isfinite(train_loss + loss):
            raise ConfigError(
                f"the training of {architecture} diverged in epoch {epoch + 1}: its loss is no number. "
                "Begin anew with --restart and a lower --learning-rate"
            )
        scores = binary_metrics(store.labels[validation_rows], prob)
        auc = world.agreed(0.5 if math.isnan(scores.auc) else scores.auc)
        is_best = best is None or auc > best.auc
        record = EpochRecord(
            epoch,
            train_loss,
            loss,
            scores.accuracy,
            auc,
            run.optimizer.param_groups[0]["lr"],
            time.monotonic() - started,
            is_best,
        )
        history.append(record)
        if is_best:
            best = record
            run.best.load_state_dict(run.average.state_dict())
        if world.is_main:
            values = {"run": run_key, "history": [asdict(row) for row in history]}
            save_checkpoint(checkpoint, modules, run.optimizer, values)
            _write_history(folder / f"{architecture}.history.json", settings, history)
        world.wait()
        watcher.epoch(record)
    assert best is not None
    return Trained(run.best.eval().cpu(), best, tuple(history))


class _Run:
    """The live objects of a training."""

    def __init__(
        self,
        architecture: str,
        store: FeatureStore,
        rows: NDArray[np.int64],
        settings: TrainSettings,
        world: World,
    ) -> None:
        if min(settings.batch_size, len(rows)) < 2 * world.size:
            raise ConfigError(
                f"every process needs two clips a step for its batch statistics: a batch size of "
                f"{settings.batch_size} and {len(rows)} training clips are too few for {world.size} processes"
            )
        torch.manual_seed(settings.seed)
        network = ARCHITECTURES[architecture](settings.dropout)
        network.standardise.fit(torch.from_numpy(store.scalars[rows]))
        self.network: nn.Module = network.to(world.device)
        # Channels-last is the layout of the fast convolutions, on a CPU and on tensor cores.
        nn.utils.convert_conv2d_weight_memory_format(self.network, torch.channels_last)
        self.average = copy.deepcopy(self.network).eval()
        self.best = copy.deepcopy(self.average)
        self.optimizer = _optimizer(self.network, settings)
        self._wrapped = world.wrapped(self.network)
        self._store, self._rows, self._settings, self._world = store, rows, settings, world
        self._precision = resolved_precision(settings.precision, world.device)
        self._n_steps = max(1, len(rows) // settings.batch_size)

    def epoch(self, epoch: int, tell: Callable[[int, int], None]) -> float:
        """One pass over the training rows; the mean loss."""
        settings = self._settings
        torch.manual_seed(_seed_of(settings.seed, epoch, self._world.rank))
        generator = torch.Generator().manual_seed(_seed_of(settings.seed, epoch, self._world.rank))
        self._wrapped.train()
        losses: list[float] = []
        for step, rows in enumerate(self._batches(epoch)):
            batch = self._batch(rows)
            if epoch >= settings.warmup_epochs:
                batch = mixed(batch, settings.cutmix_share, settings.mixup_share, generator)
            at_step = epoch * self._n_steps + step
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate_at(at_step, self._n_steps, settings)
            losses.append(self._optimise(batch))
            update_average(self.average, self.network, at_step, settings.ema_decay)
            tell(step + 1, self._n_steps)
        return float(np.mean(losses))

    @torch.no_grad()
    def predictions(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], float]:
        """P(exhale) by the averaged weights, in order of `rows`, and the mean loss."""
        logits: list[Tensor] = []
        targets: list[Tensor] = []
        for first in range(0, len(rows), 128):
            batch = self._batch(rows[first : first + 128])
            with self._autocast():
                logits.append(self.average(batch.images, batch.scalars).float())
            targets.append(batch.targets)
        every = torch.cat(logits)
        loss = nn.functional.binary_cross_entropy_with_logits(every, torch.cat(targets))
        return every.sigmoid().cpu().numpy(), float(loss)

    def _optimise(self, batch: Batch) -> float:
        with self._autocast():
            logits = self._wrapped(batch.images, batch.scalars)
        loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), batch.targets)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), self._settings.max_grad_norm)
        self.optimizer.step()
        return float(loss.detach())

    def _batches(self, epoch: int) -> Iterator[NDArray[np.int64]]:
        """Rows of this process, step by step; all processes walk through the same shuffled order."""
        order = torch.Generator().manual_seed(_seed_of(self._settings.seed, epoch, rank=0))
        shuffled = self._rows[torch.randperm(len(self._rows), generator=order).numpy()]
        for step in range(self._n_steps):
            first = step * self._settings.batch_size
            together = shuffled[first : first + self._settings.batch_size]
            yield together[self._world.rank :: self._world.size]

    def _batch(self, rows: NDArray[np.int64]) -> Batch:
        images = torch.from_numpy(self._store.images[rows]).to(self._world.device)
        return Batch(
            images.float().contiguous(memory_format=torch.channels_last),
            torch.from_numpy(self._store.scalars[rows]).to(self._world.device),
            torch.from_numpy(self._store.labels[rows]).to(self._world.device, torch.float32),
        )

    def _autocast(self) -> AbstractContextManager[object]:
        if self._precision == "fp32":
            return nullcontext()
        return torch.autocast(self._world.device.type, torch.bfloat16)


def learning_rate_at(step: int, n_steps_per_epoch: int, settings: TrainSettings) -> float:
    """Linear warm-up to the peak, then half a cosine down, which would reach zero a step after the last."""
    n_warmup = settings.warmup_epochs * n_steps_per_epoch
    n_all = settings.epochs * n_steps_per_epoch
    if step < n_warmup:
        return settings.learning_rate * (step + 1) / n_warmup
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - n_warmup) / (n_all - n_warmup)))


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    """Move the running average of weights and statistics towards the network; quicker in the first steps."""
    share = 1.0 - min(decay, (1 + step) / (10 + step))
    current = network.state_dict()
    for name, value in average.state_dict().items():
        if value.is_floating_point() and not name.startswith("standardise."):
            value.lerp_(current[name], share)
        else:
            value.copy_(current[name])


def resolved_precision(wanted: Precision, device: torch.device) -> Precision:
    """`auto` is bf16 where the device computes in it natively, else fp32."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() else "fp32"


def _optimizer(network: nn.Module, settings: TrainSettings) -> torch.optim.AdamW:
    decayed = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate)


def _seed_of(seed: int, epoch: int, rank: int) -> int:
    return int(np.random.SeedSequence([seed, epoch, rank]).generate_state(1)[0])


def _write_history(path: Path, settings: TrainSettings, history: list[EpochRecord]) -> None:
    content: dict[str, Any] = {"settings": asdict(settings), "epochs": [asdict(row) for row in history]}
    try:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"the history {path} could not be written: {error.strerror or error}") from error
