from dataclasses import replace

import numpy as np
import pytest

from engines.contract import WINDOW_SAMPLES
from engines.errors import ConfigError, LabelsError
from offline.clips import read_clip
from offline.compose.composer import Stream
from offline.compose.negatives import Negatives
from offline.training.live_settings import BATCH_WINDOWS, KINDS, LiveSettings
from offline.training.live_windows import BREATH, NO_BREATH, UNKNOWN, WindowSource, at_tempo, phases_at
from offline.training.opinions import Opinions
from realtime.events import Phase
from realtime.labels import PhaseInterval

# Between the two tones of the clips, at every tempo that is used here.
MIDDLE_HZ = 640
HEARD_SAMPLES = 256


@pytest.fixture(scope="module")
def make_source(breath_clips, negatives_folder):
    """`make_source(kind, ...)`: a source of one kind of window, nothing added unless asked for."""

    def make(*kinds, clips=breath_clips, **settings):
        shares = tuple(float(kinds.count(kind)) for kind in KINDS)
        chosen = {"shares": shares, "bare_share": 1.0, "stream_s": 20.0, **settings}
        return WindowSource(clips, Negatives.find(negatives_folder, "train"), LiveSettings(**chosen))

    return make


def heard_at(samples, lag_s):
    """Loudest pitch (Hz) and peak of the 16 ms of each window that end `lag_s` before its end."""
    last = WINDOW_SAMPLES - round(lag_s * 16_000)
    pieces = samples[:, last - HEARD_SAMPLES : last]
    spectra = np.abs(np.fft.rfft(pieces * np.hanning(HEARD_SAMPLES), 1024))
    return spectra.argmax(axis=1) * 16_000 / 1024, np.abs(pieces).max(axis=1)


def share_of_true_phases(windows, lag_s):
    pitch_hz, _ = heard_at(windows.samples, lag_s)
    has_phase = windows.presence == BREATH
    return np.mean((pitch_hz < MIDDLE_HZ)[has_phase] == windows.prob_exhale[has_phase])


