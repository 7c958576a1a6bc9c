"""One source, heard to its end: its events as an iterator, as an asynchronous one, or by callbacks alone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor

from engines.closing import Closing
from engines.errors import AudioError, ConfigError
from realtime.events import Frame
from realtime.session import Session
from realtime.sinks.collector import Collector, Event
from realtime.sound.sources import AudioSource
from realtime.summary import Summary


class Listening(Closing):
    """What is heard of one source: `for event in listening`, `async for event in listening`, or `run`.

    It can be heard once. The source is closed when the sound has ended, when the loop is left, and with
    `close` or at the end of a `with` block.

    Args:
        source: the sound; it now belongs to the listening.
        session: made for the source, with the collector as one of its sinks.
        collector: takes in what is said.
        at_end: called once, when the source has been closed.
    """

    def __init__(
        self,
        source: AudioSource,
        session: Session,
        collector: Collector,
        at_end: Callable[["Listening"], None] = lambda _listening: None,
    ) -> None:
        self._source = source
        self._session = session
        self._collector = collector
        self._at_end = at_end
        self._is_begun = False
        self._is_stopped = False
        self._is_closed = False

    @property
    def name(self) -> str:
        """What is listened to, for people."""
        return self._source.name

    @property
    def summary(self) -> Summary:
        """What has happened so far: stream time, counts, rate, latency."""
        return self._session.summary()

    def __iter__(self) -> Generator[Event | Frame, None, None]:
        """The events, each as soon as it is known; frames too if they were asked for.

        Raises:
            ConfigError: it was listened to before.
            AudioError: the source failed.
            EngineError: the engine failed.
        """
        if self._is_begun:
            raise ConfigError(
                f"{self.name} has been listened to already; ask the detector for it again, "
                "for example with detector.file(path)"
            )
        self._is_begun = True
        return self._said()

    async def __aiter__(self) -> AsyncIterator[Event | Frame]:
        """The same, without holding up the event loop: the work is done on a thread of its own.

        Callbacks are called on that thread. A cancelled task stops listening within the next block of sound.

        Raises:
            ConfigError, AudioError, EngineError: see `__iter__`.
        """
        loop = asyncio.get_running_loop()
        said = iter(self)
        pool = ThreadPoolExecutor(1, thread_name_prefix="breath")
        try:
            while (item := await loop.run_in_executor(pool, next, said, None)) is not None:
                yield item
        finally:
            # The same thread closes the source: nothing may close it while it is being read.
            self._is_stopped = True
            closing = loop.run_in_executor(pool, self._end, said)
            pool.shutdown(wait=False)
            await closing

    def run(self) -> Summary:
        """Hear the source to its end, for the sake of the callbacks.

        Raises:
            ConfigError, AudioError, EngineError: see `__iter__`.
        """
        for _ in self:
            pass
        return self.summary

    def stop(self) -> None:
        """End the iteration: nothing more is given. From any thread, or a callback."""
        self._is_stopped = True

    def close(self) -> None:
        """Stop, and close the source; again is fine. To be called by the thread that iterates."""
        self._is_stopped = True
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._source.close()
        finally:
            self._at_end(self)

    def _end(self, said: Generator[Event | Frame, None, None]) -> None:
        said.close()
        # A generator that was never asked for anything does not notice that it is closed.
        self.close()

    def _said(self) -> Generator[Event | Frame, None, None]:
        try:
            for block in self._source.blocks():
                is_on = self._session.hear(block)
                yield from self._unless_stopped()
                if self._is_stopped:
                    return
                if not is_on:
                    break
            self._session.finish()
            yield from self._unless_stopped()
        except AudioError:
            self._session.finish(is_cut_short=True)
            yield from self._unless_stopped()
            raise
        finally:
            for text in self._source.take_notices():
                self._collector.notice(text)
            self.close()

    def _unless_stopped(self) -> Generator[Event | Frame, None, None]:
        for said in self._collector.take():
            if self._is_stopped:
                return
            yield said
