"""The live path on one screen: sound -> windows -> networks -> probability -> steady phase."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from engines.backend import Engine
from engines.contract import RATE_HZ, WINDOW_SAMPLES
from engines.ensemble import fuse, fuse_presence
from engines.errors import ConfigError
from engines.fallback import Notifying
from engines.latency import LatencyMeter
from engines.manifest import Manifest
from realtime import decision, presence
from realtime.breaths import BreathCounter, BreathSettings
from realtime.clock import live_sample_from_source, samples_from_seconds
from realtime.decision import DecisionSettings
from realtime.events import SPLITTING_GAP_SAMPLES, Apnoea, Breath, Frame, Gap, PhaseEvent
from realtime.evidence import Evidence, Observation
from realtime.intake import Heard, Intake
from realtime.presence import PresenceSettings
from realtime.sound.sources import AudioSource, Block
from realtime.window import Window

UNHEARD = "the sound came too late to be looked at; was the program stopped, or the machine too busy?"

_NOTHING_HEARD = Observation(prob_exhale=0.5, prob_breath=0.0)


@dataclass(frozen=True)
class PipelineSettings:
    """How the live path listens and decides; every value in its own unit."""

    hop_s: float = 0.1
    lookahead_s: float = 0.0
    channel: int | None = None
    presence: PresenceSettings = field(default_factory=PresenceSettings)
    decision: DecisionSettings = field(default_factory=DecisionSettings)
    breathing: BreathSettings = field(default_factory=BreathSettings)


@dataclass(frozen=True)
class Step:
    """What one window brought.

    Attributes:
        frame: what is shown now.
        event: the change of phase, if the phase just changed.
        newest: the sound since the window before, (hop,) float32 at 16 kHz.
        latency_s: from the window being complete to this step, seconds.
        stages_s: seconds of each stage of that, in order: `wait`, from the newest sample of the window being
            made to the window being looked at, if the source is live; those of the engine; `fusion`;
            `decision`.
        breaths: complete breaths, and pauses that begin or end being too long, oldest first.
        captured_s: when the newest sample of the window was made, seconds of `time.perf_counter`; None: the
            source is not live.
        decided_s: when the step was complete, on the same clock.
        observation: what the decision heard.
        logits: of the phase, one for each network, before temperature and weights.
        gap: sound before this window that none looked at, because newer ones were due; None: there is none.
    """

    frame: Frame
    event: PhaseEvent | None
    newest: NDArray[np.float32]
    latency_s: float
    stages_s: dict[str, float] = field(default_factory=dict)
    breaths: tuple[Breath | Apnoea, ...] = ()
    captured_s: float | None = None
    decided_s: float = 0.0
    observation: Observation = _NOTHING_HEARD
    logits: tuple[float, ...] = ()
    gap: Gap | None = None


class Pipeline:
    """Blocks of a source in, steps out. The same for a microphone, a recording and the demo.

    Args:
        source: where the blocks will come from. If it is live, only the newest of several windows that are
            due at once is looked at, and the others are counted in `skipped_windows`.
        engine: runs the networks, warm.
        manifest: of the pack that the engine runs.
        settings: how to listen and decide.
        tap: called with every piece of sound, as it is heard and before the steps that it brings.

    Raises:
        ConfigError: a setting that cannot be used.
    """

    def __init__(
        self,
        source: AudioSource,
        engine: Engine,
        manifest: Manifest,
        settings: PipelineSettings,
        tap: Callable[[Heard], None] | None = None,
    ) -> None:
        hop_samples = samples_from_seconds(settings.hop_s)
        if not 0 < hop_samples <= RATE_HZ:
            raise ConfigError(f"a hop of {settings.hop_s} s is impossible; choose one between 0.01 and 1 s")
        self.skipped_windows = 0
        self.latency = LatencyMeter()
        self._hop_samples = hop_samples
        self._is_live = source.is_live
        self._rate_hz = source.rate_hz
        self._intake = Intake(source, hop_samples, settings.channel, tap)
        self._engine = engine
        # Looked at once: to ask a protocol takes about as long as to hear a block.
        self._teller = engine if isinstance(engine, Notifying) else None
        self._manifest = manifest
        self._settings = settings
        self._presence = presence.PresenceState.initial()
        self._decision = decision.DecisionState.initial(settings.decision, hop_samples, settings.lookahead_s)
        self._evidence = Evidence.of(manifest.emission, settings.decision, self._decision)
        # Public, because only the session learns of sound that is missing.
        self.breaths = BreathCounter(settings.breathing, WINDOW_SAMPLES)

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
        """Breathing rate over the last minute; None without a complete breath."""
        return self.breaths.breaths_per_min

    @property
    def gate_dbfs(self) -> float:
        """See `PresenceSettings`."""
        return self._settings.presence.gate_dbfs

    def set_gate(self, gate_dbfs: float, noise_dbfs: float) -> None:
        """Set the gate, and the noise of the room that belongs to it, at any time between two blocks."""
        gated = replace(self._settings.presence, gate_dbfs=gate_dbfs, noise_dbfs=noise_dbfs)
        self._settings = replace(self._settings, presence=gated)
        # Without a profile nothing kept count of the softest sound, and the present one may be a breath.
        self._presence = replace(self._presence, floor_dbfs=noise_dbfs)

    def take_notices(self) -> list[str]:
        """What the engine has to tell the user and did not before, oldest first."""
        return self._teller.take_notices() if self._teller is not None else []

    def push(self, block: Block) -> Iterator[Step]:
        """Hear a block; one step for each window it completes.

        Raises:
            EngineError: the engine failed.
        """
        newest_sample = live_sample_from_source(block.end, self._rate_hz)
        return self._steps(self._intake.push(block), newest_sample, block.arrived_s)

    def finish(self) -> Iterator[Step]:
        """The sound has ended: the steps of what the resampler still held."""
        return self._steps(self._intake.finish())

    def _steps(
        self, windows: list[Window], newest_sample: int = 0, arrived_s: float | None = None
    ) -> Iterator[Step]:
        """The steps of windows; sound up to just before `newest_sample`, at 16 kHz, came at `arrived_s`."""
        due_at = time.perf_counter()
        gap = None
        if self._is_live and len(windows) > 1:
            self.skipped_windows += len(windows) - 1
            gap = self._unheard(windows)
            windows = windows[-1:]
        for window in windows:
            captured_s = None
            if arrived_s is not None:
                captured_s = arrived_s - (newest_sample - window.end_sample) / RATE_HZ
            yield self._step(window, due_at, captured_s, gap)
            due_at = time.perf_counter()

    def _unheard(self, windows: list[Window]) -> Gap | None:
        """What lies between the newest of these windows and the one before them all, if it is long."""
        start = self._decision.end_sample
        end = windows[-1].end_sample - WINDOW_SAMPLES
        # At the start and after missing sound no breath is under way that could be broken.
        is_under_way = start > 0 and windows[0].end_sample - WINDOW_SAMPLES <= start
        return Gap(start, end, UNHEARD) if is_under_way and end - start >= SPLITTING_GAP_SAMPLES else None

    def _step(self, window: Window, due_at: float, captured_s: float | None, gap: Gap | None) -> Step:
        begun_at = time.perf_counter()
        inference = self._engine.infer(window.samples[None, :])
        inferred_at = time.perf_counter()
        prob_exhale = float(fuse(inference.logits, self._manifest.weights, self._manifest.temperature)[0])
        heard = inference.presence_logits
        prob_heard = None if heard is None else float(fuse_presence(heard, self._manifest.weights)[0])
        fused_at = time.perf_counter()
        highest_hz = self._manifest.band_hz[1]
        level_dbfs = presence.level_from_window(window.samples, highest_hz)
        self._presence, prob_breath = presence.advance(
            self._presence, level_dbfs, prob_heard, window.end_sample, self._settings.presence
        )
        rise_db = presence.rise_from_window(window.samples, level_dbfs, highest_hz)
        observation = Observation(prob_exhale, prob_breath, rise_db)
        likelihood = self._evidence.likelihood(observation)
        self._decision, shown = decision.advance(
            self._decision, likelihood, window.end_sample, self._settings.decision
        )
        frame = Frame(window.end_sample, prob_exhale, shown.phase, shown.confidence, level_dbfs)
        rows = self.breaths.push(*(event for event in (gap, shown.event) if event is not None), frame)
        decided_at = time.perf_counter()
        latency_s = decided_at - due_at
        self.latency.add(latency_s)
        stages_s = {
            **({} if captured_s is None else {"wait": begun_at - captured_s}),
            **inference.stages_s,
            "fusion": fused_at - inferred_at,
            "decision": decided_at - fused_at,
        }
        newest = window.samples[-self._hop_samples :]
        logits = tuple(inference.logits[0].tolist())
        return Step(
            frame=frame,
            event=shown.event,
            newest=newest,
            latency_s=latency_s,
            stages_s=stages_s,
            breaths=rows,
            captured_s=captured_s,
            decided_s=decided_at,
            observation=observation,
            logits=logits,
            gap=gap,
        )