def assert_same(one, other):
    for name in ("samples", "prob_exhale", "presence"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("kind", ["fast", "slow", "mixed"])
@pytest.mark.parametrize(
    ("tempo", "label_lag_s"), [((1.0, 1.0), 0.0), ((0.7, 0.7), 0.0), ((1.3, 1.3), 0.3), ((0.88, 1.14), 0.3)]
)
def test_a_window_is_labelled_by_what_is_heard_there(make_source, kind, tempo, label_lag_s):
    windows = make_source(kind, tempo=tempo, label_lag_s=label_lag_s).batch((7,))
    assert windows.samples.shape == (BATCH_WINDOWS, WINDOW_SAMPLES)
    assert windows.samples.dtype == np.float32
    assert set(windows.presence) == {BREATH, NO_BREATH}
    assert set(windows.prob_exhale[windows.presence == BREATH]) == {True, False}
    assert share_of_true_phases(windows, label_lag_s) >= 0.96


def test_another_lag_or_tempo_would_be_found_out(make_source):
    """The test above can fail: a quarter of a second beside the label something else is heard."""
    windows = make_source("fast", tempo=(1.3, 1.3), label_lag_s=0.3).batch((7,))
    assert share_of_true_phases(windows, 0.3 + 0.25) < 0.9
    assert share_of_true_phases(windows, 0.3 - 0.25) < 0.9


def test_there_is_no_breath_in_silence_and_mostly_where_it_is_loud(make_source):
    source = make_source("fast", "slow", label_lag_s=0.1)
    batches = [source.batch((seed,)) for seed in range(4)]
    presence = np.concatenate([windows.presence for windows in batches])
    level = np.concatenate([heard_at(windows.samples, 0.1)[1] for windows in batches])
    is_silent = level < 1e-5
    assert is_silent.any()
    assert (presence[is_silent] == NO_BREATH).all()
    assert np.mean((level > 0.01) == (presence == BREATH)) > 0.85


def test_streams_of_negatives_have_no_breath(make_source):
    windows = make_source("negative", bare_share=0.5).batch((0,))
    assert (windows.presence == NO_BREATH).all()
    assert not windows.prob_exhale.any()
    assert windows.targets.tolist() == [[0.0, 0.0]] * BATCH_WINDOWS
    assert windows.weights.tolist() == [[0.0, 1.0]] * BATCH_WINDOWS
    assert (np.abs(windows.samples).max(axis=1) > 0).all()


def test_bare_clips_are_clips_of_unknown_presence(make_source, breath_clips):
    windows = make_source("clip").batch((0,))
    label_of = {read_clip(clip.path).tobytes(): clip.label for clip in breath_clips}
    labels = [label_of[sound.tobytes()] for sound in windows.samples]
    assert windows.prob_exhale.tolist() == [label == 1 for label in labels]
    assert (windows.presence == UNKNOWN).all()
    assert windows.weights.tolist() == [[1.0, 0.0]] * BATCH_WINDOWS
    assert windows.targets[:, 0].tolist() == labels


def test_clips_heard_elsewhere_keep_their_labels(make_source):
    windows = make_source("clip", bare_share=0.0).batch((0,))
    assert windows.samples.shape == (BATCH_WINDOWS, WINDOW_SAMPLES)
    assert windows.samples.dtype == np.float32
    spectra = np.abs(np.fft.rfft(windows.samples, axis=1))[:, 150:2000]
    is_low = 150 + spectra.argmax(axis=1) < MIDDLE_HZ
    assert np.mean(is_low == windows.prob_exhale) > 0.9


def test_a_clip_comes_once_where_there_are_enough(make_source, breath_clips):
    few = replace(breath_clips, clips=breath_clips.clips[:12])
    repeated = make_source("clip", clips=few).batch((0,))
    assert len({sound.tobytes() for sound in repeated.samples}) <= 12
    many = replace(breath_clips, clips=breath_clips.clips * 2)
    assert len(many) > BATCH_WINDOWS
    counts = np.unique(make_source("clip", clips=many).batch((0,)).samples, axis=0, return_counts=True)[1]
    assert counts.max() <= 2


def test_breathing_windows_count_for_both_outputs_where_there_is_breath(make_source):
    windows = make_source("fast").batch((3,))
    has_breath = windows.presence == BREATH
    np.testing.assert_array_equal(windows.weights, np.stack([has_breath, np.ones(BATCH_WINDOWS)], axis=1))
    np.testing.assert_array_equal(windows.targets[:, 1], has_breath)
    np.testing.assert_array_equal(windows.targets[:, 0], windows.prob_exhale)
    assert windows.targets.dtype == windows.weights.dtype == np.float32


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seeds_draw_the_same_batch(make_source, kind):
    settings = {"bare_share": 0.3, "stream_s": 5.0}
    first, again = (make_source(kind, **settings).batch((5, 0, 2)) for _ in range(2))
    assert_same(first, again)
    assert np.isfinite(first.samples).all()


@pytest.mark.parametrize("seeds", [(5, 0, 3), (5, 1, 2), (6, 0, 2)])
def test_other_seeds_draw_another_batch_and_change_no_other(make_source, seeds):
    source = make_source("fast", stream_s=5.0)
    before = source.batch((5, 0, 2))
    assert not np.array_equal(source.batch(seeds).samples, before.samples)
    assert_same(source.batch((5, 0, 2)), before)


def test_batches_are_of_each_kind_as_often_as_asked(make_source):
    source = make_source("negative", "clip", "clip", "clip", stream_s=5.0)
    kinds = [set(source.batch((seed,)).presence.tolist()) for seed in range(32)]
    assert all(kind in ({UNKNOWN}, {NO_BREATH}) for kind in kinds)
    assert 18 <= kinds.count({UNKNOWN}) <= 30


def test_clips_of_unknown_length_make_no_stream(make_source, breath_clips):
    clips = tuple(replace(clip, natural_samples=None) for clip in breath_clips)
    with pytest.raises(LabelsError, match="of known natural length"):
        make_source("fast", clips=replace(breath_clips, clips=clips))


def test_streams_longer_than_can_be_are_refused(make_source):
    with pytest.raises(ConfigError, match="1 to 3600 seconds"):
        make_source("fast", stream_s=3601.0)


PHASES = (
    PhaseInterval(100, 200, Phase.INHALE),
    PhaseInterval(200, 260, Phase.EXHALE),
    PhaseInterval(400, 500, Phase.EXHALE),
)


def test_a_phase_goes_from_its_first_sample_to_its_last():
    at = {0: -1, 99: -1, 100: 0, 199: 0, 200: 1, 259: 1, 260: -1, 399: -1, 400: 2, 499: 2, 500: -1, 9999: -1}
    assert phases_at(PHASES, np.array(list(at))).tolist() == list(at.values())
    assert phases_at((), np.array([0, 5])).tolist() == [-1, -1]


@pytest.mark.parametrize("tempo", [0.5, 0.88, 1.0, 1.14, 2.0])
def test_phases_stay_with_their_sound_at_another_tempo(tempo):
    """The level says the state: 0.5 exhale, 0.25 inhale, 0 neither."""
    random = np.random.default_rng(0)
    edges = np.cumsum(random.integers(1000, 2000, 31))
    states = random.integers(-1, 2, 30)
    level_of = {-1: 0.0, 0: 0.25, 1: 0.5}
    samples = np.zeros(edges[-1], np.float32)
    phases = []
    for state, start, end in zip(states, edges[:-1], edges[1:], strict=True):
        samples[start:end] = level_of[int(state)]
        if state >= 0:
            phase = Phase.EXHALE if state else Phase.INHALE
            phases.append(PhaseInterval(int(start), int(end), phase))
    sound, moved = at_tempo(Stream(samples, tuple(phases), {}), tempo)
    assert len(sound) == pytest.approx(len(samples) / tempo, abs=1)
    assert [phase.phase for phase in moved] == [phase.phase for phase in phases]
    at = np.arange(len(sound))
    is_clear = np.abs(at[:, None] - edges[None, :] / tempo).min(axis=1) > 60
    heard = np.where(sound > 0.375, 1, np.where(sound > 0.125, 0, -1))
    is_exhale = np.array([*(phase.phase is Phase.EXHALE for phase in moved), -1])
    np.testing.assert_array_equal(is_exhale[phases_at(moved, at)][is_clear], heard[is_clear])


def test_opinions_of_the_clips_soften_the_targets_of_their_phases(breath_clips, negatives_folder):
    """Of half of the clips the others say the opposite."""
    label_of = {breath_clips.name_of(clip): float(clip.label) for clip in breath_clips}
    doubted = dict(list(label_of.items())[::2])
    opinions = Opinions(0.75, {name: 1 - label for name, label in doubted.items()})
    settings = LiveSettings(shares=(1.0, 0.0, 0.0, 0.0, 0.0), stream_s=20.0)
    negatives = Negatives.find(negatives_folder, "train")
    hard, soft = (
        WindowSource(breath_clips, negatives, settings, chosen).batch((7,)) for chosen in (None, opinions)
    )
    np.testing.assert_array_equal(hard.samples, soft.samples)
    has_phase = hard.presence == BREATH
    moved = np.abs(hard.prob_exhale - soft.prob_exhale)[has_phase]
    assert set(moved.tolist()) == {0.0, 0.75}
