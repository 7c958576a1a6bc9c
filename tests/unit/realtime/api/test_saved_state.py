"""A stream that was saved goes on as if nothing had happened."""

import json
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engines.errors import ConfigError
from realtime import Detector, Frame
from realtime.api.saved_state import builtins_from_value, value_from_builtins
from realtime.events import Condition, Phase
from realtime.resample import Resampler
from realtime.sound.demo import DemoSource


@pytest.fixture(scope="module", params=["tiny", "fitted"])
def pack(request, tiny_pack, fitted_pack):
    return {"tiny": tiny_pack, "fitted": fitted_pack}[request.param]


@pytest.fixture(scope="module")
def detector(pack):
    with Detector(pack=pack, n_threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def breathing():
    """Nine seconds of the demo breather at 16 kHz, (n,) float32, with some clipping in it."""
    samples = np.concatenate([block.samples[:, 0] for block in DemoSource(9.0, seed=4, pace=0).blocks()])
    samples[40_000:60_000] = np.sign(samples[40_000:60_000])
    return samples


def interrupted(detector, samples, at, rate_hz=16_000, settings=None):
    """What is said when the stream is saved, and restored in another one, before sample `at`."""
    first = detector.stream(rate_hz, with_frames=True)
    said = first.push(samples[:at])
    second = detector.stream(rate_hz, with_frames=True)
    second.restore(first.state())
    return [*said, *second.push(samples[at:]), *second.finish()]


def whole(detector, samples, rate_hz=16_000):
    stream = detector.stream(rate_hz, with_frames=True)
    return [*stream.push(samples), *stream.finish()]


@settings(max_examples=10, deadline=None)
@given(at=st.integers(0, 9 * 16_000))
def test_restored_and_rest_equal_uninterrupted(detector, breathing, at):
    assert interrupted(detector, breathing, at) == whole(detector, breathing)


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000])
@pytest.mark.parametrize("at_s", [0.31, 6.5])
def test_at_other_rates_only_rounding_differs(detector, breathing, rate_hz, at_s):
    samples = soxr.resample(breathing, 16_000, rate_hz)
    said = interrupted(detector, samples, round(at_s * rate_hz), rate_hz)
    expected = whole(detector, samples, rate_hz)
    assert [type(item) for item in said] == [type(item) for item in expected]
    for item, other in zip(said, expected, strict=True):
        if isinstance(item, Frame):
            assert (item.end_sample, item.phase) == (other.end_sample, other.phase)
            assert item.prob_exhale == pytest.approx(other.prob_exhale, abs=2e-3)


@settings(max_examples=20, deadline=None)
@given(
    rate_hz=st.sampled_from([8_000, 11_025, 22_050, 44_100, 48_000, 96_000]),
    cuts=st.lists(st.floats(0, 4), min_size=1, max_size=4),
)
def test_a_restored_resampler_gives_the_same_sound_in_the_same_place(rate_hz, cuts):
    samples = np.random.default_rng(0).uniform(-1, 1, 4 * rate_hz).astype(np.float32)
    expected = np.concatenate([(plain := Resampler(rate_hz)).push(samples), plain.finish()])
    resampler, given_so_far = Resampler(rate_hz), []
    for piece in np.split(samples, sorted(round(cut * rate_hz) for cut in cuts)):
        given_so_far.append(resampler.push(piece))
        other = Resampler(rate_hz)
        other.restore(resampler.saved())
        resampler = other
    heard = np.concatenate([*given_so_far, resampler.finish()])
    assert len(heard) == len(expected)
    assert np.abs(heard - expected).max() < 1e-5


def test_a_state_survives_gaps_and_is_plain_json(detector, breathing):
    one, other = (detector.stream(16_000, with_frames=True) for _ in range(2))
    one.push(breathing[:30_000])
    one.push(breathing[30_000:50_000], n_lost=777)
    assert json.loads(one.state())["version"] == 4
    other.restore(one.state())
    assert other.push(breathing[50_000:], n_lost=5) == one.push(breathing[50_000:], n_lost=5)
    assert other.summary.lost_samples == one.summary.lost_samples == 782


