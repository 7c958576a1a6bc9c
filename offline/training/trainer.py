"""Train one network on its lessons: the loop, its schedule, its checkpoints."""

import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engines.errors import ConfigError, OutputError
from engines.torch_backend import ARCHITECTURES
from offline.training.augment import Batch, mixed, styled
from offline.training.checkpoint import load_checkpoint, save_checkpoint
from offline.training.distributed import World
from offline.training.judge import Judge, autocast, batch_of, loss_of
from offline.training.lessons import Lessons
from offline.training.optimisation import learning_rate_at, optimizer_of, update_average
from offline.training.resume import RunKey, checkpoint_path, require_same_run
from offline.training.settings import TrainSettings


@dataclass(frozen=True)
class EpochRecord:
    """One row of the history: figures of the averaged weights on the validation days.

    `is_best` says whether its weights are those that were kept.
    """

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
    lessons: Lessons,
    settings: TrainSettings,
    world: World,
    folder: Path,
    watcher: Watcher,
    *,
    run_key: RunKey,
    first: dict[str, Tensor] | None = None,
    is_resumed: bool = False,
) -> Trained:
    """Train one network; after every epoch everything is in `folder/<architecture>.safetensors`.

    The order of the clips, the mixing and the dropout of an epoch depend on the seed, the architecture, the
    epoch and the process alone: a resumed run is the run that was never interrupted, and two networks, whose
    errors should differ, do not see the same mixtures.

    Args:
        architecture: a key of `ARCHITECTURES`.
        lessons: what to learn, and what decides which epoch is kept, and when to stop.
        settings: of the training.
        world: the processes that train together; `folder` and the lessons are the same for all of them.
        folder: checkpoints and histories.
        watcher: told how it goes.
        run_key: kept in the checkpoint; one that has another key is not gone on with.
        first: weights to begin with; what they lack, such as a second output, is left as it is drawn.
        is_resumed: go on from the checkpoint if there is one, instead of writing over it.

    Raises:
        ConfigError: the batches are too small for so many processes, or the training diverged.
        LabelsError: the checkpoint cannot be resumed.
        OutputError: a checkpoint cannot be written.
    """
    run = _Run(architecture, lessons, settings, world, first or {})
    checkpoint = checkpoint_path(folder, architecture)
    modules = {"network": run.network, "average": run.average, "best": run.best}
    history: list[EpochRecord] = []
    if is_resumed and checkpoint.is_file():
        require_same_run(checkpoint, run_key)
        values = load_checkpoint(checkpoint, modules, run.optimizer)
        history = [EpochRecord(**record) for record in values["history"]]
    best = next((record for record in reversed(history) if record.is_best), None)
    for epoch in range(len(history), settings.epochs):
        if best is not None and epoch - best.epoch > settings.patience:
            break
        started = time.monotonic()
        train_loss = run.epoch(epoch, watcher.step)
        prob, loss = run.judge.predictions(run.average)
        if not math.isfinite(train_loss + loss):
            raise ConfigError(
                f"the training of {architecture} diverged in epoch {epoch + 1}: its loss is no number. "
                "Begin anew with --restart and a lower --learning-rate"
            )
        accuracy, auc = run.judge.scores(prob)
        is_best = best is None or settings.keeps_the_last or auc > best.auc
        record = EpochRecord(
            epoch,
            train_loss,
            loss,
            accuracy,
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


def kept_network(network: nn.Module, lessons: Lessons, settings: TrainSettings, world: World) -> Trained:
    """A network that learns nothing and stays as it is, judged like one that was trained; its epoch is -1.

    Args:
        network: in evaluation mode, with as many outputs as the lessons have.
        lessons: what it is judged by.
        settings: of the training that it takes no part in.
        world: the processes that train together.
    """
    judge = Judge(lessons.validation, settings, world)
    started = time.monotonic()
    prob, loss = judge.predictions(network.to(world.device))
    record = EpochRecord(-1, math.nan, loss, *judge.scores(prob), 0.0, time.monotonic() - started, True)
    return Trained(network.eval().cpu(), record, ())


class _Run:
    """The live objects of a training."""

    def __init__(
        self,
        architecture: str,
        lessons: Lessons,
        settings: TrainSettings,
        world: World,
        first: dict[str, Tensor],
    ) -> None:
        examples = lessons.of_epoch(0)
        if min(settings.batch_size, len(examples)) < 2 * world.size:
            raise ConfigError(
                f"every process needs two examples a step for its batch statistics: a batch size of "
                f"{settings.batch_size} and {len(examples)} training examples are too few for "
                f"{world.size} processes"
            )
        self._architecture = architecture
        torch.manual_seed(settings.seed)
        network = ARCHITECTURES[architecture](settings.dropout, lessons.n_outputs)
        _begin_with(network, first)
        network.standardise.fit(torch.from_numpy(examples.scalars[examples.rows]))
        self.network: nn.Module = network.to(world.device)
        # Channels-last is the layout of the fast convolutions, on a CPU and on tensor cores.
        nn.utils.convert_conv2d_weight_memory_format(self.network, torch.channels_last)
        self.average = copy.deepcopy(self.network).eval()
        self.best = copy.deepcopy(self.average)
        self.optimizer = optimizer_of(self.network, settings)
        self._wrapped = world.wrapped(self.network)
        self._lessons, self._settings, self._world = lessons, settings, world
        self.judge = Judge(lessons.validation, settings, world)
        self._n_steps = max(1, len(examples) // settings.batch_size)

    def epoch(self, epoch: int, tell: Callable[[int, int], None]) -> float:
        """One pass over the examples of an epoch; the mean loss."""
        settings = self._settings
        examples = self._lessons.of_epoch(epoch)
        torch.manual_seed(self._seed_of(epoch, self._world.rank))
        generator = torch.Generator().manual_seed(self._seed_of(epoch, self._world.rank))
        self._wrapped.train()
        losses: list[float] = []
        for step, chosen in enumerate(self._batches(epoch)):
            batch = batch_of(examples, chosen, self._world.device)
            at_step = epoch * self._n_steps + step
            if at_step >= settings.warmup_epochs * self._n_steps:
                batch = styled(batch, settings.mixstyle_share, generator)
                batch = mixed(batch, settings.cutmix_share, settings.mixup_share, generator)
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate_at(at_step, self._n_steps, settings)
            losses.append(self._optimise(batch))
            update_average(self.average, self.network, at_step, settings.ema_decay)
            tell(step + 1, self._n_steps)
        return float(np.mean(losses))

    def _optimise(self, batch: Batch) -> float:
        with autocast(self._settings.precision, self._world.device):
            logits = self._wrapped(batch.images, batch.scalars)
        loss = loss_of(logits.float(), batch)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), self._settings.max_grad_norm)
        self.optimizer.step()
        return float(loss.detach())

    def _batches(self, epoch: int) -> Iterator[NDArray[np.int64]]:
        """Places of this process's examples, by step; all processes walk through the same shuffled order."""
        order = torch.Generator().manual_seed(self._seed_of(epoch, rank=0))
        n_examples = len(self._lessons.of_epoch(epoch))
        shuffled = torch.randperm(n_examples, generator=order).numpy()
        for step in range(self._n_steps):
            first = step * self._settings.batch_size
            together = shuffled[first : first + self._settings.batch_size]
            yield together[self._world.rank :: self._world.size]

    def _seed_of(self, epoch: int, rank: int) -> int:
        entropy = [self._settings.seed, *self._architecture.encode(), epoch, rank]
        return int(np.random.SeedSequence(entropy).generate_state(1)[0])


@torch.no_grad()
def _begin_with(network: nn.Module, first: dict[str, Tensor]) -> None:
    """Copy weights, output by output where there are more outputs now."""
    for name, value in network.state_dict().items():
        if name in first:
            shared = tuple(slice(0, min(sizes)) for sizes in zip(value.shape, first[name].shape, strict=True))
            value[shared] = first[name][shared].to(value.dtype)


def _write_history(path: Path, settings: TrainSettings, history: list[EpochRecord]) -> None:
    content: dict[str, Any] = {"settings": asdict(settings), "epochs": [asdict(row) for row in history]}
    try:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"the history {path} could not be written: {error.strerror or error}") from error
