"""From changes of phase to breaths: durations, rates, variability, and pauses that are too long.

A breath is what BreathMetrics calls one (Noto et al. 2018, Chemical Senses 43(8)): inhalation, perhaps a
pause, exhalation, perhaps a pause, up to the onset of the next inhalation, which NeuroKit2 calls a trough
(Makowski et al. 2021, Behavior Research Methods 53). It counts when it is complete. Where the phases do not
make sense, a guess would look like a measurement, so:

- a phase that comes again after a pause of at most `RESUMED_WITHIN_S` has been going on: its duration
  includes that pause;
- a phase that lasts no time, because the next one turned out to begin where it did, leaves no trace in what
  is around it, unless it turned the breath: after an exhalation that is taken back no row is right, and the
  breath that an inhalation has ended stays ended (mostly it was there, and only misplaced);
- after a longer pause its other half was missed: the breath does not count. A repeated inhalation begins
  the next breath, a repeated exhalation belongs to none;
- a gap of the sound, or no breath for `apnoea_s`, ends the breath that was under way without it counting;
  a gap in which a breath could lie, of `SPLITTING_GAP_SAMPLES` or more, ends an apnoea-like pause too;
- nor does one count whose inhalation was under way at the first answer, a window after the start or a gap.
"""

from bisect import bisect_left
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Self

from engines.contract import RATE_HZ
from realtime.clock import samples_from_seconds
from realtime.events import SPLITTING_GAP_SAMPLES, Apnoea, Breath, Frame, Gap, Phase, PhaseEvent
from realtime.variability import rate_per_min, rmssd_s, sdbb_s

RATE_SPAN_S = 60.0
RESUMED_WITHIN_S = 1.0

Row = Breath | Apnoea


@dataclass(frozen=True)
class BreathSettings:
    """How breaths are judged.

    Attributes:
        apnoea_s: so long without breath is an apnoea-like pause, s. Ten seconds is what sleep medicine asks
            for in adults (Berry et al. 2012, J Clin Sleep Med 8(5)); heard alone, it is no diagnosis.
        variability_window_s: the variability is that of the breaths that began within so long, s.
    """

    apnoea_s: float = 10.0
    variability_window_s: float = 120.0


@dataclass(frozen=True)
class Draft:
    """A breath under way; None is what has not come yet. Samples at 16 kHz.

    Attributes:
        n_answers: frames since it began to be shown.
        confidence_sum: of them.
    """

    inhale_onset: int
    inhale_offset: int | None = None
    exhale_onset: int | None = None
    exhale_offset: int | None = None
    n_answers: int = 0
    confidence_sum: float = 0.0

    @property
    def confidence(self) -> float | None:
        """Mean confidence of the answers; None: there were none."""
        return self.confidence_sum / self.n_answers if self.n_answers else None


@dataclass(frozen=True)
class BreathState:
    """What is known of the breathing. All samples are indices at 16 kHz.

    Attributes:
        shown: the phase that is going on.
        shown_since: its onset; for none, not before the end of the last gap in which a breath could lie.
        has_breathed: whether any breath has been heard: before that, silence is no pause.
        is_apnoea: whether an apnoea-like pause has been told and has not ended.
        unbroken_since: end of the last gap.
        unhidden_since: end of the last gap in which a breath could lie.
        draft: the breath under way.
        before: what the draft is if the phase that is going on turns out to have lasted no time.
        n_breaths: complete breaths so far.
        cycles: inhale onset and end of the complete breaths that a rate or variability still needs, oldest
            first.
        now: newest sample that has been heard.
    """

    shown: Phase = Phase.NONE
    shown_since: int = 0
    has_breathed: bool = False
    is_apnoea: bool = False
    unbroken_since: int = 0
    unhidden_since: int = 0
    draft: Draft | None = None
    before: Draft | None = None
    n_breaths: int = 0
    cycles: tuple[tuple[int, int], ...] = ()
    now: int = 0

    @classmethod
    def initial(cls) -> Self:
        """No breath yet."""
        return cls()

    @property
    def breaths_per_min(self) -> float | None:
        """Mean rate over the complete breaths that began within the last minute; None without any.

        The inverse of their mean cycle, as in BreathMetrics: time in which no breath was complete, such as
        a gap, makes the rate neither higher nor lower.
        """
        recent = _since(self.cycles, self.now, RATE_SPAN_S)
        return rate_per_min(recent) if recent else None


