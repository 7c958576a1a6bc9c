import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import fft

from engines.errors import AudioFileError, ConfigError, LabelsError
from offline.clips import ClipSet
from offline.compose.channel import microphone_response, room_response
from offline.compose.composer import Composer
from offline.compose.levels import BREATH_BAND_HZ, band_power
from offline.compose.material import Material
from offline.compose.negatives import Negatives
from offline.compose.noise import COLOURS, coloured_noise, heart_beats, hum, recording_floor
from offline.compose.settings import ComposeSettings

DAYS = ("20300101", "20300102")


def powers_db(stream, band_hz=BREATH_BAND_HZ):
    """Power within the band: in the phases, between them."""
    spectrum = fft.rfft(stream.samples.astype(np.float64))
    frequency = np.arange(len(spectrum)) * 16_000 / len(stream.samples)
    spectrum[(frequency < band_hz[0]) | (frequency > band_hz[1])] = 0
    filtered = fft.irfft(spectrum, len(stream.samples))
    is_breath = np.zeros(len(filtered), bool)
    # The fall of a phase belongs to neither.
    is_between = np.ones(len(filtered), bool)
    for phase in stream.phases:
        is_breath[phase.start_sample : phase.end_sample] = True
        is_between[phase.start_sample - 320 : phase.end_sample + 320] = False
    return np.mean(filtered[is_breath] ** 2), np.mean(filtered[is_between] ** 2)


def measured_snr_db(stream):
    with_breath, without = powers_db(stream)
    return 10 * np.log10((with_breath - without) / without)


