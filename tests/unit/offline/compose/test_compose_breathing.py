from itertools import pairwise

import numpy as np
import pytest

from offline.compose.breathing import breath_from_timeline
from offline.compose.grains import texture_from_clip
from offline.compose.levels import band_power
from offline.compose.material import Material, take_from_samples
from offline.compose.timeline import Slot, Timeline, draw_timeline
from realtime.events import Phase
from realtime.labels import PhaseInterval

N_CLIP = 9_600


@pytest.fixture
def clip():
    rng = np.random.default_rng(1)
    return np.convolve(0.05 * rng.standard_normal(N_CLIP + 7), np.ones(8) / 3, "valid").astype(np.float32)


def envelope(sound):
    return np.sqrt(np.mean(sound[: len(sound) // 160 * 160].reshape(-1, 160) ** 2, axis=1))


def likeness_at(sound, lag, width):
    """Largest normalised autocorrelation near a lag."""
    centred = sound - sound.mean()
    energy = np.dot(centred, centred)
    lags = range(lag - width, lag + width + 1)
    return max(
        float(np.dot(centred[k:], centred[:-k])) / energy * len(sound) / (len(sound) - k) for k in lags
    )


def test_the_measure_of_loops_hears_a_loop(clip):
    looped = np.resize(clip, 6 * N_CLIP)
    assert likeness_at(looped, N_CLIP, 8) > 0.95
    assert likeness_at(envelope(looped), N_CLIP // 160, 2) > 0.95


@pytest.mark.parametrize("seed", range(4))
def test_a_texture_does_not_repeat_at_the_lengths_of_its_clip_or_its_grains(clip, seed):
    grain = 1_280
    texture, _ = texture_from_clip(clip, 6 * N_CLIP, grain, np.random.default_rng(seed))
    steady = round(0.73 * N_CLIP)
    for lag in (N_CLIP, steady, grain):
        assert likeness_at(texture, lag, 8) < 0.1
    for lag in (N_CLIP, steady):
        assert likeness_at(envelope(texture), lag // 160, 2) < 0.25


def test_a_texture_is_steady_has_the_level_one_and_the_spectrum_of_the_clip(clip):
    texture, level = texture_from_clip(clip, 64_000, 1_280, np.random.default_rng(0))
    assert texture.dtype == np.float32
    assert len(texture) == 64_000
    assert np.sqrt(np.mean(texture**2)) == pytest.approx(1, abs=0.1)
    pieces = texture.reshape(-1, 3_200)
    assert np.ptp(10 * np.log10(np.mean(pieces**2, axis=1))) < 5
    assert level == pytest.approx(np.sqrt(np.mean(clip**2)), rel=0.1)
    for band in ((100, 500), (500, 1000), (1000, 2000)):
        ratio = band_power(texture, band) / (band_power(clip, band) / level**2)
        assert abs(10 * np.log10(ratio)) < 1.5


def test_a_knock_in_the_clip_does_not_come_back_with_every_grain(clip):
    knocked = clip.copy()
    knocked[5_000:5_060] += 1.0
    texture, _ = texture_from_clip(knocked, 64_000, 1_280, np.random.default_rng(0))
    assert np.abs(texture).max() < 6


@pytest.mark.parametrize("n_clip", [1_600, 1_990, 16_000])
@pytest.mark.parametrize("n_samples", [1, 100, 30_000])
def test_any_clip_makes_any_length(n_clip, n_samples):
    rng = np.random.default_rng(2)
    texture, _ = texture_from_clip(
        rng.standard_normal(n_clip).astype(np.float32), n_samples, 1_920, np.random.default_rng(0)
    )
    assert len(texture) == n_samples
    assert np.isfinite(texture).all()


def test_the_texture_of_digital_silence_is_finite():
    texture, _ = texture_from_clip(np.zeros(8_000, np.float32), 8_000, 1_280, np.random.default_rng(0))
    assert np.isfinite(texture).all()


def breaths(material, settings, n=3):
    for seed in range(n):
        timeline = draw_timeline(settings, np.random.default_rng(seed))
        for day in material.days.values():
            yield breath_from_timeline(timeline, day, settings, np.random.default_rng(seed)), day


@pytest.mark.parametrize("kind", ["fast", "slow", "mixed"])
def test_sound_lies_within_the_labels_and_nearly_nowhere_else(material, alone, kind):
    for breath, _ in breaths(material, alone(kind=kind, seconds=40)):
        is_breath = np.zeros(len(breath.samples), bool)
        for phase in breath.phases:
            is_breath[phase.start_sample : phase.end_sample] = True
            inside = breath.samples[phase.start_sample : phase.end_sample]
            assert np.sqrt(np.mean(inside**2)) > 0.002
            # It begins where the label does, too.
            assert np.abs(inside[:800]).max() > 0.0005
        energy = np.sum(breath.samples**2)
        assert np.sum(breath.samples[~is_breath] ** 2) < 0.001 * energy
        # Nothing but the fall of a phase that was cut, 10 ms at most.
        is_tail = np.convolve(is_breath, np.ones(162))[: len(is_breath)] > 0
        assert not breath.samples[~is_tail].any()


@pytest.mark.parametrize("kind", ["fast", "slow"])
def test_every_clip_is_of_the_day_and_the_phase_and_never_twice_in_a_row(material, alone, kind):
    for breath, day in breaths(material, alone(kind=kind)):
        for phase in (Phase.INHALE, Phase.EXHALE):
            names = [clip["file"] for clip in breath.clips if clip["phase"] == phase]
            assert set(names) <= {take.name for take in day.takes[phase]}
            assert all(one != next_one for one, next_one in pairwise(names))
        assert [(p.start_sample, p.end_sample - p.start_sample, p.phase.value) for p in breath.phases] == [
            (clip["start_sample"], clip["n_samples"], clip["phase"]) for clip in breath.clips
        ]


def test_a_cut_or_whole_clip_is_heard_as_it_is_and_only_longer_phases_are_carried_on(material, alone):
    settings = alone(kind="fast", level_spread=(1, 1))
    n_checked = 0
    for breath, day in breaths(material, settings, 2):
        sounds = {take.name: take.samples for takes in day.takes.values() for take in takes}
        for clip in breath.clips:
            natural = sounds[clip["file"]]
            assert clip["is_carried_on"] == (clip["n_samples"] > len(natural))
            if not clip["is_carried_on"]:
                middle = slice(400, clip["n_samples"] - 1_700)
                heard = breath.samples[clip["start_sample"] :][middle]
                np.testing.assert_array_equal(heard, natural[middle])
                n_checked += 1
    assert n_checked > 50


def test_a_slow_exhalation_falls_and_a_slow_inhalation_swells(material, alone):
    thirds = {Phase.INHALE: [], Phase.EXHALE: []}
    for breath, _ in breaths(material, alone(kind="slow")):
        for phase in breath.phases:
            sound = breath.samples[phase.start_sample : phase.end_sample]
            thirds[phase.phase].append([np.mean(part**2) for part in np.array_split(sound, 3)])
    inhale_db, exhale_db = (10 * np.log10(np.median(thirds[phase], axis=0)) for phase in thirds)
    assert exhale_db[0] > exhale_db[1] + 2 > exhale_db[2] + 4
    assert inhale_db[1] > inhale_db[0] + 1
    assert inhale_db[1] > inhale_db[2] + 1


@pytest.mark.parametrize("kind", ["fast", "slow"])
def test_there_are_no_clicks(alone, kind):
    """Clips of a low tone that neither rise nor fall: any join without a fade would jump."""
    amplitude, pitch_hz = 0.1, 60.0
    steepest = amplitude * 2 * np.pi * pitch_hz / 16_000
    takes = []
    for number in range(16):
        time_s = np.arange(7_000 + 500 * (number % 8)) / 16_000
        tone = amplitude * np.sin(2 * np.pi * pitch_hz * time_s + number)
        phase = (Phase.INHALE, Phase.EXHALE)[number // 8]
        takes.append(("day", take_from_samples(f"{number}", phase, tone.astype(np.float32))))
    day = Material.from_takes(takes).days["day"]
    settings = alone(kind=kind, crossfade_s=(0.008, 0.008))
    timeline = draw_timeline(settings, np.random.default_rng(0))
    sound = breath_from_timeline(timeline, day, settings, np.random.default_rng(0)).samples
    # Grains in phase add up to less than three times the tone; a bare cut would be 40 times as steep.
    assert np.abs(np.diff(sound)).max() < 4 * steepest


def test_a_cut_phase_falls_into_the_one_that_follows_at_once(material, alone):
    day = next(iter(material.days.values()))
    slots = (
        Slot(PhaseInterval(0, 5_000, Phase.INHALE), is_slow=False),
        Slot(PhaseInterval(5_000, 10_000, Phase.EXHALE), is_slow=False),
    )

    def heard(slots):
        timeline = Timeline(10_000, slots, (), 0)
        return breath_from_timeline(timeline, day, alone(), np.random.default_rng(0))

    both, first = heard(slots), heard(slots[:1])
    assert [phase.end_sample for phase in both.phases] == [5_000, 10_000]
    assert first.samples[5_000:5_080].any()
    assert not first.samples[5_160:].any()
    np.testing.assert_array_equal(both.samples[:5_000], first.samples[:5_000])
    assert np.sqrt(np.mean(both.samples[5_000:5_160] ** 2)) > 0.001


def test_the_spread_of_levels_is_narrowed_as_asked(material, alone):
    def spread_db(level_spread):
        levels = []
        for breath, _ in breaths(material, alone(kind="fast", level_spread=(level_spread, level_spread)), 1):
            for phase in breath.phases:
                if phase.phase is Phase.INHALE:
                    sound = breath.samples[phase.start_sample : phase.end_sample]
                    levels.append(10 * np.log10(band_power(sound)))
        return np.std(levels)

    assert spread_db(0.1) < 0.6 * spread_db(1.0)