class BreathCounter:
    """Holds the state for those who only want the rows.

    Args:
        settings: how breaths are judged.
        blind_samples: length at 16 kHz of what has to be heard before the first phase is shown, after the
            start and after a gap; 0: everything is known.
    """

    def __init__(self, settings: BreathSettings, blind_samples: int = 0) -> None:
        self._settings = settings
        self._blind_samples = blind_samples
        self.state = BreathState.initial()

    @property
    def breaths_per_min(self) -> float | None:
        """See `BreathState`."""
        return self.state.breaths_per_min

    def push(self, *events: PhaseEvent | Frame | Gap) -> tuple[Row, ...]:
        """Take in what happened, oldest first; the rows that it completes."""
        rows: tuple[Row, ...] = ()
        for event in events:
            self.state, found = advance(self.state, event, self._settings, self._blind_samples)
            rows += found
        return rows


def advance(
    state: BreathState, event: PhaseEvent | Frame | Gap, settings: BreathSettings, blind_samples: int = 0
) -> tuple[BreathState, tuple[Row, ...]]:
    """Take in a change of phase, a frame (it tells that time goes on) or a gap; give what it completes.

    `blind_samples`: see `BreathCounter`.
    """
    if isinstance(event, Gap):
        return _broken(state, event)
    if isinstance(event, Frame):
        draft, before = (_answered(one, event.confidence) for one in (state.draft, state.before))
        state = replace(state, draft=draft, before=before)
        return _waited(state, event.end_sample, settings)
    draft = state.before if event.onset_sample == state.shown_since else state.draft
    state = replace(state, now=max(state.now, event.reported_sample), draft=draft, before=draft)
    if event.phase is Phase.NONE:
        draft = None if state.draft is None else _paused(state.draft, event.onset_sample)
        since = max(event.onset_sample, state.unhidden_since)
        return replace(state, shown=Phase.NONE, shown_since=since, draft=draft), ()
    state, rows = _breathing_again(state, event.onset_sample, settings)
    state = replace(state, shown=event.phase, shown_since=event.onset_sample, has_breathed=True)
    if event.phase is Phase.EXHALE:
        # The one before may have been taken back: nothing is left of it.
        turns = state.draft is not None and state.draft.exhale_onset in (None, state.draft.exhale_offset)
        draft = None if state.draft is None else _exhaling(state.draft, event.onset_sample)
        return replace(state, draft=draft, before=draft if turns else state.before), rows
    state, breaths = _inhaling(state, event.onset_sample, settings, blind_samples)
    return state, (*rows, *breaths)


def _broken(state: BreathState, gap: Gap) -> tuple[BreathState, tuple[Row, ...]]:
    state = replace(state, unbroken_since=gap.to_sample, draft=None, before=None)
    if gap.to_sample - gap.from_sample < SPLITTING_GAP_SAMPLES:
        return state, ()
    end = Apnoea(False, state.shown_since, max(state.shown_since, gap.from_sample))
    rows = (end,) if state.is_apnoea else ()
    since = gap.to_sample if state.shown is Phase.NONE else state.shown_since
    return replace(state, shown_since=since, unhidden_since=gap.to_sample, is_apnoea=False), rows


def _waited(state: BreathState, now: int, settings: BreathSettings) -> tuple[BreathState, tuple[Row, ...]]:
    kept = _since(state.cycles, now, max(RATE_SPAN_S, settings.variability_window_s))
    state = replace(state, now=max(state.now, now), cycles=kept)
    is_silent = state.shown is Phase.NONE and state.has_breathed and not state.is_apnoea
    if not is_silent or now - state.shown_since < samples_from_seconds(settings.apnoea_s):
        return state, ()
    return replace(state, is_apnoea=True, draft=None, before=None), (Apnoea(True, state.shown_since, now),)


