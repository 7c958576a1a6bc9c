"""The chance level: what a metronome that hears nothing scores, by the rules of the live path."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.contract import RATE_HZ
from offline.streams import scores as stream_scores
from offline.streams.files import Stream
from offline.streams.scores import LONG_PAUSE_S, Tally
from realtime.clock import seconds_from_samples
from realtime.events import Frame, Phase, PhaseEvent
from realtime.labels import PhaseInterval
from realtime.replay import Replay

# Spread evenly over a cycle: the mean over them is that over random ones, without their luck.
N_STARTS = 20

# Of the others it was told the answer (rate, number of phases), or has none (confidence, false phases).
_MEASURES = ("macro_f1_live", "f1_live", "segment_f1", "onset")


@dataclass(frozen=True)
class Metronome:
    """One breath after the other, all alike. Lengths in samples at 16 kHz; 0 for what there is none of."""

    inhale: int
    inhale_pause: int
    exhale: int
    exhale_pause: int

    @property
    def parts(self) -> tuple[tuple[Phase, int], ...]:
        """A cycle: what is shown, and for how many samples."""
        pauses = ((Phase.NONE, self.inhale_pause), (Phase.NONE, self.exhale_pause))
        every = ((Phase.INHALE, self.inhale), pauses[0], (Phase.EXHALE, self.exhale), pauses[1])
        return tuple((phase, length) for phase, length in every if length)

    @property
    def cycle(self) -> int:
        """Length of a breath with its pauses, samples at 16 kHz; at least 1."""
        return sum(length for _, length in self.parts)

    @property
    def lengths_s(self) -> dict[str, float]:
        """The lengths in seconds, by name."""
        return {
            "inhale_s": seconds_from_samples(self.inhale),
            "inhale_pause_s": seconds_from_samples(self.inhale_pause),
            "exhale_s": seconds_from_samples(self.exhale),
            "exhale_pause_s": seconds_from_samples(self.exhale_pause),
        }


@dataclass(frozen=True)
class Chance:
    """What metronomes score; of measures that have no sense for them there is none.

    Attributes:
        metronomes: by the kind of the streams that gave the lengths; of kinds in which somebody breathes.
        overall: measures over every stream that holds breath, each with the metronome of its kind.
        by_kind: likewise over all streams of a kind.
    """

    metronomes: dict[str, Metronome]
    overall: dict[str, float]
    by_kind: dict[str, dict[str, float]]

    def to_json(self) -> dict[str, Any]:
        """Plain numbers; null where a measure does not exist."""
        return {
            "n_starts": N_STARTS,
            "lengths_s": {kind: one.lengths_s for kind, one in self.metronomes.items()},
            "overall": stream_scores.plain_measures(self.overall),
            "by_kind": {kind: stream_scores.plain_measures(one) for kind, one in self.by_kind.items()},
        }


def chance_level(streams: Sequence[tuple[Stream, int]]) -> Chance:
    """Score metronomes on streams, given with their lengths in samples at 16 kHz."""
    kinds = sorted({stream.kind for stream, _ in streams if stream.truth})
    metronomes = {
        kind: metronome_from_truth([stream.truth for stream, _ in streams if stream.kind == kind])
        for kind in kinds
    }
    counted = [
        (stream, _counts(metronomes[stream.kind], stream, n_samples))
        for stream, n_samples in streams
        if stream.kind in metronomes
    ]
    return Chance(
        metronomes,
        overall=_measures([counts for stream, counts in counted if stream.truth]),
        by_kind={
            kind: _measures([counts for stream, counts in counted if stream.kind == kind]) for kind in kinds
        },
    )


def metronome_from_truth(truths: Sequence[Sequence[PhaseInterval]]) -> Metronome:
    """The mean lengths of the phases of some streams, and of the pauses after each that are below 3 s."""
    lengths: dict[Phase, list[int]] = {Phase.INHALE: [], Phase.EXHALE: []}
    pauses: dict[Phase, list[int]] = {Phase.INHALE: [], Phase.EXHALE: []}
    for truth in truths:
        for one in truth:
            lengths[one.phase].append(one.end_sample - one.start_sample)
        for one, following in itertools.pairwise(truth):
            pause = max(0, following.start_sample - one.end_sample)
            # Where nobody breathes nothing is to be found; it would only slow the metronome down.
            if pause < LONG_PAUSE_S * RATE_HZ:
                pauses[one.phase].append(pause)
    return Metronome(
        inhale=_mean(lengths[Phase.INHALE]),
        inhale_pause=_mean(pauses[Phase.INHALE]),
        exhale=_mean(lengths[Phase.EXHALE]),
        exhale_pause=_mean(pauses[Phase.EXHALE]),
    )


def replay_from_metronome(metronome: Metronome, start: int, n_samples: int) -> Replay:
    """What it shows of a stream of `n_samples`, begun `start` samples into its cycle.

    It has a frame at each change alone.
    """
    events = [PhaseEvent(phase, sample, sample, 1.0) for phase, sample in _beats(metronome, start, n_samples)]
    frames = [Frame(event.reported_sample, 0.5, event.phase, event.confidence, 0.0) for event in events]
    return Replay(tuple(frames), tuple(events), n_samples)


def _beats(metronome: Metronome, start: int, n_samples: int) -> Iterator[tuple[Phase, int]]:
    sample = -start
    for phase, length in itertools.cycle(metronome.parts):
        if sample >= n_samples:
            return
        if sample + length > 0:
            yield phase, max(0, sample)
        sample += length


def _counts(metronome: Metronome, stream: Stream, n_samples: int) -> tuple[Tally, NDArray[np.float64]]:
    """Of all starts together."""
    starts = [metronome.cycle * number // N_STARTS for number in range(N_STARTS)]
    scored = [
        stream_scores.tally_from_replay(replay_from_metronome(metronome, start, n_samples), stream.truth)
        for start in starts
    ]
    return _added(scored)


def _measures(counts: Sequence[tuple[Tally, NDArray[np.float64]]]) -> dict[str, float]:
    if not counts:
        return {}
    measures = stream_scores.all_measures(*_added(counts))
    return {name: value for name, value in measures.items() if name.startswith(_MEASURES)}


def _added(counts: Sequence[tuple[Tally, NDArray[np.float64]]]) -> tuple[Tally, NDArray[np.float64]]:
    total = stream_scores.weighted_sum(
        stream_scores.stacked([tally for tally, _ in counts]), np.ones(len(counts))
    )
    return total, np.concatenate([delays_s for _, delays_s in counts])


def _mean(lengths: Sequence[int]) -> int:
    return round(sum(lengths) / len(lengths)) if lengths else 0
