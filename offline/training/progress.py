"""What a person sees of a training: a table of the epochs, a progress bar, TensorBoard."""

from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from offline.progress_lines import ProgressLines
from offline.training.resume import TENSORBOARD
from offline.training.settings import TrainSettings
from offline.training.trainer import EpochRecord, Watcher

ROWS_SHOWN = 12


class TrainingView:
    """Shows a training on stderr and writes it to `folder/tensorboard`; a context manager.

    Where stderr is no terminal, a plain line an epoch is printed instead of the live table, and one a minute
    of how far it is.

    Args:
        folder: work folder of the training.
        is_shown: False in processes that only help.
    """

    def __init__(self, folder: Path, *, is_shown: bool) -> None:
        self._folder = folder
        self._is_shown = is_shown
        self._console = Console(stderr=True, quiet=not is_shown)
        self._progress = Progress(
            TextColumn("{task.description:>12}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._lines = ProgressLines(partial(self._console.print, soft_wrap=True, highlight=False))
        self._rows: list[tuple[str, EpochRecord]] = []
        self._writer: Any = None
        self._live: Live | None = None

    def __enter__(self) -> Self:
        """Start showing."""
        if not self._is_shown:
            return self
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(self._folder / TENSORBOARD)
        if self._console.is_terminal:
            self._live = Live(self._screen(), console=self._console, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop showing; the last state of the table stays."""
        if self._live is not None:
            self._live.stop()
        if self._writer is not None:
            self._writer.close()

    def precomputing(self, n_done: int, n_clips: int) -> None:
        """Progress of the feature store."""
        self._advance("features", n_done, n_clips)

    def drawing_windows(self, n_done: int, n_windows: int) -> None:
        """Progress of the live windows of an epoch."""
        self._advance("live windows", n_done, n_windows)

    def watcher(self, name: str, settings: TrainSettings) -> Watcher:
        """Callbacks for the training of the network `name`."""

        def step(n_done: int, n_steps: int) -> None:
            self._advance(f"{name} epoch", n_done, n_steps)

        def epoch(record: EpochRecord) -> None:
            self._rows.append((name, record))
            self._write(name, record)
            if self._live is not None:
                self._live.update(self._screen())
            else:
                self._console.print(
                    f"{name} epoch {record.epoch + 1}/{settings.epochs}: train loss {record.train_loss:.4f}, "
                    f"validation loss {record.validation_loss:.4f}, accuracy {record.accuracy:.4f}, "
                    f"AUC {record.auc:.4f}{' (best)' if record.is_best else ''}, {record.seconds:.0f} s",
                    soft_wrap=True,
                )

        return Watcher(step, epoch)

    def _advance(self, description: str, n_done: int, n_all: int) -> None:
        if self._live is None:
            self._lines.tell(description, n_done, n_all)
            return
        task = next((task for task in self._progress.tasks if task.description == description), None)
        if task is None:
            for old in self._progress.task_ids:
                self._progress.remove_task(old)
            self._progress.add_task(description, total=n_all, completed=n_done)
        elif n_done < task.completed:
            self._progress.reset(task.id, total=n_all, completed=n_done)
        else:
            self._progress.update(task.id, total=n_all, completed=n_done)

    def _write(self, name: str, record: EpochRecord) -> None:
        if self._writer is None:
            return
        for figure in ("train_loss", "validation_loss", "accuracy", "auc", "learning_rate", "seconds"):
            self._writer.add_scalar(f"{name}/{figure}", getattr(record, figure), record.epoch)

    def _screen(self) -> Group:
        table = Table("network", "epoch", "train loss", "valid. loss", "accuracy", "AUC", "rate", "time")
        for name, record in self._rows[-ROWS_SHOWN:]:
            table.add_row(
                name,
                str(record.epoch + 1),
                f"{record.train_loss:.4f}",
                f"{record.validation_loss:.4f}",
                f"{record.accuracy:.4f}",
                f"{record.auc:.4f}{' *' if record.is_best else '  '}",
                f"{record.learning_rate:.1e}",
                f"{record.seconds:.0f} s",
                style="bold" if record.is_best else "",
            )
        return Group(table, self._progress)
