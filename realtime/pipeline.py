"""The live path on one screen: sound -> windows -> networks -> probability -> steady phase."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engines.backend import Engine
from engines.contract import RATE_HZ
from engines.ensemble import fuse
from engines.errors import ConfigError
from engines.fallback import Notifying
from engines.latency import LatencyMeter
from engines.manifest import Manifest
from realtime import breaths, presence, smoothing
from realtime.clock import samples_from_seconds
from realtime.events import Frame, PhaseEvent
from realtime.intake import Intake
from realtime.presence import PresenceSettings
from realtime.smoothing import SmoothingSettings
from realtime.sources import AudioSource, Block
from realtime.window import Window


@dataclass(frozen=True)
class PipelineSettings:
    """How the live path listens and decides; every value in its own unit."""

    hop_s: float = 0.1
    channel: int | None = None
    presence: PresenceSettings = field(default_factory=PresenceSettings)
    smoothing: SmoothingSettings = field(default_factory=SmoothingSettings)


@dataclass(frozen=True)
class Step:
    """What one window brought.

    Attributes:
        frame: what is shown now.
        event: the change of phase, if the phase just changed.
        newest: the sound since the window before, (hop,) float32 at 16 kHz.
        latency_s: from the window being complete to this step, seconds.
    """

    frame: Frame
    event: PhaseEvent | None
    newest: NDArray[np.float32]
    latency_s: float


class Pipeline:
    """Blocks of a source in, steps out. The same for a microphone, a recording and the demo.

    Args:
        source: where the blocks will come from. If it is live, only the newest of several windows that are
            due at once is looked at, and the others are counted in `skipped_windows`.
        engine: runs the networks, warm.
        manifest: of the pack that the engine runs.
        settings: how to listen and decide.

    Raises:
        ConfigError: a setting that cannot be used.
    """

    def __init__(
        self, source: AudioSource, engine: Engine, manifest: Manifest, settings: PipelineSettings
    ) -> None:
        hop_samples = samples_from_seconds(settings.hop_s)
        if not 0 < hop_samples <= RATE_HZ:
            raise ConfigError(f"a hop of {settings.hop_s} s is impossible; choose one between 0.01 and 1 s")
        self.skipped_windows = 0
        self.latency = LatencyMeter()
        self._hop_samples = hop_samples
        self._is_live = source.is_live
        self._intake = Intake(source, hop_samples, settings.channel)
        self._engine = engine
        self._manifest = manifest
        self._settings = settings
        self._presence = presence.PresenceState.initial()
        self._smoothing = smoothing.SmoothingState.initial()
        self._rate = breaths.RateState.initial()

    @property
    def heard_samples(self) -> int:
        """Stream time so far, samples at 16 kHz."""
        return self._intake.next_sample

    @property
    def is_warm(self) -> bool:
        """Whether a whole window has been heard, so that there is an answer at all."""
        return self._intake.is_warm

    @property
    def breaths_per_min(self) -> float | None:
        """Breathing rate over the last minute; None before the first complete breath."""
        return self._rate.breaths_per_min

    def take_notices(self) -> list[str]:
        """What the engine has to tell the user and did not before, oldest first."""
        return self._engine.take_notices() if isinstance(self._engine, Notifying) else []

    def push(self, block: Block) -> Iterator[Step]:
        """Hear a block; one step for each window it completes.

        Raises:
            EngineError: the engine failed.
        """
        return self._steps(self._intake.push(block))

    def finish(self) -> Iterator[Step]:
        """The sound has ended: the steps of what the resampler still held."""
        return self._steps(self._intake.finish())

    def _steps(self, windows: list[Window]) -> Iterator[Step]:
        due_at = time.perf_counter()
        if self._is_live and len(windows) > 1:
            self.skipped_windows += len(windows) - 1
            windows = windows[-1:]
        for window in windows:
            yield self._step(window, due_at)
            due_at = time.perf_counter()

    def _step(self, window: Window, due_at: float) -> Step:
        logits = self._engine.infer(window.samples[None, :]).logits
        prob_exhale = float(fuse(logits, self._manifest.weights, self._manifest.temperature)[0])
        level_dbfs = presence.level_from_window(window.samples, self._manifest.band_hz[1])
        self._presence, is_breath = presence.advance(
            self._presence, level_dbfs, window.end_sample, self._settings.presence
        )
        self._smoothing, shown = smoothing.advance(
            self._smoothing, prob_exhale, is_breath, window.end_sample, self._settings.smoothing
        )
        if shown.event is not None:
            self._rate = breaths.advance(self._rate, shown.event)
        frame = Frame(window.end_sample, prob_exhale, shown.phase, shown.confidence, level_dbfs)
        latency_s = time.perf_counter() - due_at
        self.latency.add(latency_s)
        return Step(frame, shown.event, window.samples[-self._hop_samples :], latency_s)
