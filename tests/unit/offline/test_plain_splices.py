"""The script that splices streams without `compose`: its labels say where its sound is."""

import importlib.util
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from realtime.events import Phase

SCRIPT = Path(__file__).resolve().parents[3] / "tests" / "bench" / "plain_splices.py"
TIMELINES = (
    "recording,phase,start_s,end_s\nA,E,0.0,1.0\nA,I,1.25,2.0\nA,E,1.9,3.0\nA,E,3.5,4.0\nB,I,0.0,9.0\n"
)


@pytest.fixture(scope="module")
def plain():
    spec = importlib.util.spec_from_file_location("plain_splices", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def gaps(plain, tmp_path):
    (tmp_path / "phases.csv").write_text(TIMELINES)
    return plain.gaps_from_timelines(tmp_path / "phases.csv")


def test_a_gap_lies_between_two_different_phases_of_one_recording(gaps):
    assert gaps == {Phase.EXHALE: [0.25], Phase.INHALE: [0.0]}


def test_days_with_too_few_clips_are_left_out(plain, breath_clips):
    days = tuple(sorted({clip.day for clip in breath_clips}))
    assert list(plain.takes_by_day(breath_clips, days[1:], 6)) == list(days[1:])
    assert plain.takes_by_day(breath_clips, days, 7) == {}


def test_labels_say_where_the_sound_is(plain, breath_clips, gaps):
    days = tuple(sorted({clip.day for clip in breath_clips}))
    takes = plain.takes_by_day(breath_clips, days, 1)[days[0]]
    sound, phases = plain.spliced(takes, gaps, 20.0, np.random.default_rng(0))
    assert len(sound) == 20 * 16_000
    is_breath = np.zeros(len(sound), bool)
    for before, after in pairwise(phases):
        assert before.phase is not after.phase
        assert (after.start_sample - before.end_sample) / 16_000 in gaps[before.phase]
    for phase in phases:
        is_breath[phase.start_sample : phase.end_sample] = True
        heard = sound[phase.start_sample : phase.end_sample]
        assert any(
            len(take) == len(heard) and np.allclose(take[80:-80], heard[80:-80])
            for take in takes[phase.phase]
        )
    assert not sound[~is_breath].any()
