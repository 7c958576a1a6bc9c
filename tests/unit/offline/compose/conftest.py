"""Breath-like clips of two days, without any file: noise in a band, under the envelope of a phase."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import signal

from offline.compose.material import Material, take_from_samples
from offline.compose.settings import ComposeSettings
from realtime.events import Phase

BANDS_HZ = {Phase.INHALE: (300, 1500), Phase.EXHALE: (120, 700)}
DAYS = ("20300101", "20300102")


def breath_sound(phase, n_samples, rng, level=0.02):
    sos = signal.butter(4, BANDS_HZ[phase], "bandpass", fs=16_000, output="sos")
    noise = signal.sosfilt(sos, rng.standard_normal(n_samples + 2000))[2000:]
    at = np.arange(n_samples) / n_samples
    envelope = np.sin(np.pi * at) ** 0.5 if phase is Phase.INHALE else np.minimum(at / 0.1, 1) * np.exp(-at)
    shaped = noise * envelope
    return (level * shaped / np.sqrt(np.mean(shaped**2))).astype(np.float32)


def day_takes(seed, n_each=8, name="clip"):
    rng = np.random.default_rng(seed)
    return [
        take_from_samples(
            f"{name}_{phase.value}_{number}.wav",
            phase,
            breath_sound(phase, int(rng.integers(6_000, 16_001)), rng, level=rng.uniform(0.01, 0.03)),
        )
        for phase in BANDS_HZ
        for number in range(n_each)
    ]


@pytest.fixture(scope="session")
def material():
    return Material.from_takes((day, take) for day in DAYS for take in day_takes(int(day), name=day))


@pytest.fixture
def make_takes():
    """`make_takes(seed, n_each=8)`: takes of one day."""
    return day_takes


@pytest.fixture
def alone():
    """`alone(kind=..., ...)`: settings of a stream that holds breath and nothing else."""

    def make(**changes):
        base = ComposeSettings(**{name: changes.pop(name) for name in ("kind", "seconds") if name in changes})
        return replace(base, **{**base.without_surroundings, **changes})

    return make


@pytest.fixture
def negatives_folder(tmp_path):
    """Five sounds that are not breathing, one of another rate, two of one source."""
    folder = tmp_path / "negatives"
    (folder / "beeps").mkdir(parents=True)
    time_s = np.arange(44_100) / 44_100
    for name in ("1-100-A", "1-100-B", "2-200-A", "3-300-A"):
        tone = 0.3 * np.sin(2 * np.pi * 800 * time_s)
        soundfile.write(folder / "beeps" / f"{name}.ogg", tone, 44_100)
    soundfile.write(folder / "hiss.wav", 0.1 * np.random.default_rng(0).standard_normal(40_000), 16_000)
    return folder


@pytest.fixture
def clip_set_folder(tmp_path):
    """A clip set of six days on the disk: looped to a second, natural lengths beside it."""
    folder = tmp_path / "set"
    (folder / "train").mkdir(parents=True)
    rows, durations = ["ID,Target"], ["file_name,split,duration_s"]
    for number in range(6):
        day = f"2019010{number + 1}"
        rng = np.random.default_rng(number)
        for event in range(12):
            phase = (Phase.INHALE, Phase.EXHALE)[event % 2]
            n_natural = int(rng.integers(6_000, 16_001))
            name = f"steth_{day}_09_30_00_{event:03d}.wav"
            looped = np.resize(breath_sound(phase, n_natural, rng), 16_000)
            soundfile.write(folder / "train" / name, looped, 16_000)
            letter = phase.value[0].upper()
            rows.append(f"steth_{day}_09_30_00_{letter}_{event:03d},{letter}")
            durations.append(f"{name},train,{n_natural / 16_000:.4f}")
    (folder / "train.csv").write_text("\n".join(rows) + "\n")
    (folder / "true_durations.csv").write_text("\n".join(durations) + "\n")
    return folder


@pytest.fixture(scope="session")
def shared_timelines():
    path = Path(__file__).resolve().parents[5] / "shared" / "data" / "timelines" / "phases.csv"
    if not path.is_file():
        pytest.skip("the real phase timelines are not beside the project (../shared)")
    return path