def _breathing_again(
    state: BreathState, onset: int, settings: BreathSettings
) -> tuple[BreathState, tuple[Row, ...]]:
    # A pause may reach its length in the very window in which it ends.
    state, began = _waited(state, onset, settings) if state.shown is Phase.NONE else (state, ())
    if not state.is_apnoea:
        return state, began
    # The onset is found afterwards, and may lie before the moment at which the pause was told.
    told = state.shown_since + samples_from_seconds(settings.apnoea_s)
    end = Apnoea(False, state.shown_since, max(onset, told))
    return replace(state, is_apnoea=False), (*began, end)


def _answered(draft: Draft | None, confidence: float) -> Draft | None:
    if draft is None:
        return None
    return replace(draft, n_answers=draft.n_answers + 1, confidence_sum=draft.confidence_sum + confidence)


def _paused(draft: Draft, onset: int) -> Draft:
    if draft.exhale_onset is None:
        return replace(draft, inhale_offset=onset)
    return replace(draft, exhale_offset=onset)


def _exhaling(draft: Draft, onset: int) -> Draft | None:
    if draft.exhale_onset is None:
        offset = onset if draft.inhale_offset is None else draft.inhale_offset
        return replace(draft, inhale_offset=offset, exhale_onset=onset)
    if draft.exhale_offset == draft.exhale_onset:  # taken back
        return replace(draft, exhale_onset=onset, exhale_offset=None)
    return replace(draft, exhale_offset=None) if _goes_on(draft.exhale_offset, onset) else None


def _inhaling(
    state: BreathState, onset: int, settings: BreathSettings, blind_samples: int
) -> tuple[BreathState, tuple[Row, ...]]:
    draft = state.draft
    if draft is not None and draft.exhale_onset is None and _goes_on(draft.inhale_offset, onset):
        return replace(state, draft=replace(draft, inhale_offset=None)), ()
    # What was under way when the first window of a stretch of sound was complete began nobody knows when.
    after = onset - state.unbroken_since
    is_known = after > blind_samples if blind_samples else after >= 0
    following = Draft(onset) if is_known else None
    state = replace(state, draft=following)
    if draft is None or draft.inhale_offset is None or draft.exhale_onset is None:
        return state, ()
    exhale_offset = onset if draft.exhale_offset is None else draft.exhale_offset
    if draft.inhale_offset == draft.inhale_onset or exhale_offset == draft.exhale_onset:
        return state, ()
    cycles = (*state.cycles, (draft.inhale_onset, onset))
    # Its row is given, and cannot be taken back.
    state = replace(state, before=following, cycles=cycles, n_breaths=state.n_breaths + 1)
    varied = _since(cycles, onset, settings.variability_window_s)
    breath = Breath(
        number=state.n_breaths,
        inhale_onset_sample=draft.inhale_onset,
        inhale_offset_sample=draft.inhale_offset,
        exhale_onset_sample=draft.exhale_onset,
        exhale_offset_sample=exhale_offset,
        end_sample=onset,
        reported_sample=state.now,
        minute_rate_per_min=rate_per_min(_since(cycles, onset, RATE_SPAN_S) or cycles[-1:]),
        sdbb_s=sdbb_s(varied),
        rmssd_s=rmssd_s(varied),
        confidence=draft.confidence,
    )
    return state, (breath,)


def _goes_on(offset: int | None, onset: int) -> bool:
    return offset is None or onset - offset <= RESUMED_WITHIN_S * RATE_HZ


def _since(cycles: tuple[tuple[int, int], ...], now: int, span_s: float) -> tuple[tuple[int, int], ...]:
    # A slice, at every hop: CPython keeps thousands of the tuples that it makes from generators.
    return cycles[bisect_left(cycles, now - samples_from_seconds(span_s), key=itemgetter(0)) :]
