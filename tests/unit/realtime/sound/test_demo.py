"""The synthetic breather: the same for everybody, and like breathing."""

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.contract import RATE_HZ
from engines.errors import ConfigError
from realtime.events import Phase
from realtime.sound.demo import DemoSource
from realtime.sound.pacing import WallClock


def heard(source: DemoSource) -> NDArray[np.float32]:
    return np.concatenate([block.samples for block in source.blocks()])[:, 0]


@pytest.fixture(scope="module")
def minute() -> tuple[DemoSource, NDArray[np.float32]]:
    source = DemoSource(60, pace=None)
    return source, heard(source)


def sounds_of(source: DemoSource, samples: NDArray[np.float32], phase: Phase) -> list[NDArray[np.float32]]:
    return [samples[p.start_sample : p.end_sample] for p in source.phases[:-1] if p.phase is phase]


def share_above(sound: NDArray[np.float32], low_hz: float, high_hz: float = RATE_HZ) -> float:
    power = np.abs(np.fft.rfft(sound.astype(np.float64))) ** 2
    frequency_hz = np.fft.rfftfreq(len(sound), 1 / RATE_HZ)
    return float(power[(frequency_hz > low_hz) & (frequency_hz <= high_hz)].sum() / power.sum())


def test_the_same_samples_and_truth_for_every_block_size() -> None:
    sources = [DemoSource(12.3, seed=5, block_samples=n, pace=None) for n in (1, 160, 999, 10**6)]
    outs = [heard(source) for source in sources]
    for source, out in zip(sources, outs, strict=True):
        np.testing.assert_array_equal(out, outs[0])
        assert source.phases == sources[0].phases
    assert len(outs[0]) == round(12.3 * RATE_HZ)


def test_the_seed_decides() -> None:
    a, b, c = (heard(DemoSource(4, seed=seed, pace=None)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_the_truth_has_no_holes_and_the_order_of_breathing(
    minute: tuple[DemoSource, NDArray[np.float32]],
) -> None:
    source, samples = minute
    phases = source.phases
    assert phases[0].start_sample == 0
    assert phases[-1].end_sample == len(samples)
    assert [p.start_sample for p in phases[1:]] == [p.end_sample for p in phases[:-1]]
    cycle = [Phase.NONE, Phase.INHALE, Phase.NONE, Phase.EXHALE]
    assert [p.phase for p in phases] == [cycle[i % 4] for i in range(len(phases))]
    assert 10 <= sum(p.phase is Phase.INHALE for p in phases) <= 20


def test_breaths_vary_and_are_heard_over_the_pauses(minute: tuple[DemoSource, NDArray[np.float32]]) -> None:
    inhales, exhales, pauses = (
        sounds_of(*minute, phase) for phase in (Phase.INHALE, Phase.EXHALE, Phase.NONE)
    )
    assert len({len(sound) for sound in inhales}) > 5
    level = {
        k: np.median([s.std() for s in v]) for k, v in (("in", inhales), ("ex", exhales), ("no", pauses))
    }
    assert level["in"] > level["ex"] > 20 * level["no"] > 0
    assert max(np.abs(sound).max() for sound in inhales) < 1.0


def test_inhaling_is_brighter_and_symmetric_exhaling_decays(
    minute: tuple[DemoSource, NDArray[np.float32]],
) -> None:
    inhales, exhales = (sounds_of(*minute, phase) for phase in (Phase.INHALE, Phase.EXHALE))
    bright_in, bright_ex = (np.median([share_above(s, 200) for s in v]) for v in (inhales, exhales))
    assert bright_in > 1.3 * bright_ex
    first_half_in, first_half_ex = (
        np.median([(s[: len(s) // 2] ** 2).sum() / (s**2).sum() for s in v]) for v in (inhales, exhales)
    )
    assert 0.35 < first_half_in < 0.65
    assert first_half_ex > 0.75


def test_nothing_but_the_floor_above_two_kilohertz(minute: tuple[DemoSource, NDArray[np.float32]]) -> None:
    source, samples = minute
    for sound in (*sounds_of(source, samples, Phase.INHALE), *sounds_of(source, samples, Phase.EXHALE)):
        assert share_above(sound, 2000) < 1e-3


def test_paced_it_is_live_and_hands_a_late_consumer_all_that_is_due() -> None:
    now_s = [0.0]

    def sleep(seconds: float) -> None:
        now_s[0] += seconds

    clock = WallClock(now_s=lambda: now_s[0], sleep_s=sleep)
    source = DemoSource(10, seed=3, block_samples=1600, clock=clock)
    assert source.is_live
    pieces, lengths = [], []
    for i, block in enumerate(source.blocks()):
        assert block.end / RATE_HZ <= now_s[0] + 1e-6
        pieces.append(block.samples)
        lengths.append(len(block.samples))
        if i == 4:
            now_s[0] += 2.0
    assert lengths[:5] == [1600] * 5
    assert lengths[5] == pytest.approx(2.0 * RATE_HZ, abs=1)
    assert set(lengths[6:-1]) == {1600}
    np.testing.assert_array_equal(np.concatenate(pieces)[:, 0], heard(DemoSource(10, seed=3, pace=None)))


def test_unpaced_it_is_not_live_and_without_end_it_goes_on() -> None:
    source = DemoSource(pace=0, block_samples=16000)
    assert not source.is_live
    blocks = source.blocks()
    assert [next(blocks).start for _ in range(40)] == [16000 * i for i in range(40)]


@pytest.mark.parametrize("seconds", [0, -1])
def test_no_time_at_all_is_refused(seconds: float) -> None:
    with pytest.raises(ConfigError, match="positive"):
        DemoSource(seconds)