def test_a_state_of_something_else_is_refused_and_the_stream_is_new(detector, pack, breathing):
    stream = detector.stream(16_000, with_frames=True)
    expected = whole(detector, breathing)
    stream.push(breathing)
    state = stream.state()
    damaged = json.loads(state)
    del damaged["pipeline"]["_intake"]
    with Detector(pack=pack, hop_s=0.2, n_threads=1) as slower:
        foreign = [slower.stream(16_000).state(), detector.stream(48_000).state()]
    newer = json.dumps(json.loads(state) | {"version": 5}).encode()
    for bad in (b"", b"[]", json.dumps(damaged).encode(), newer, *foreign):
        with pytest.raises(ConfigError, match="state"):
            stream.restore(bad)
        assert stream.summary.heard_s == 0
    assert stream.push(breathing) == expected


@dataclass(frozen=True)
class Inner:
    phase: Phase
    level: float | None


@dataclass(frozen=True)
class Outer:
    inner: Inner
    none: Inner | None
    pair: tuple[int, float]
    many: tuple[Inner, ...]
    active: frozenset[Condition]
    runs: dict[Condition, int]
    belief: NDArray[np.float64]


def test_whatever_a_state_is_made_of_comes_back():
    inner = Inner(Phase.EXHALE, 0.1)
    belief = np.array([[0.1, np.inf], [1 / 3, np.nan]])
    value = Outer(
        inner,
        None,
        (1, 2.5),
        (inner, Inner(Phase.NONE, None)),
        frozenset(Condition),
        {Condition.HUM_50_HZ: 3},
        belief,
    )
    back = value_from_builtins(Outer, json.loads(json.dumps(builtins_from_value(value), allow_nan=False)))
    assert np.array_equal(back.belief, belief, equal_nan=True)
    assert back.belief.dtype == belief.dtype
    for name in ("inner", "none", "pair", "many", "active", "runs"):
        assert getattr(back, name) == getattr(value, name)


def test_an_array_behind_an_alias_keeps_its_type():
    """From numpy 2.5 on, which Python 3.12 and newer get, `NDArray` is an alias by PEP 695."""
    extensions = pytest.importorskip("typing_extensions")
    kind = TypeVar("kind", bound=np.generic)
    array = np.ndarray[tuple[int, ...], np.dtype[kind]]
    alias = extensions.TypeAliasType("alias", array, type_params=(kind,))[np.float32]
    content = builtins_from_value(np.array([1.5, -2.0], np.float32))
    assert value_from_builtins(alias, content).tolist() == [1.5, -2.0]
    with pytest.raises(TypeError, match="float64"):
        value_from_builtins(alias, builtins_from_value(np.zeros(2, np.float64)))


@pytest.mark.parametrize(
    ("kind", "content"),
    [(int, "3"), (Phase, "sideways"), (Inner, {"phase": "inhale"}), (float, True), (tuple[int, int], [1])],
)
def test_what_does_not_fit_is_an_error(kind, content):
    with pytest.raises((KeyError, TypeError, ValueError)):
        value_from_builtins(kind, content)


def _set(content, path, value):
    *way, last = path
    for key in way:
        content = content[key]
    assert last in content
    content[last] = value


ARRAY = builtins_from_value(np.zeros((2, 2), np.float64))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("next_sample",), 1.5),
        (("pipeline", "skipped_windows"), "many"),
        (("pipeline", "_intake", "_expected_start"), None),
        (("pipeline", "_decision", "belief"), ARRAY),
        (("pipeline", "_decision", "lengths", "counts"), ARRAY),
        (("pipeline", "_decision", "recent"), [[ARRAY, ARRAY]]),
        (("session", "_health", "_pieces"), [ARRAY]),
        (("session", "_health", "_pieces"), [builtins_from_value(np.zeros((3, 2), np.float32))]),
        (("session", "_health", "_before"), builtins_from_value(np.zeros(3, np.float32))),
        (("session", "_health", "_before"), ARRAY | {"shape": [-1]}),
        (("session", "_health", "rate_hz"), 0),
        (("pipeline", "_rate_hz"), 0),
        (("pipeline", "_intake", "_state", "hop_samples"), 0),
        (("pipeline", "_decision", "lengths", "hop_s"), 0.0),
    ],
)
def test_a_state_with_something_of_another_kind_is_refused(detector, breathing, path, value):
    stream = detector.stream(16_000)
    stream.push(breathing[:40_000])
    damaged = json.loads(stream.state())
    _set(damaged, path, value)
    with pytest.raises(ConfigError, match="state"):
        stream.restore(json.dumps(damaged).encode())


def test_a_state_without_a_bottom_is_refused(detector):
    with pytest.raises(ConfigError, match="not the state of a stream"):
        detector.stream(16_000).restore(b"[" * 100_000)
