"""What is wrong with a sound, on sounds that have just that wrong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.events import Condition, Gap, Health
from realtime.health import RULES, HealthState, advance, finish
from realtime.hum import hum_from_sound
from realtime.sinks.health_words import label_from_health, sentence_from_health
from realtime.sound.demo import DemoSource
from realtime.sound.sources import Block

RATE_HZ = 16_000
EMPTY = np.zeros((0, 1), np.float32)


def seconds_of(n_seconds, rate_hz=RATE_HZ):
    return np.arange(round(n_seconds * rate_hz)) / rate_hz


def noise(n_seconds, level=0.01, rate_hz=RATE_HZ, seed=0):
    return level * np.random.default_rng(seed).standard_normal(round(n_seconds * rate_hz))


def sine(n_seconds, freq_hz, level, rate_hz=RATE_HZ):
    return level * np.sin(2 * np.pi * freq_hz * seconds_of(n_seconds, rate_hz))


def breath(n_seconds):
    """Noise of one colour while breathing in, of another while breathing out, and rests."""
    hiss = noise(n_seconds, 0.05)
    rumble = np.convolve(hiss, np.ones(40) / 40, "same") * 4
    cycle = seconds_of(n_seconds) % 4.0
    return hiss * np.clip(np.sin(np.pi * cycle / 1.6), 0, 1) * (cycle < 1.6) + rumble * (
        np.clip(np.sin(np.pi * (cycle - 1.8) / 1.8), 0, 1) * (cycle > 1.8) * (cycle < 3.6)
    )


def as_table(sound):
    return np.asarray(sound, np.float32).reshape(len(sound), -1)


def heard(sound, rate_hz=RATE_HZ, n_block=320, channel=None):
    table = as_table(sound)
    state, events = HealthState.initial(rate_hz, channel), []
    for at in range(0, len(table), n_block):
        state, found = advance(state, Block(at, table[at : at + n_block]))
        events += found
    return state, events


def begun(events):
    return {event.condition for event in events if isinstance(event, Health) and event.is_beginning}


@pytest.mark.parametrize("sound", [noise(15), breath(15), sine(15, 440, 0.3), 0.2 * noise(15, 0.2)])
def test_a_good_sound_has_nothing_wrong(sound):
    assert heard(sound)[1] == []


def test_the_demo_has_nothing_wrong():
    sound = np.concatenate([block.samples for block in DemoSource(30, pace=None, seed=2).blocks()])
    assert heard(sound)[1] == []


def test_a_clipped_sine_is_too_loud_until_it_is_not():
    clipped = np.clip(sine(3, 440, 1.05), -1, 1)
    _, (begin, end) = heard(np.concatenate([noise(2), clipped, noise(6)]))
    assert (begin.condition, begin.is_beginning, begin.sample) == (Condition.CLIPPING, True, 3 * RATE_HZ)
    assert begin.value == pytest.approx(100 * 2 / np.pi * np.arccos(1 / 1.05), abs=1.0)
    assert begin.unit == "%"
    assert (end.condition, end.is_beginning, end.sample) == (Condition.CLIPPING, False, 8 * RATE_HZ)
    assert "too loud" in sentence_from_health(begin)


def test_a_sine_of_full_scale_without_flat_tops_is_not_clipped():
    assert Condition.CLIPPING not in begun(heard(sine(5, 441.7, 0.99))[1])


def test_one_clipped_channel_of_two_is_found_unless_the_other_is_listened_to():
    both = np.stack([noise(3), np.clip(sine(3, 440, 2.0), -1, 1)], axis=1)
    assert begun(heard(both)[1]) == begun(heard(both, channel=1)[1]) == {Condition.CLIPPING}
    assert heard(both, channel=0)[1] == []


def test_an_offset_is_dc_and_not_hum():
    _, events = heard(noise(6) - 0.05)
    (begin,) = events
    assert (begin.condition, begin.unit, begin.sample) == (Condition.DC_OFFSET, "%", 3 * RATE_HZ)
    assert begin.value == pytest.approx(5.0, abs=0.1)


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize(("mains_hz", "condition"), [(50, Condition.HUM_50_HZ), (60, Condition.HUM_60_HZ)])
def test_hum_is_found_and_told_apart(rate_hz, mains_hz, condition):
    # The mains are never quite exact.
    sound = noise(8, rate_hz=rate_hz) + sine(8, mains_hz * 1.003, 0.01, rate_hz)
    (begin,) = heard(sound, rate_hz)[1]
    assert (begin.condition, begin.unit) == (condition, "dB")
    assert begin.sample == 4 * RATE_HZ
    assert begin.value > 25
    assert f"{mains_hz} Hz" in sentence_from_health(begin)


def test_hum_whose_lowest_line_is_cut_off_is_found_by_the_others():
    sound = noise(8) + sum(sine(8, 50.0 * k, 0.01) for k in (3, 4))
    assert begun(heard(sound)[1]) == {Condition.HUM_50_HZ}


def test_a_steady_tone_elsewhere_is_not_hum():
    for freq_hz in (55.0, 110.0, 150.0, 240.0):
        assert begun(heard(noise(8) + sine(8, freq_hz, 0.01))[1]) == set(), freq_hz


def test_hum_ends_when_the_cable_is_moved():
    sound = np.concatenate([noise(6) + sine(6, 50, 0.02), noise(8, seed=1)])
    assert [event.is_beginning for event in heard(sound)[1]] == [True, False]


def test_breath_is_far_from_hum():
    sound = as_table(breath(40))[:, 0]
    for at in range(0, len(sound) - 2 * RATE_HZ, RATE_HZ // 2):
        for mains_hz in (50.0, 60.0):
            height_db = hum_from_sound(sound[at : at + 2 * RATE_HZ], RATE_HZ, mains_hz)
            assert 0.0 <= height_db < RULES[Condition.HUM_50_HZ].limit


def test_silence_is_a_muted_microphone_and_a_faint_sound_too_quiet():
    _, (muted,) = heard(np.zeros(12 * RATE_HZ))
    _, (faint,) = heard(noise(12, level=1e-4))
    assert muted.condition is faint.condition is Condition.TOO_QUIET
    assert muted.sample == faint.sample == 8 * RATE_HZ
    assert (muted.value, muted.unit) == (-120.0, "dBFS")
    assert faint.value == pytest.approx(-80, abs=0.5)
    assert "muted" in sentence_from_health(muted)
    assert "too quiet (-80 dB)" in sentence_from_health(faint)


def test_channels_that_cancel_are_silence():
    both = np.stack([noise(12), -noise(12)], axis=1)
    (told,) = heard(both)[1]
    assert (told.condition, told.value) == (Condition.TOO_QUIET, -120.0)
    assert heard(both, channel=0)[1] == []


def test_a_rest_between_breaths_is_not_too_quiet():
    sound = np.concatenate([noise(3), np.zeros(7 * RATE_HZ), noise(3), np.zeros(7 * RATE_HZ)])
    assert heard(sound)[1] == []


def test_overruns_are_gaps_and_counted_by_the_second():
    table, state, events = as_table(noise(12)), HealthState.initial(RATE_HZ), []
    for start, end in ((0, 8000), (8320, 8640), (8960, 12 * RATE_HZ)):
        state, found = advance(state, Block(start, table[start:end]))
        events += found
    gaps = [event for event in events if isinstance(event, Gap)]
    assert gaps == [
        Gap(8000, 8320, "this machine was too busy"), Gap(8640, 8960, "this machine was too busy")
    ]  # fmt: skip
    begin, end = [event for event in events if isinstance(event, Health)]
    assert (begin.condition, begin.value, begin.unit) == (Condition.OVERRUNS, 640.0, "samples")
    assert begin.sample == RATE_HZ + 640
    assert not end.is_beginning
    assert end.sample == begin.sample + 5 * RATE_HZ


def test_a_stall_and_a_loss_are_one_stall_and_one_gap():
    empty, sound = EMPTY, as_table(noise(1, rate_hz=8000))
    state, events = HealthState.initial(8000), []
    steps = [
        Block(0, sound), Block(8000, empty), Block(8000, empty), Block(20_000, empty, "device lost"),
        Block(24_000, sound, "device lost"), Block(32_000, sound),
    ]  # fmt: skip
    for block in steps:
        state, found = advance(state, block)
        events += found
    assert events == [
        Health(Condition.STALLED, True, 16_000, 0.8, "s"),
        Gap(16_000, 48_000, "device lost"),
        Health(Condition.STALLED, False, 48_000, 2.0, "s"),
    ]
    assert finish(state) == []


def test_a_session_that_ends_without_its_device_ends_in_a_gap():
    state, _ = advance(HealthState.initial(RATE_HZ), Block(0, as_table(noise(1))))
    state, _ = advance(state, Block(3 * RATE_HZ, EMPTY, "device lost"))
    assert finish(state) == [Gap(RATE_HZ, 3 * RATE_HZ, "device lost")]


def test_what_was_heard_before_a_loss_is_not_judged_with_what_comes_after():
    state, events = HealthState.initial(RATE_HZ), []
    loud = as_table(np.ones(RATE_HZ // 2))
    for start in range(0, 40 * RATE_HZ, 2 * RATE_HZ):
        state, found = advance(state, Block(start, loud, "device lost"))
        events += [event for event in found if isinstance(event, Health)]
    assert events == []


@settings(max_examples=20, deadline=None)
@given(n_block=st.integers(1, 50_000), rate_hz=st.sampled_from([8000, 11_025]))
def test_the_size_of_blocks_changes_nothing(n_block, rate_hz):
    n_block = max(n_block, 37)
    parts = [noise(2, rate_hz=rate_hz), np.clip(sine(3, 50, 1.5, rate_hz), -1, 1), np.full(rate_hz * 9, 0.1)]
    sound = np.concatenate(parts)
    events = heard(sound, rate_hz, n_block)[1]
    assert events == heard(sound, rate_hz, len(sound))[1]
    assert begun(events) >= {Condition.CLIPPING, Condition.DC_OFFSET, Condition.TOO_QUIET}


@pytest.mark.parametrize("condition", list(Condition))
def test_every_condition_has_words_for_people(condition):
    event = Health(condition, True, 0, 12.3, RULES[condition].unit)
    for text in (sentence_from_health(event), label_from_health(event)):
        assert "{" not in text
        assert len(text) > 5


def test_about_a_recording_nothing_can_be_done_any_more():
    quiet = Health(Condition.TOO_QUIET, True, 16_000, -62.0, "dB")
    assert sentence_from_health(quiet) == "too quiet (-62 dB); turn the microphone up, or bring it closer"
    for condition in set(Condition) - {Condition.STALLED}:
        said = sentence_from_health(Health(condition, True, 16_000, 12.0, "%"), is_live=False)
        assert said.endswith(", in this recording")
        assert "microphone" not in said
