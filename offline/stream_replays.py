"""Many recordings through the live path, in this process or in several."""

import functools
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import TracebackType
from typing import Self

from engines.backend import Engine
from engines.errors import EngineError
from engines.pack import Pack, load_pack
from offline.workers import start_worker
from realtime.engine import open_engine
from realtime.pipeline import PipelineSettings
from realtime.replay import Replay, replay


class Replayer:
    """Replays recordings with one engine a process; a context manager. `choice` says which engine, and why.

    Args:
        pack: the networks.
        settings: of the live path.
        engine: `auto` or the name of a back end.
        jobs: processes; 1 is this one.

    Raises:
        ConfigError: `engine` is no engine.
        EngineError: it cannot run here.
    """

    def __init__(self, pack: Pack, settings: PipelineSettings, engine: str = "auto", jobs: int = 1) -> None:
        self._pack = pack
        self._settings = settings
        self._jobs = jobs
        self._engine, self.choice = open_engine(pack, engine)

    def replays(self, sounds: Sequence[Path]) -> Iterator[Replay]:
        """What the live path shows of each recording, in their order.

        Raises:
            AudioError: a recording cannot be heard.
            ConfigError: a setting cannot be used.
            EngineError: the engine failed, or a process died.
        """
        jobs = min(self._jobs, len(sounds))
        if jobs <= 1:
            for sound in sounds:
                yield replay(sound, self._engine, self._pack.manifest, self._settings)
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

    def __enter__(self) -> Self:
        """Return the replayer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the engine."""
        self._engine.close()


def _replay_in_worker(pack_path: Path, engine_name: str, settings: PipelineSettings, sound: Path) -> Replay:
    pack, engine = _engine_of_process(pack_path, engine_name)
    return replay(sound, engine, pack.manifest, settings)


@functools.cache
def _engine_of_process(pack_path: Path, engine_name: str) -> tuple[Pack, Engine]:
    pack = load_pack(pack_path)
    # The processes share the cores already.
    return pack, open_engine(pack, engine_name, 1)[0]
