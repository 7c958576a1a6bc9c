"""What the decision takes its evidence from, fitted to streams whose phases are known."""

import json
from dataclasses import replace

import msgspec
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from engines.contract import RATE_HZ
from engines.ensemble import fuse
from engines.errors import LabelsError
from engines.manifest import SplitDays
from engines.pack import load_pack, save_changed_pack
from offline.cli import main
from offline.streams.decision_fit import AGE_BORDERS_S, LEAST_SD, PRIOR_WINDOWS, Windows, fit_pack
from offline.streams.files import find_streams, fingerprint
from realtime.events import Frame, Phase
from realtime.evidence import Observation
from realtime.labels import PhaseInterval, csv_from_labels
from realtime.lengths import AFTER_EXHALE, AFTER_INHALE, EXHALE, INHALE
from realtime.pipeline import PipelineSettings
from realtime.presence import level_from_window, rise_from_window
from realtime.replay import Replay, replay
from realtime.sound.demo import DemoSource

HOP = 1600
STREAMS = "fingerprint of streams"
CYCLE_S = {INHALE: 1.0, AFTER_INHALE: 0.3, EXHALE: 1.5, AFTER_EXHALE: 0.7}


def at(seconds):
    return round(seconds * RATE_HZ)


def prob(log_odds):
    return 1 / (1 + np.exp(-log_odds))


def breathing(n_cycles, value_of, first_s=2.05):
    """A replay in which a window of a state and an age says what `value_of` gives, and the truth.

    `value_of` gives log odds of the phase and of breath, and the rise unless that is 0 dB.
    """
    truth, story, now_s = [], [], first_s
    for _ in range(n_cycles):
        for state, seconds in CYCLE_S.items():
            story.append((state, now_s, now_s + seconds))
            now_s += seconds
    for state, start_s, end_s in story:
        if state in (INHALE, EXHALE):
            phase = Phase.INHALE if state == INHALE else Phase.EXHALE
            truth.append(PhaseInterval(at(start_s), at(end_s), phase))
    frames, observations, logits = [], [], []
    current = 0
    for end in range(RATE_HZ, at(now_s) + 1, HOP):
        while end > at(story[current][2]):
            current += 1
        state, start_s, _ = story[current]
        age_s = end / RATE_HZ - start_s
        phase_odds, breath_odds, *rise = value_of(state, age_s) if age_s > 0 else (9.0, 9.0)
        frames.append(Frame(end, prob(phase_odds), Phase.NONE, 0.5, -30.0))
        prob_breath = 0.0 if breath_odds is None else prob(breath_odds)
        observations.append(Observation(prob(phase_odds), prob_breath, *rise))
        logits.append((phase_odds,))
    heard = Replay(tuple(frames), (), at(now_s), observations=tuple(observations), logits=tuple(logits))
    return heard, truth


def fitted_emission(heard, streams=STREAMS, weights=(1.0,), temperature=1.0):
    return Windows.heard(heard).emission(weights, temperature, streams)


