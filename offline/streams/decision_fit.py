"""The temperature and the emission of a pack, fitted to labelled streams."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from engines.contract import RATE_HZ
from engines.ensemble import fuse
from engines.errors import LabelsError
from engines.manifest import N_STATES, Emission, NormalByAge
from engines.pack import Pack, check_destination, save_changed_pack
from offline.predict import Progress
from offline.streams.files import Stream, fingerprint
from offline.streams.replays import Replayer
from offline.training.calibration import fitted_temperature
from realtime.events import Phase
from realtime.evidence import log_odds
from realtime.labels import PhaseInterval
from realtime.lengths import AFTER_EXHALE, AFTER_INHALE, EXHALE, INHALE
from realtime.pipeline import PipelineSettings
from realtime.replay import Replay

AGE_BORDERS_S = (0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 2.0)
# A range of ages is judged by its own windows, and by so many more that are as those of its whole state.
PRIOR_WINDOWS = 600
MIN_WINDOWS = 50
# What did not vary in these streams may in others.
LEAST_SD = 0.2
_DECIMALS = 3
_PHASES, _PAUSES = (INHALE, EXHALE), (AFTER_INHALE, AFTER_EXHALE)
_Groups = tuple[tuple[int, ...], ...]


def fit_pack(
    pack: Pack,
    streams: Sequence[Stream],
    out: Path,
    *,
    engine: str = "auto",
    jobs: int = 1,
    progress: Progress | None = None,
) -> Pack:
    """Write the pack again, with a temperature and an emission fitted to streams of its validation days.

    Args:
        pack: whose networks are heard.
        streams: those without a true phase are left out.
        out: folder of the pack that is written.
        engine: `auto` or the name of a back end.
        jobs: processes that replay at the same time.
        progress: called with streams done and streams in all.

    Raises:
        LabelsError: a stream is of no validation day of the pack, or they hold too little.
        AudioError: a stream cannot be heard.
        ConfigError: the name of the engine cannot be used.
        EngineError: the engine failed, or cannot run here.
        OutputError: `out` cannot be written.
    """
    check_destination(out)
    breathing = [stream for stream in streams if stream.truth]
    for stream in breathing:
        if stream.day not in pack.manifest.split.validation:
            raise LabelsError(
                f"{stream.sound} is of {stream.day or 'no known day'}, no validation day of the pack; "
                "compose streams with: breath-offline compose --part validation"
            )
    heard = []
    with Replayer(pack, (PipelineSettings(),), engine, jobs) as replayer:
        replays = replayer.replays([stream.sound for stream in breathing])
        for stream, (replay,) in zip(breathing, replays, strict=True):
            heard.append((replay, stream.truth))
            if progress:
                progress(len(heard), len(breathing))
    windows = Windows.heard(heard)
    weights = pack.manifest.weights
    temperature = windows.temperature(weights)
    emission = windows.emission(weights, temperature, fingerprint(breathing))
    return save_changed_pack(out, pack, temperature=temperature, emission=emission)


@dataclass(frozen=True)
class Windows:
    """What the networks said of windows, and what went on at the end of each.

    Attributes:
        states: (N,) int64, `INHALE` and the others of `realtime.lengths`.
        ages_s: (N,) how long the state had gone on, seconds.
        logits: (N, n_networks) float32, of the phase.
        presence: (N,) log odds of P(breath).
        rise_db: (N,) how much louder the newest sound is than shortly before, dB.
    """

    states: NDArray[np.int64]
    ages_s: NDArray[np.float64]
    logits: NDArray[np.float32]
    presence: NDArray[np.float64]
    rise_db: NDArray[np.float64]

    @classmethod
    def heard(cls, heard: Iterable[tuple[Replay, Sequence[PhaseInterval]]]) -> Self:
        """Those of streams whose phases are known, all but those before the first phase or under the gate.

        Args:
            heard: each stream's replay and its true phases, in order of time.

        Raises:
            LabelsError: a phase or a pause is too rare in these streams.
        """
        # One shorter than a window has no answer.
        parts = [_windows(replay, truth) for replay, truth in heard if replay.frames]
        if not parts:
            raise LabelsError(
                "none of these streams holds a phase and a second of sound; compose some with: "
                "breath-offline compose"
            )
        windows = cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        counts = np.bincount(windows.states, minlength=N_STATES)
        if counts.min() < MIN_WINDOWS:
            named = ("inhalations", "exhalations", "pauses after inhalations", "pauses after exhalations")
            rarest = int(counts.argmin())
            raise LabelsError(
                f"{counts[rarest]} windows end in {named[rarest]}, and {MIN_WINDOWS} are needed; compose "
                "more streams, or longer ones"
            )
        return windows

    def temperature(self, weights: Sequence[float]) -> float:
        """The temperature, see `fitted_temperature`, that makes P(exhale) honest where there is a phase.

        Args:
            weights: of the networks.
        """
        is_phase = np.isin(self.states, _PHASES)
        return fitted_temperature(self.logits[is_phase], self.states[is_phase] == EXHALE, weights)

    def emission(self, weights: Sequence[float], temperature: float, streams: str) -> Emission:
        """Normal distributions of the log odds of both probabilities, and of the rise.

        The mean is taken for each state and range of ages, drawn towards that of the whole state as if by
        `PRIOR_WINDOWS` more. The deviation around the means is one number for the phase, and for presence one
        for phases and one for pauses: if it changed with age, what is clearer than usual would speak for
        whichever age varies most. The rise varies most where something begins, and each range has its own.

        Args:
            weights: of the networks.
            temperature: that P(exhale) will have.
            streams: their fingerprint.
        """
        ranges = np.searchsorted(np.asarray(AGE_BORDERS_S), self.ages_s)
        phase = np.array([log_odds(float(prob)) for prob in fuse(self.logits, weights, temperature)])
        return Emission(
            AGE_BORDERS_S,
            phase=_normal(phase, self.states, ranges, (_PHASES + _PAUSES,)),
            presence=_normal(self.presence, self.states, ranges, (_PHASES, _PAUSES)),
            rise=_normal(self.rise_db, self.states, ranges, ()),
            n_windows=len(self.states),
            streams=streams,
        )


def _windows(replay: Replay, truth: Sequence[PhaseInterval]) -> tuple[NDArray[Any], ...]:
    """The columns of `Windows`, of one stream."""
    ends = np.array([frame.end_sample for frame in replay.frames], np.int64)
    prob_breath = np.array([one.prob_breath for one in replay.observations])
    states = np.full(len(ends), -1, np.int64)
    ages_s = np.zeros(len(ends))
    borders = [*(interval.start_sample for interval in truth[1:]), replay.n_samples]
    for interval, border in zip(truth, borders, strict=True):
        state = INHALE if interval.phase is Phase.INHALE else EXHALE
        pause = AFTER_INHALE if interval.phase is Phase.INHALE else AFTER_EXHALE
        for named, start, end in (
            (state, interval.start_sample, interval.end_sample),
            (pause, interval.end_sample, border),
        ):
            is_here = (ends > start) & (ends <= end)
            states[is_here] = named
            ages_s[is_here] = (ends[is_here] - start) / RATE_HZ
    presence = np.array([log_odds(prob) for prob in prob_breath])
    is_used = (states >= 0) & (prob_breath > 0)
    rise_db = np.array([one.rise_db for one in replay.observations])
    logits = np.array(replay.logits, np.float32)
    return tuple(column[is_used] for column in (states, ages_s, logits, presence, rise_db))


def _normal(
    values: NDArray[np.float64], states: NDArray[np.int64], ranges: NDArray[np.int64], alike: _Groups
) -> NormalByAge:
    """Means by state and range of ages; one deviation around them for all states that are `alike`.

    Every range counts alike for that deviation, however many windows it has. Where no states are alike, each
    range of each state has a deviation of its own.
    """
    mean = np.zeros((N_STATES, len(AGE_BORDERS_S) + 1))
    variance = np.zeros_like(mean)
    for state in range(N_STATES):
        of_state = values[states == state]
        for number in range(mean.shape[1]):
            here = values[(states == state) & (ranges == number)]
            n = len(here) + PRIOR_WINDOWS
            centre = (here.sum() + PRIOR_WINDOWS * of_state.mean()) / n
            mean[state, number] = centre
            variance[state, number] = (((here - centre) ** 2).sum() + PRIOR_WINDOWS * of_state.var()) / n
    if alike:
        pooled = np.zeros((N_STATES, 1))
        for group in alike:
            pooled[list(group)] = variance[list(group)].mean()
        variance = pooled
    sd = np.maximum(LEAST_SD, np.sqrt(variance))
    return NormalByAge(mean=_rows(mean), sd=_rows(sd))


def _rows(values: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(round(float(value), _DECIMALS) for value in row) for row in values)
