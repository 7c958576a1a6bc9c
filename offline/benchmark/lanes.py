"""Engines side by side: each hears the same sound through its own live path, some windows of it in turn."""

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from engines.backend import Engine
from engines.contract import RATE_HZ
from engines.manifest import Manifest
from offline.predict import Progress
from realtime.clock import samples_from_seconds
from realtime.pipeline import Pipeline, PipelineSettings
from realtime.sound.sources import ArraySource, Block

Sound = NDArray[np.float32]


class Lane:
    """One engine behind a real `Pipeline`, and the durations of its hops.

    Args:
        name: for people and for the results.
        engine: loaded; the lane does not close it.
        manifest: of the pack that the engine runs.
        settings: of the live path.
        sound: (n,) float32 at 16 kHz, at least a hop; begins anew at its end.
        share: of the windows of a full lane that this one gets, 0-1: less where it is slow.

    Attributes:
        hops_s: seconds of each measured hop, from the block that completes a window to the decision.
        stages_s: seconds of each stage of these hops, by the stage's name, in order of execution.
    """

    def __init__(
        self,
        name: str,
        engine: Engine,
        manifest: Manifest,
        settings: PipelineSettings,
        sound: Sound,
        *,
        share: float = 1.0,
    ) -> None:
        hop_samples = samples_from_seconds(settings.hop_s)
        source = ArraySource(sound, RATE_HZ, block_samples=hop_samples, name=name)
        self.name = name
        self.engine = engine
        self.share = share
        self.hops_s: list[float] = []
        self.stages_s: dict[str, list[float]] = {}
        self._measured_s = 0.0
        self._pipeline = Pipeline(source, engine, manifest, settings)
        self._blocks = looped_blocks(sound, hop_samples)

    @property
    def is_full(self) -> bool:
        """Whether it takes every window."""
        return self.share >= 1.0

    def warm_up(self, n_windows: int) -> None:
        """Hear until there is a whole window, and `n_windows` >= 1 of them; nothing of it is kept."""
        self.engine.warm_up()
        while n_windows:
            n_windows -= len(list(self._pipeline.push(next(self._blocks))))

    def hear(self, *, is_kept: bool = True) -> None:
        """Hear one hop, which completes one window, and keep how long that took."""
        block = next(self._blocks)
        began = time.perf_counter()
        due = self._pipeline.push(block)
        windowed_at = time.perf_counter()
        (step,) = due
        hop_s = time.perf_counter() - began
        if not is_kept:
            return
        self.hops_s.append(hop_s)
        self._measured_s += hop_s
        stages_s = dict(step.stages_s)
        # An engine may have a stage of that name too: the copy into page-locked memory.
        stages_s = {"window": windowed_at - began + stages_s.pop("window", 0.0), **stages_s}
        for stage, stage_s in stages_s.items():
            self.stages_s.setdefault(stage, []).append(stage_s)

    def take_notices(self) -> list[str]:
        """What its engine has to tell, such as that it failed and another one goes on."""
        return self._pipeline.take_notices()

    def done(self, n_windows: float, seconds: float) -> float:
        """How much of what is wanted has been measured, 0-1: of windows or seconds, whichever is behind."""
        by_time = self._measured_s / seconds if seconds > 0 else 1.0
        return min(1.0, len(self.hops_s) / n_windows, by_time)


def interleave(
    lanes: Sequence[Lane],
    *,
    n_windows: int,
    seconds: float,
    seed: int,
    n_in_turn: int = 1,
    n_settling: int = 0,
    pause_s: float = 0.0,
    progress: Progress = lambda _n_done, _n_all: None,
    every_percent: Callable[[], None] = lambda: None,
) -> None:
    """Measure all lanes, warm already, in rounds: some windows each, in an order drawn for every round.

    So whatever the machine does meanwhile, it does to all. What one lane leaves in the caches is not the next
    one's fault: its first windows after another lane may be left out. The rounds end when every full lane has
    heard `n_windows` and for `seconds`; the others hear their share of `n_windows`, spread over that time.

    Args:
        lanes: at least one of them full.
        n_windows: at least 1.
        seconds: measured time, without warm-up and pauses.
        seed: of the order.
        n_in_turn: windows of a lane in a round.
        n_settling: windows that a lane hears before those, and that are not kept, after another lane.
        pause_s: before a hop of another lane than the one before, whose threads come to rest meanwhile.
        progress: called with hundredths done and 100.
        every_percent: called as often.
    """
    random = np.random.default_rng(seed)
    full = [lane for lane in lanes if lane.is_full]
    told = -1
    due = list(lanes)
    before: Lane | None = None
    while due:
        for index in random.permutation(len(due)):
            lane = due[index]
            if before not in (None, lane):
                time.sleep(pause_s)
                for _ in range(n_settling):
                    lane.hear(is_kept=False)
            before = lane
            for _ in range(n_in_turn):
                lane.hear()
                if lane.done(lane.share * n_windows, seconds if lane.is_full else 0.0) >= 1:
                    break
        done = min(lane.done(n_windows, seconds) for lane in full)
        due = [
            lane
            for lane in lanes
            if (done < 1 if lane.is_full else len(lane.hops_s) < lane.share * n_windows * done)
        ]
        if int(100 * done) > told:
            told = int(100 * done)
            progress(told, 100)
            every_percent()


def looped_blocks(sound: Sound, block_samples: int, first: int = 0) -> Iterator[Block]:
    """`sound` for ever, mono, from its sample `first` on, in blocks of one length; their index goes on."""
    start = 0
    around = np.concatenate([sound, np.resize(sound, block_samples)])
    while True:
        at = (first + start) % len(sound)
        yield Block(start, around[at : at + block_samples, np.newaxis])
        start += block_samples
