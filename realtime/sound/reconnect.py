"""A live source that outlives its device: what is lost is opened again, and the time without it is a gap."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from dataclasses import dataclass
from typing import Protocol

from engines.closing import Closing
from engines.errors import BreathError, DeviceLostError
from engines.worker import ThreadWorker, Worker
from realtime.sound import stream_clock
from realtime.sound.pacing import REAL_CLOCK, WallClock
from realtime.sound.sources import AudioSource, Block
from realtime.sound.stream_clock import Instant, StreamClock

_TICK_S = 0.2
_FIRST_PAUSE_S = 0.4
_LONGEST_PAUSE_S = 5.0
_CLOSE_LIMIT_S = 2.0


class LiveSource(AudioSource, Protocol):
    """A source that a device feeds."""

    def start(self) -> None:
        """Let the sound come; again is fine."""


class Opener(Protocol):
    """Opens one and the same device, whenever it is there."""

    def open(self) -> LiveSource:
        """Open it for the first time, without starting it."""

    def reopen(self) -> LiveSource:
        """Find it again, open and start it. The source that was opened before has been closed."""

    def abandon(self) -> None:
        """A call is stuck in the sound system; see to it that the program can end all the same."""


def _sound_system() -> Worker:
    """One thread, because a sound system may tie what it opens to the thread that opened it."""
    return ThreadWorker("sound system")


@dataclass(frozen=True)
class Surroundings:
    """What the waiting asks of the world; tests give others."""

    now: Callable[[], Instant] = stream_clock.now
    wall_clock: WallClock = REAL_CLOCK
    worker: Callable[[], Worker] = _sound_system


REAL_SURROUNDINGS = Surroundings()


class LastingSource(Closing):
    """A microphone, for hours, as an `AudioSource`.

    When the device stalls or is lost, empty blocks keep coming every 0.2 s, so that whoever listens stays
    awake; notices say what is going on. A lost device is closed and opened again, with pauses from 0.4 s
    up to 5 s between the attempts. Its next sound has the index that the passed time gives it.

    Args:
        opener: of the device.
        reconnect_s: wait so long for a lost device, seconds; None: for ever; 0: not at all.
        surroundings: clocks, and the thread that is risked in calls to the sound system.

    Raises:
        AudioError, ConfigError: the device cannot be opened at first.
    """

    is_live = True

    def __init__(
        self, opener: Opener, reconnect_s: float | None = None, surroundings: Surroundings = REAL_SURROUNDINGS
    ) -> None:
        self._opener = opener
        self._reconnect_s = reconnect_s
        self._now = surroundings.now
        self._sleep_s = surroundings.wall_clock.sleep_s
        self._worker = surroundings.worker()
        self._source: LiveSource = opener.open()
        self.name = self._source.name
        self.rate_hz = self._source.rate_hz
        self.n_channels = self._source.n_channels
        self._attempt: Future[LiveSource] | None = None
        self._clock = StreamClock.initial(self.rate_hz, self._now())
        self._notices: list[str] = []
        self._missing_samples = 0
        self._is_closed = False

    @property
    def lost_samples(self) -> int:
        """See `AudioSource`; the length of the gaps is included."""
        return self._missing_samples + self._source.lost_samples

    def take_notices(self) -> list[str]:
        """See `AudioSource`."""
        notices, self._notices = self._notices, []
        return notices + self._source.take_notices()

    def blocks(self) -> Iterator[Block]:
        """See `AudioSource`.

        Raises:
            DeviceLostError: the device was lost, and did not come back in time.
            AudioError: the device cannot be started at first.
        """
        self._clock = StreamClock.initial(self.rate_hz, self._now())
        while not self._is_closed:
            try:
                yield from self._sound()
            except DeviceLostError as loss:
                if self._reconnect_s == 0 or self._is_closed:
                    raise
                yield from self._until_back(loss)

    def close(self) -> None:
        """See `AudioSource`. A sound system that is stuck is waited for only 2 s."""
        if self._is_closed:
            return
        self._is_closed = True
        closing = self._worker.submit(self._close_what_is_open)
        self._worker.end()
        if wait_for_futures([closing], _CLOSE_LIMIT_S).not_done:
            self._opener.abandon()

    def _sound(self) -> Iterator[Block]:
        """What the device delivers until it is lost, in its place."""
        is_known_silent = self._clock.device_end is None
        for block in self._source.blocks():
            at = self._now()
            if len(block.samples) == 0:
                if self._clock.end == 0:
                    # Some devices wake up slowly.
                    continue
                if not is_known_silent:
                    self._notices.append(f"{self.name!r}: no sound is coming")
                is_known_silent = True
                yield self._waited(at)
                continue
            expected = self._clock.sound_end
            self._clock, placed = stream_clock.hear(self._clock, block, at)
            n_missing = placed.start - expected if placed.note else 0
            self._missing_samples += n_missing
            if n_missing or is_known_silent:
                self._notices.append(
                    f"{self.name!r} is heard again; {n_missing / self.rate_hz:.1f} s are missing"
                )
            is_known_silent = False
            yield placed

    def _until_back(self, loss: DeviceLostError) -> Iterator[Block]:
        """Time, until the device is open again.

        Raises:
            DeviceLostError: it took too long.
        """
        if self._clock.device_end is not None:
            self._clock = self._clock.lost()
            limit = "" if self._reconnect_s is None else f" for {self._reconnect_s:g} s"
            reason = self._clock.reason(self._now())
            self._notices.append(f"{self.name!r} is not heard any more ({reason}); waiting for it{limit}")
        pause_s = 0.0
        refusal: BreathError = loss
        while not self._is_closed:
            yield from self._time_passing(pause_s, refusal)
            self._attempt = self._worker.submit(self._reopened)
            while wait_for_futures([self._attempt], _TICK_S).not_done:
                yield from self._time_passing(0.0, refusal)
            try:
                source = self._attempt.result()
            except BreathError as error:
                refusal = error
            else:
                self._adopt(source)
                return
            finally:
                self._attempt = None
            pause_s = min(max(_FIRST_PAUSE_S, 2 * pause_s), _LONGEST_PAUSE_S)

    def _time_passing(self, pause_s: float, refusal: BreathError) -> Iterator[Block]:
        """Empty blocks for so long, at least one.

        Raises:
            DeviceLostError: patience is at its end; the newest refusal is the cause.
        """
        for tick in range(1 + round(pause_s / _TICK_S)):
            if tick:
                self._sleep_s(_TICK_S)
            yield self._waited(self._now())
            if self._reconnect_s is not None and self._clock.quiet_s(self._now()) >= self._reconnect_s:
                raise DeviceLostError(
                    f"{self.name!r} was lost and did not come back within {self._reconnect_s:g} s; "
                    f"check its plug and its sound server, then start again (the last attempt: {refusal})"
                ) from refusal

    def _waited(self, at: Instant) -> Block:
        self._clock, block = stream_clock.wait(self._clock, at, self.n_channels)
        return block

    def _reopened(self) -> LiveSource:
        self._source.close()
        return self._opener.reopen()

    def _adopt(self, source: LiveSource) -> None:
        if source.name != self.name:
            self._notices.append(
                f"the system's default microphone is {source.name!r} now, and no longer {self.name!r}"
            )
        self._missing_samples += self._source.lost_samples
        self._source, self.name = source, source.name

    def _close_what_is_open(self) -> None:
        attempt = self._attempt
        if attempt is None:
            self._source.close()
        elif attempt.exception() is None:
            attempt.result().close()
