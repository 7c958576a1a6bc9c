"""Many recordings through the live path, with one or several settings, in this process or in several."""

import functools
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.backend import Engine, Inference
from engines.closing import Closing
from engines.errors import EngineError
from engines.pack import Pack, load_pack
from offline.workers import start_worker
from realtime.engine import open_engine
from realtime.pipeline import PipelineSettings
from realtime.replay import Replay, replay


class Replayer(Closing):
    """Replays recordings with one engine a process; a context manager. `choice` says which engine, and why.

    Args:
        pack: the networks.
        settings: of the live path; with several, each recording is heard with each, and inferred once.
        engine: `auto` or the name of a back end.
        jobs: processes; 1 is this one.

    Raises:
        ConfigError: `engine` is no engine.
        EngineError: it cannot run here.
    """

    def __init__(
        self, pack: Pack, settings: tuple[PipelineSettings, ...], engine: str = "auto", jobs: int = 1
    ) -> None:
        self._pack = pack
        self._settings = settings
        self._jobs = jobs
        self._engine, self.choice = open_engine(pack, engine)

    def replays(self, sounds: Sequence[Path]) -> Iterator[tuple[Replay, ...]]:
        """What the live path shows of each recording, in their order, with each of the settings.

        Raises:
            AudioError: a recording cannot be heard.
            ConfigError: a setting cannot be used.
            EngineError: the engine failed, or a process died.
        """
        jobs = min(self._jobs, len(sounds))
        if jobs <= 1:
            for sound in sounds:
                yield _replays(sound, self._engine, self._pack, self._settings)
            return
        # Spawned, not forked: a forked torch or OpenMP may hang.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=start_worker)
        run = functools.partial(_replay_in_worker, self._pack.path, self.choice.name, self._settings)
        try:
            yield from pool.map(run, sounds)
        except BrokenProcessPool as error:
            raise EngineError(
                "a process that replayed died, perhaps for want of memory; use --jobs 1"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()


class _Remembering(Closing):
    """An engine that answers the same windows a second time without running anything."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self._engine = engine
        self._answers: list[Inference] = []
        self._n_asked = 0

    def start_again(self) -> None:
        """The windows come again from the first one."""
        self._n_asked = 0

    def infer(self, windows: NDArray[np.float32]) -> Inference:
        """Answer from memory, or else for the first time."""
        if self._n_asked == len(self._answers):
            self._answers.append(self._engine.infer(windows))
        self._n_asked += 1
        return self._answers[self._n_asked - 1]

    def warm_up(self) -> None:
        """Nothing to do: the engine is warm."""

    def close(self) -> None:
        """The engine belongs to somebody else."""


def _replays(
    sound: Path, engine: Engine, pack: Pack, settings: tuple[PipelineSettings, ...]
) -> tuple[Replay, ...]:
    remembering = _Remembering(engine)
    found: list[Replay] = []
    for one in settings:
        remembering.start_again()
        found.append(replay(sound, remembering, pack.manifest, one))
    return tuple(found)


def _replay_in_worker(
    pack_path: Path, engine_name: str, settings: tuple[PipelineSettings, ...], sound: Path
) -> tuple[Replay, ...]:
    pack, engine = _engine_of_process(pack_path, engine_name)
    return _replays(sound, engine, pack, settings)


@functools.cache
def _engine_of_process(pack_path: Path, engine_name: str) -> tuple[Pack, Engine]:
    pack = load_pack(pack_path)
    # The processes share the cores already.
    return pack, open_engine(pack, engine_name, 1)[0]