@pytest.mark.parametrize("kind", ["fast", "slow", "mixed"])
def test_the_same_seed_makes_the_same_stream_and_another_one_another(material, kind):
    settings = ComposeSettings(kind=kind, seconds=20)
    one, again, other = (Composer(material, settings).stream(seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one.samples, again.samples)
    assert one.phases == again.phases
    assert one.parameters == again.parameters
    assert one.phases != other.phases
    assert one.samples.dtype == np.float32
    assert len(one.samples) == 320_000


def test_what_is_around_the_breath_leaves_the_breath_alone(material, alone):
    bare = Composer(material, alone(seconds=20)).stream(3)
    noisy = Composer(material, ComposeSettings(seconds=20, snr_db=(0, 0), reverb_share=1)).stream(3)
    assert bare.phases == noisy.phases
    assert bare.parameters["clips"] == noisy.parameters["clips"]
    assert not np.array_equal(bare.samples, noisy.samples)


@pytest.mark.parametrize("snr_db", [20, 10, 5, 0])
@pytest.mark.parametrize("kind", ["fast", "slow"])
@pytest.mark.parametrize(
    "extra", [{}, {"hum_share": 1.0}, {"floor_db": (-6, 0)}], ids=["bare", "hum", "floor"]
)
def test_the_ratio_measured_is_the_one_asked_for(material, alone, kind, snr_db, extra):
    settings = alone(kind=kind, snr_db=(snr_db, snr_db), clean_share=0.0, level_spread=(0.2, 0.2), **extra)
    stream = Composer(material, settings).stream(1)
    assert measured_snr_db(stream) == pytest.approx(snr_db, abs=1)
    assert stream.parameters["snr_db"] == snr_db


def test_clean_streams_have_no_noise_but_the_floor(material, alone):
    settings = alone(snr_db=(0, 0), clean_share=1.0, floor_db=(-6, -6))
    stream = Composer(material, settings).stream(1)
    assert stream.parameters["snr_db"] is None
    assert measured_snr_db(stream) == pytest.approx(stream.parameters["noise"]["floor_snr_db"], abs=1)


def test_a_stream_uses_one_day(material):
    composer = Composer(material, ComposeSettings(seconds=20))
    for seed in range(5):
        parameters = composer.stream(seed).parameters
        assert all(clip["file"].startswith(parameters["day"]) for clip in parameters["clips"])
    assert composer.stream(0, day=DAYS[1]).parameters["day"] == DAYS[1]
    assert {composer.stream(seed).parameters["day"] for seed in range(12)} == set(DAYS)


def test_a_day_with_too_few_clips_is_left_out_and_said(make_takes):
    takes = [("rich", take) for take in make_takes(1)] + [("poor", take) for take in make_takes(2, n_each=5)]
    found = Material.from_takes(takes)
    assert list(found.days) == ["rich"]
    assert found.left_out == {"poor": "5 inhalations, 5 exhalations"}
    with pytest.raises(ConfigError, match="poor: 5 inhalations"):
        Composer(found, ComposeSettings()).stream(0, day="poor")
    with pytest.raises(LabelsError, match="6 clips of each phase"):
        Material.from_takes(takes[-10:])


def test_only_the_natural_part_of_a_clip_is_material(clip_set_folder):
    clips = ClipSet.read(clip_set_folder)
    by_name = {clips.name_of(clip): clip for clip in clips}
    for day in Material.read(clips).days.values():
        for takes in day.takes.values():
            for take in takes:
                assert len(take.samples) == by_name[take.name].natural_samples
                assert abs(take.samples.mean()) < 1e-6
    without = [replace(clip, natural_samples=None) for clip in clips]
    with pytest.raises(LabelsError, match=r"true_durations\.csv"):
        Material.read(without)


def test_parameters_can_be_written_as_json(material, negatives_folder):
    settings = ComposeSettings(
        reverb_share=1, heart_share=1, hum_share=1, clean_share=0, soft_clip_share=1, negatives_per_min=(9, 9)
    )
    stream = Composer(material, settings, Negatives.find(negatives_folder)).stream(0)
    assert json.loads(json.dumps(stream.parameters, allow_nan=False)) == stream.parameters
    assert stream.parameters["heart"]["rate_per_min"] >= 50
    assert {"reverb", "microphone", "soft_clip_db", "gain_db"} <= set(stream.parameters["channel"])
    assert len(stream.parameters["negatives"]) > 3


def test_a_sound_in_a_pause_has_its_level_relative_to_the_breath(material, alone, negatives_folder):
    settings = alone(
        long_pauses_per_min=(6, 6), pause_negative_share=1.0, negative_snr_db=(3, 3), level_spread=(0, 0)
    )
    stream = Composer(material, settings, Negatives.find(negatives_folder)).stream(2)
    used = stream.parameters["negatives"]
    assert len(used) >= 2
    assert [clip["start_sample"] for clip in used] == [start for start, _ in stream.parameters["long_pauses"]]
    in_phases, _ = powers_db(stream)
    for sound in used:
        piece = stream.samples[sound["start_sample"] :][: sound["n_samples"]]
        assert 10 * np.log10(in_phases / band_power(piece)) == pytest.approx(3, abs=1)


def test_sounds_over_breath_do_not_change_the_labels(material, alone, negatives_folder):
    settings = alone(negatives_per_min=(20, 20))
    bare = Composer(material, settings).stream(2)
    over = Composer(material, settings, Negatives.find(negatives_folder)).stream(2)
    assert bare.phases == over.phases
    assert len(over.parameters["negatives"]) > 5


def test_a_stream_without_breath_has_sound_and_no_phases(material, negatives_folder):
    composer = Composer(material, ComposeSettings(seconds=30), Negatives.find(negatives_folder))
    stream = composer.negative_stream(1)
    assert stream.phases == ()
    assert stream.parameters["kind"] == "negative"
    assert np.sqrt(np.mean(stream.samples**2)) > 1e-4
    np.testing.assert_array_equal(stream.samples, composer.negative_stream(1).samples)
    with pytest.raises(ConfigError, match="--negatives"):
        Composer(material, ComposeSettings()).negative_stream(0)


def test_negatives_of_one_source_are_in_one_part(negatives_folder, tmp_path):
    for number in range(40):
        (negatives_folder / f"{number % 5 + 1}-{1000 + number // 2}-{'AB'[number % 2]}.wav").touch()
    parts = {}
    for part in ("train", "validation", "test"):
        parts[part] = {path.stem for path in Negatives.find(negatives_folder, part).paths}
    names = {path.stem for path in Negatives.find(negatives_folder).paths}
    assert set.union(*parts.values()) == names
    assert sum(len(found) for found in parts.values()) == len(names)
    sources = [{stem.split("-")[1] for stem in found if "-" in stem} for found in parts.values()]
    assert not sources[0] & sources[1] | sources[0] & sources[2] | sources[1] & sources[2]
    with pytest.raises(ConfigError, match="no folder"):
        Negatives.find(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="none for the part test"):
        Negatives.find(tmp_path / "empty", "test")


def test_a_negative_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "bad.wav").write_text("no sound")
    with pytest.raises(AudioFileError, match=r"bad\.wav"):
        Negatives.find(tmp_path).stretch(100, np.random.default_rng(0))


