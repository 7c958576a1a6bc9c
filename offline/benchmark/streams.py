"""How many live streams one machine carries: all their windows are due at once, every hop."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.backend import Engine, Inference
from engines.closing import Closing
from engines.contract import RATE_HZ, WINDOW_SAMPLES
from engines.errors import EngineError
from engines.manifest import Manifest
from offline.benchmark.lanes import Sound, looped_blocks
from offline.benchmark.statistics import Distribution, distribution_from_durations
from realtime.clock import samples_from_seconds
from realtime.pipeline import Pipeline, PipelineSettings
from realtime.sound.pacing import REAL_CLOCK, WallClock
from realtime.sound.sources import ArraySource

N_MOST_STREAMS = 4096
_N_WARM_UP = 3


@dataclass(frozen=True)
class StreamTrial:
    """What came of carrying a number of streams for a while.

    Attributes:
        n_streams: carried together.
        n_hops: times that all their windows were due and were answered.
        n_dropped: windows that were not answered, because those of an earlier hop took until after the next.
        batch: of the time from all windows being due to all decisions, per hop.
    """

    n_streams: int
    n_hops: int
    n_dropped: int
    batch: Distribution

    @property
    def is_carried(self) -> bool:
        """Whether not one window was dropped."""
        return self.n_dropped == 0

    def to_json(self) -> dict[str, Any]:
        """The same by name."""
        return {
            "streams": self.n_streams,
            "hops": self.n_hops,
            "dropped_windows": self.n_dropped,
            "is_carried": self.is_carried,
            "batch_ms": self.batch.to_json(),
        }


class StreamBank:
    """Streams around one engine: one inference for the newest windows of all, a real `Pipeline` for each.

    Args:
        n_streams: at least 1.
        engine: loaded; the bank does not close it.
        manifest: of the pack that the engine runs.
        settings: of every stream's live path.
        sound: (n,) float32 at 16 kHz, a window at least; every stream hears it from another place on.
    """

    def __init__(
        self, n_streams: int, engine: Engine, manifest: Manifest, settings: PipelineSettings, sound: Sound
    ) -> None:
        self._hop_samples = samples_from_seconds(settings.hop_s)
        self._engine = engine
        self._sound = np.concatenate([sound, np.resize(sound, WINDOW_SAMPLES)])
        self._n_sound = len(sound)
        self._firsts = [stream * len(sound) // n_streams for stream in range(n_streams)]
        self._answers = [_Answer() for _ in self._firsts]
        source = ArraySource(sound, RATE_HZ, block_samples=self._hop_samples)
        self._pipelines = [Pipeline(source, answer, manifest, settings) for answer in self._answers]
        self._blocks = [looped_blocks(sound, self._hop_samples, first) for first in self._firsts]
        self._heard_samples = 0
        for _ in range(-(-WINDOW_SAMPLES // self._hop_samples) - 1):
            self._push()

    def hear(self) -> None:
        """One hop of every stream: a window of each through the engine, as one batch, and to a decision.

        Raises:
            EngineError: the engine failed.
        """
        # The end of the window that this hop completes, as `realtime.window` has it.
        n_before = (self._heard_samples + self._hop_samples - WINDOW_SAMPLES) // self._hop_samples
        start = n_before * self._hop_samples
        places = [(first + start) % self._n_sound for first in self._firsts]
        windows = np.stack([self._sound[place : place + WINDOW_SAMPLES] for place in places])
        inference = self._engine.infer(windows)
        for row, answer in enumerate(self._answers):
            answer.inference = _row(inference, row)
        self._push()

    def _push(self) -> None:
        for pipeline, blocks in zip(self._pipelines, self._blocks, strict=True):
            for _ in pipeline.push(next(blocks)):
                pass
        self._heard_samples += self._hop_samples


def try_streams(
    n_streams: int,
    engine: Engine,
    manifest: Manifest,
    settings: PipelineSettings,
    sound: Sound,
    seconds: float,
    clock: WallClock = REAL_CLOCK,
) -> StreamTrial:
    """Carry streams in real time; over after `seconds`, or after the first dropped window.

    Raises:
        EngineError: the engine failed.
    """
    bank = StreamBank(n_streams, engine, manifest, settings, sound)
    for _ in range(_N_WARM_UP):
        bank.hear()
    n_hops = max(1, round(seconds / settings.hop_s))
    batches_s: list[float] = []
    n_dropped = 0
    origin_s = clock.now_s() + settings.hop_s
    for hop in range(n_hops):
        due_s = origin_s + hop * settings.hop_s
        while (remaining_s := due_s - clock.now_s()) > 0:
            clock.sleep_s(remaining_s)
        bank.hear()
        late_s = clock.now_s() - due_s
        batches_s.append(late_s)
        if late_s > settings.hop_s:
            n_dropped = n_streams * int(late_s / settings.hop_s)
            break
    return StreamTrial(n_streams, len(batches_s), n_dropped, distribution_from_durations(batches_s))


def find_most_streams(
    attempt: Callable[[int], StreamTrial], confirm: Callable[[int], StreamTrial], n_most: int = N_MOST_STREAMS
) -> list[StreamTrial]:
    """Find how many streams are carried: doubled until a window is dropped, then halved in between.

    What was found is confirmed by a longer trial; where that fails, a tenth less is tried, and so on.

    Args:
        attempt: tries a number of streams for a short time.
        confirm: tries it for a longer one.
        n_most: more are not tried.

    Returns:
        The confirming trial last: its number of streams is the answer if they are carried, else it is 1 and
        not even one is. Before it the others, in order.
    """
    trials: list[StreamTrial] = []

    def is_carried(n_streams: int) -> bool:
        trials.append(attempt(n_streams))
        return trials[-1].is_carried

    carried, refused = 0, n_most + 1
    while carried < n_most and refused > n_most:
        n_streams = min(max(1, 2 * carried), n_most)
        if is_carried(n_streams):
            carried = n_streams
        else:
            refused = n_streams
    while refused - carried > 1:
        middle = (carried + refused) // 2
        if is_carried(middle):
            carried = middle
        else:
            refused = middle
    n_streams = max(1, carried)
    trials.append(confirm(n_streams))
    while not trials[-1].is_carried and n_streams > 1:
        n_streams -= max(1, n_streams // 10)
        trials.append(confirm(n_streams))
    return trials


def search_streams(
    wanted: int | None,
    engine: Engine,
    manifest: Manifest,
    settings: PipelineSettings,
    sound: Sound,
    seconds: float,
    clock: WallClock = REAL_CLOCK,
) -> list[StreamTrial]:
    """Try `wanted` streams once for three times `seconds`; or, with None, find the most, `seconds` each.

    Raises:
        EngineError: the engine failed.
    """
    attempt = partial(
        try_streams, engine=engine, manifest=manifest, settings=settings, sound=sound, clock=clock
    )
    confirm = partial(attempt, seconds=3 * seconds)
    if wanted is not None:
        return [confirm(wanted)]
    return find_most_streams(partial(attempt, seconds=seconds), confirm)


class _Answer(Closing):
    """Stands in a pipeline for the engine, and hands over what that one said about the whole batch."""

    name = "batched"

    def __init__(self) -> None:
        self.inference = Inference(np.zeros((1, 0), np.float32), {})

    def warm_up(self) -> None:
        pass

    def infer(self, windows: NDArray[np.float32]) -> Inference:
        if len(windows) != len(self.inference.logits):
            raise EngineError(f"{len(windows)} windows, where one was inferred")
        return self.inference

    def close(self) -> None:
        pass


def _row(inference: Inference, row: int) -> Inference:
    """What it says about one window of its batch."""
    presence = inference.presence_logits
    return Inference(
        inference.logits[row : row + 1], {}, None if presence is None else presence[row : row + 1]
    )