def test_every_state_and_age_gets_what_was_heard_then():
    values = {INHALE: -2.0, EXHALE: 2.0, AFTER_INHALE: 0.5, AFTER_EXHALE: 1.0}
    young = {INHALE: -0.5, EXHALE: 0.5, AFTER_INHALE: -0.5, AFTER_EXHALE: 0.0}
    n_cycles = 1000

    def value_of(state, age_s):
        return (young if age_s <= 0.1 else values)[state], 1.0 if state in (INHALE, EXHALE) else -1.0

    emission = fitted_emission([breathing(n_cycles // 2, value_of)] * 2)
    assert emission.age_borders_s == AGE_BORDERS_S
    for state in values:
        mean = emission.phase.mean[state]
        n_hops = round(CYCLE_S[state] * 10)
        of_state = (young[state] + (n_hops - 1) * values[state]) / n_hops
        for here, said in ((0, young[state]), (1, values[state])):
            drawn = (n_cycles * said + PRIOR_WINDOWS * of_state) / (n_cycles + PRIOR_WINDOWS)
            assert mean[here] == pytest.approx(drawn, abs=0.01)
        # Nothing lasts two seconds here: what is not known of an age is that of the state.
        assert mean[-1] == pytest.approx(of_state, abs=0.01)
        assert emission.presence.mean[state][0] == pytest.approx(1.0 if state in (INHALE, EXHALE) else -1.0)
    assert emission.n_windows == pytest.approx(10 * n_cycles * sum(CYCLE_S.values()), rel=0.01)


def test_the_temperature_makes_p_exhale_honest_at_the_ends_of_phases_only():
    rng = np.random.default_rng(0)
    prob_right = 0.8

    def value_of(state, age_s):
        # Twice as sure as it is right; and of a pause it says anything.
        size = 2 * np.log(prob_right / (1 - prob_right))
        if state not in (INHALE, EXHALE):
            return 9.0, 0.0
        is_right = rng.random() < prob_right
        return (size if is_right == (state == EXHALE) else -size), 0.0

    windows = Windows.heard([breathing(300, value_of)])
    temperature = windows.temperature((1.0,))
    assert temperature == pytest.approx(2.0, rel=0.05)
    # The emission is of what will be said at that temperature.
    plain, cooled = windows.emission((1.0,), 1.0, STREAMS), windows.emission((1.0,), 2.0, STREAMS)
    for before, after in zip(plain.phase.mean, cooled.phase.mean, strict=True):
        assert after == pytest.approx([value / 2 for value in before], abs=0.002)
    assert np.array(cooled.phase.sd) == pytest.approx(np.array(plain.phase.sd) / 2, abs=0.002)
    assert plain.presence == cooled.presence


def test_networks_are_weighed_before_the_log_odds_are_taken():
    one, truth = breathing(60, lambda state, age_s: (1.0, 0.0))
    two = replace(one, logits=tuple((3.0, -1.0) for _ in one.logits))
    emission = fitted_emission([(two, truth)], weights=(0.25, 0.75), temperature=2.0)
    fused = 0.25 * prob(1.5) + 0.75 * prob(-0.5)
    assert emission.phase.mean[EXHALE][0] == pytest.approx(np.log(fused / (1 - fused)), abs=0.001)


def test_few_windows_are_drawn_towards_their_state():
    rng = np.random.default_rng(0)
    drawn = []

    def value_of(state, age_s):
        value = (4.0 if age_s <= 0.1 else 0.0) + rng.normal()
        drawn.append((state, age_s, value))
        return value, 0.0

    emission = fitted_emission([breathing(60, value_of)])
    inhaling = np.array([(age_s, value) for state, age_s, value in drawn if state == INHALE])
    first = inhaling[inhaling[:, 0] <= 0.1, 1]
    expected = (first.sum() + PRIOR_WINDOWS * inhaling[:, 1].mean()) / (len(first) + PRIOR_WINDOWS)
    assert emission.phase.mean[INHALE][0] == pytest.approx(expected, abs=0.002)


def test_a_deviation_is_that_of_all_that_are_alike_and_every_age_counts_alike():
    rng = np.random.default_rng(0)
    sds = {INHALE: 1.0, EXHALE: 2.0, AFTER_INHALE: 0.5, AFTER_EXHALE: 0.5}

    def value_of(state, age_s):
        return 3.0 + rng.normal(), 3.0 + sds[state] * rng.normal()

    emission = fitted_emission([breathing(1000, value_of)])
    assert set(np.round(np.ravel(emission.phase.sd), 1)) == {1.0}
    both = np.sqrt((1.0**2 + 2.0**2) / 2)
    assert np.ravel(emission.presence.sd) == pytest.approx((both, both, 0.5, 0.5), rel=0.05)


def test_the_rise_varies_otherwise_at_every_age():
    rng = np.random.default_rng(0)

    def value_of(state, age_s):
        is_young = age_s <= 0.1
        return 0.0, 0.0, (5.0 if is_young else 0.0) + (4.0 if is_young else 1.0) * rng.normal()

    rise = fitted_emission([breathing(3000, value_of)]).rise
    n_hops = round(CYCLE_S[EXHALE] * 10)
    share = PRIOR_WINDOWS / (3000 + PRIOR_WINDOWS)
    of_state = 5.0 / n_hops
    assert rise.mean[EXHALE][0] == pytest.approx((1 - share) * 5.0 + share * of_state, abs=0.2)
    assert rise.sd[EXHALE][1] == pytest.approx(1.0, rel=0.3)
    assert rise.sd[EXHALE][0] > 3 * rise.sd[EXHALE][1]


def test_what_is_under_the_gate_or_before_the_first_phase_is_left_out():
    plain = fitted_emission([breathing(80, lambda state, age_s: (1.0, 1.0))])
    gated = fitted_emission(
        [breathing(80, lambda state, age_s: (1.0, None if age_s > 0.6 else 1.0))], STREAMS
    )
    assert gated.n_windows < plain.n_windows
    assert gated.presence == plain.presence
    assert {value for row in plain.phase.mean for value in row} == {1.0}
    assert {sd for row in plain.phase.sd for sd in row} == {LEAST_SD}


def test_a_stream_that_is_shorter_than_a_window_teaches_nothing():
    long = breathing(80, lambda state, age_s: (1.0, 1.0))
    short = (Replay((), (), 8000), [PhaseInterval(0, 8000, Phase.INHALE)])
    assert fitted_emission([short, long]) == fitted_emission([long])
    with pytest.raises(LabelsError, match="none of these streams holds a phase and a second of sound"):
        fitted_emission([short])


def test_too_little_is_refused_with_what_is_missing():
    with pytest.raises(LabelsError, match=r"\d+ windows end in pauses after inhalations, and 50 are needed"):
        fitted_emission([breathing(10, lambda state, age_s: (0.0, 0.0))])
    with pytest.raises(LabelsError, match="none of these streams holds a phase"):
        fitted_emission([])


@pytest.fixture(scope="module")
def pack(tiny_pack, tmp_path_factory):
    split = SplitDays(train=("1",), validation=("2",), test=("3",))
    return save_changed_pack(tmp_path_factory.mktemp("packs") / "split", load_pack(tiny_pack), split=split)


@pytest.fixture(scope="module")
def streams(tmp_path_factory):
    """Four minutes of the demo breather of a validation day, and silence of no day."""
    folder = tmp_path_factory.mktemp("streams")
    source = DemoSource(240.0, seed=3, pace=None)
    samples = np.concatenate([block.samples[:, 0] for block in source.blocks()])
    # Digital silence is under every gate, and teaches nothing.
    samples = samples + 6e-4 * np.random.default_rng(0).standard_normal(len(samples))
    phases = [
        PhaseInterval(one.start_sample, one.end_sample, one.phase)
        for one in source.phases
        if one.phase is not Phase.NONE
    ]
    for name, sound, truth, day in (("breath", samples, phases, "2"), ("quiet", np.zeros(32000), [], None)):
        soundfile.write(folder / f"{name}.wav", sound, RATE_HZ, subtype="FLOAT")
        (folder / f"{name}.csv").write_text(csv_from_labels(truth))
        (folder / f"{name}.json").write_text(json.dumps({"day": day}))
    return folder


def test_the_pack_is_written_again_with_what_was_fitted(pack, streams, tmp_path):
    flags = {"--pack": pack.path, "--streams": streams, "--out": tmp_path / "out"}
    words = [str(word) for flag in flags.items() for word in flag]
    done = CliRunner().invoke(main, ["fit-decision", *words])
    assert done.exit_code == 0, done.stderr
    fitted = load_pack(tmp_path / "out")
    emission, temperature = fitted.manifest.emission, fitted.manifest.temperature
    assert f"fitted to {emission.n_windows} windows (temperature {temperature})" in done.stdout
    # To the tiny networks the demo's phases say little, and the user is told.
    assert temperature == pytest.approx(5.0, rel=0.01)
    assert "the temperature is at the end of its range" in done.stderr
    before = pack.manifest
    assert msgspec.structs.replace(fitted.manifest, emission=None, temperature=before.temperature) == before
    # A little, and late.
    assert np.mean(emission.phase.mean[INHALE]) < np.mean(emission.phase.mean[EXHALE])
    assert emission.phase.mean[EXHALE][0] < emission.phase.mean[EXHALE][4]

    # Out of a pause the level rises, into one it falls.
    assert emission.rise.mean[INHALE][1] > 1.0
    assert emission.rise.mean[AFTER_EXHALE][1] < -1.0

    with_engine = fit_pack(pack, find_streams(streams), tmp_path / "again", engine="onnxruntime")
    assert (with_engine.manifest.emission, with_engine.manifest.temperature) == (emission, temperature)
    assert emission.streams == fingerprint([one for one in find_streams(streams) if one.truth])


def test_the_live_path_decides_with_it(pack, streams, tmp_path):
    from realtime.engine import open_engine

    fitted = fit_pack(pack, find_streams(streams), tmp_path / "out")
    engine, _ = open_engine(pack)
    with engine:
        plain, aware = (
            replay(streams / "breath.wav", engine, one.manifest, PipelineSettings()) for one in (pack, fitted)
        )
    assert plain.logits == aware.logits
    logits, manifest = np.array(aware.logits, np.float32), fitted.manifest
    said = [frame.prob_exhale for frame in aware.frames]
    assert said == pytest.approx(fuse(logits, manifest.weights, manifest.temperature), abs=1e-6)
    sound, _ = soundfile.read(streams / "breath.wav", dtype="float32")
    highest_hz = fitted.manifest.band_hz[1]
    for number in (0, 7, 500):
        window = sound[number * HOP : number * HOP + RATE_HZ]
        rise_db = rise_from_window(window, level_from_window(window, highest_hz), highest_hz)
        assert aware.observations[number].rise_db == pytest.approx(rise_db, abs=0.01)
    assert plain.events != aware.events
    assert {event.phase for event in aware.events} >= {Phase.INHALE, Phase.EXHALE}


def test_streams_of_other_days_are_refused(pack, streams, tmp_path):
    for day in ("1", "3", None):
        others = [replace(stream, day=day if stream.truth else None) for stream in find_streams(streams)]
        with pytest.raises(LabelsError, match=r"no validation day of the pack; .*--part validation"):
            fit_pack(pack, others, tmp_path / "out")
    assert not (tmp_path / "out").exists()