@pytest.mark.parametrize("gain_db", [-30, -12, 0])
def test_the_end_has_the_gain_asked_for_on_the_grid_of_16_bits(material, alone, gain_db):
    stream = Composer(material, alone(gain_db=(gain_db, gain_db))).stream(0)
    pieces = [np.abs(stream.samples[phase.start_sample : phase.end_sample]) for phase in stream.phases]
    assert 20 * np.log10(np.quantile(np.concatenate(pieces), 0.999)) == pytest.approx(gain_db, abs=0.5)
    steps = stream.samples * 32768
    np.testing.assert_array_equal(steps, np.rint(steps))
    assert steps.min() >= -32768
    assert steps.max() <= 32767
    assert (stream.parameters["channel"]["share_clipped"] > 0) == (gain_db == 0)


def test_a_microphone_has_its_band_and_delays_nothing():
    response = microphone_response(100.0, 2000.0, np.zeros(8))
    gain_db = 20 * np.log10(np.abs(np.fft.rfft(response, 16_000)))
    assert abs(gain_db[500]) < 0.5
    assert gain_db[100] == pytest.approx(-3, abs=1)
    assert gain_db[2000] == pytest.approx(-3, abs=1)
    assert gain_db[20] < -10
    assert gain_db[4000] < -30
    energy = np.cumsum(response.astype(np.float64) ** 2)
    assert np.argmax(energy > 0.5 * energy[-1]) < 16


def test_a_room_has_its_reverberation_time_and_level():
    response = room_response(0.5, -10.0, np.random.default_rng(0)).astype(np.float64)
    assert response[0] == 1
    tail = response[1:] ** 2
    assert 10 * np.log10(tail.sum()) == pytest.approx(-10, abs=0.1)
    left_db = 10 * np.log10(np.cumsum(tail[::-1])[::-1] / tail.sum())
    assert np.argmax(left_db < -30) / 16_000 == pytest.approx(0.25, abs=0.03)


def test_reverberation_rings_on_after_a_phase(material, alone):
    dry = Composer(material, alone(kind="slow")).stream(0)
    wet = Composer(material, alone(kind="slow", reverb_share=1.0, rt60_s=(0.6, 0.6), wet_db=(-6, -6))).stream(
        0
    )
    assert dry.phases == wet.phases
    assert powers_db(wet)[1] > 10 * powers_db(dry)[1]


def test_an_overdriven_input_is_softly_limited(material, alone):
    driven = Composer(material, alone(soft_clip_share=1.0, soft_clip_db=(10, 10))).stream(0)
    assert 20 * np.log10(np.abs(driven.samples).max()) <= -12 - 10 + 0.1


@pytest.mark.parametrize(("colour", "fall_db"), [("white", 0), ("pink", -3), ("brown", -6)])
def test_coloured_noise_falls_as_it_should(colour, fall_db):
    noise = coloured_noise(320_000, colour, np.random.default_rng(0))
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(1, abs=0.15)
    octaves = [band_power(noise, (low, 2 * low)) / low for low in (100, 200, 400, 800, 1600)]
    assert np.diff(10 * np.log10(octaves)).mean() == pytest.approx(fall_db, abs=0.3)
    assert set(COLOURS) == {"white", "pink", "brown"}


def test_the_floor_is_like_the_quiet_of_the_recordings(material):
    day = material.days[DAYS[0]]
    floor = recording_floor(320_000, day, np.random.default_rng(0))
    assert np.mean(floor**2) == pytest.approx(day.floor_power, rel=0.05)
    assert 10 * np.log10(band_power(floor, (120, 1500)) / band_power(floor, (3000, 8000))) > 20


def test_hum_and_heart_are_low():
    tone, drawn = hum(32_000, np.random.default_rng(0))
    mains_hz = drawn["mains_hz"]
    lines = sum(band_power(tone, (k * mains_hz - 1, k * mains_hz + 1)) for k in range(1, 9))
    assert lines == pytest.approx(1, abs=0.02)
    beats, drawn = heart_beats(32_000 * 10, np.random.default_rng(0))
    assert np.abs(beats).max() <= 1
    assert band_power(beats, (20, 120)) > 0.95 * np.mean(beats**2)
    loud = np.abs(beats) > 0.65
    onsets = 1 + np.sum(np.diff(np.flatnonzero(loud)) > 3_200)
    assert onsets == pytest.approx(20 / 60 * drawn["rate_per_min"], abs=3)


def test_a_stream_too_short_for_a_phase_still_has_its_noise(material):
    stream = Composer(material, ComposeSettings(seconds=1, lead_in_s=(0.9, 0.9), clean_share=0)).stream(0)
    assert stream.phases == ()
    assert np.abs(stream.samples).max() > 0


def test_seeds_are_not_negative(material):
    with pytest.raises(ConfigError, match="seed"):
        Composer(material, ComposeSettings()).stream(-1)
