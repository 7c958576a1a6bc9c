"""Spliced streams of which all is shown right: what the rows then say, against the truth of the stream."""

import numpy as np
import pytest

from engines.contract import RATE_HZ
from offline.compose.composer import Composer
from realtime.breaths import BreathCounter, BreathSettings
from realtime.events import Breath, Frame, Phase, PhaseEvent

HOP = 1600
MINUTE = 60 * RATE_HZ


def shown(phases, n_samples):
    """Changes of phase and frames, as if everything were shown right, each at the next hop."""
    changes = []
    for before, phase in zip((None, *phases), (*phases, None), strict=True):
        if before is not None and (phase is None or before.end_sample < phase.start_sample):
            changes.append((before.end_sample, Phase.NONE))
        if phase is not None:
            changes.append((phase.start_sample, phase.phase))
    for end in range(RATE_HZ, n_samples + 1, HOP):
        while changes and changes[0][0] <= end:
            onset, phase = changes.pop(0)
            yield PhaseEvent(phase, onset, end, 0.9)
        yield Frame(end, 0.5, Phase.NONE, 0.9, -40.0)


def true_rate_per_min(phases, from_sample, to_sample):
    """Of the true breaths that lie there and have both phases: real timelines leave one out now and then.

    A phase that comes again within a second goes on, as the rows have it.
    """
    onsets = [
        (phase.start_sample, phase.phase)
        for before, phase in zip((None, *phases[:-1]), phases, strict=True)
        if before is None
        or before.phase is not phase.phase
        or phase.start_sample - before.end_sample > RATE_HZ
    ]
    cycles = [
        last - first
        for (first, one), (_, two), (last, three) in zip(onsets, onsets[1:], onsets[2:], strict=False)
        if (one, two, three) == (Phase.INHALE, Phase.EXHALE, Phase.INHALE)
        and from_sample <= first
        and last <= to_sample
    ]
    return 60 * RATE_HZ / np.mean(cycles)


@pytest.mark.parametrize("kind", ["fast", "slow", "mixed"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_rate_of_the_last_minute_is_within_half_a_breath_of_the_truth(material, alone, kind, seed):
    stream = Composer(material, alone(kind=kind, seconds=150)).stream(seed)
    onsets = [phase.start_sample for phase in stream.phases if phase.phase is Phase.INHALE]
    counter = BreathCounter(BreathSettings())
    rows, n_compared = [], 0
    for event in shown(stream.phases, len(stream.samples)):
        rows += counter.push(event)
        if not isinstance(event, Frame) or event.end_sample % RATE_HZ or event.end_sample < MINUTE:
            continue
        true_rate = true_rate_per_min(stream.phases, event.end_sample - MINUTE, event.end_sample)
        assert counter.breaths_per_min == pytest.approx(true_rate, abs=0.5), event.end_sample / RATE_HZ
        n_compared += 1
    assert n_compared > 60
    breaths = [row for row in rows if isinstance(row, Breath)]
    assert len(breaths) > 0.9 * (len(onsets) - 1) > 10
    assert {breath.inhale_onset_sample for breath in breaths} <= set(onsets)
