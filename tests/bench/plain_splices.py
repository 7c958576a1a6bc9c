"""Streams that owe nothing to `breath-offline compose`: does a pack do well on another splicer's streams?

python tests/bench/plain_splices.py --data DIR --timelines PHASES.csv --out STREAMS
    [--part test] [--min-clips 6] [--noise-db 20] [--streams 3] [--seconds 40] [--seed 1]
breath-offline evaluate --streams STREAMS

Of `compose` not a line is used, and none of its assumptions but the order of phases: each phase is a clip
of the day, drawn at random, whole, at the level it was recorded at; after it comes a gap that some recording
of the timelines has after such a phase. No breather has a pace or a level of its own, nothing is carried on,
there is no microphone, no room and no heart. The gaps are empty, or all is under white noise.
"""

import argparse
import csv
import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from engines.contract import LABEL_EXHALE, RATE_HZ
from offline.clips import ClipSet, read_clip
from offline.split import split_by_day
from realtime.events import Phase
from realtime.labels import PhaseInterval, csv_from_labels

LEAD_IN_S = 0.5
RAMP_SAMPLES = 80
PEAK = 0.7
PHASES = {"I": Phase.INHALE, "E": Phase.EXHALE}
Sound = NDArray[np.float32]
Takes = dict[Phase, list[Sound]]


def takes_by_day(clips: ClipSet, days: tuple[str, ...], least: int) -> dict[str, Takes]:
    """The natural part of every clip of known length, of days that have enough of both phases."""
    found: defaultdict[str, Takes] = defaultdict(lambda: {phase: [] for phase in PHASES.values()})
    for clip in clips:
        if clip.day in days and clip.natural_samples:
            sound = read_clip(clip.path)[: clip.natural_samples]
            phase = Phase.EXHALE if clip.label == LABEL_EXHALE else Phase.INHALE
            found[clip.day][phase].append(sound - sound.mean())
    return {day: takes for day, takes in sorted(found.items()) if min(map(len, takes.values())) >= least}


def gaps_from_timelines(path: Path) -> dict[Phase, list[float]]:
    """Seconds from the end of a phase to the start of the other one, as recordings have them."""
    recordings: defaultdict[str, list[tuple[float, float, str]]] = defaultdict(list)
    with path.open(newline="", encoding="utf-8") as text:
        for row in csv.DictReader(text):
            recordings[row["recording"]].append((float(row["start_s"]), float(row["end_s"]), row["phase"]))
    gaps: dict[Phase, list[float]] = {phase: [] for phase in PHASES.values()}
    for phases in recordings.values():
        for (_, end_s, letter), (start_s, _, other) in pairwise(sorted(phases)):
            if letter != other:
                gaps[PHASES[letter]].append(max(0.0, start_s - end_s))
    return gaps


def spliced(
    takes: Takes, gaps: dict[Phase, list[float]], seconds: float, rng: np.random.Generator
) -> tuple[Sound, list[PhaseInterval]]:
    """Phases in turn until the next would not fit, and where they are."""
    sound = np.zeros(round(seconds * RATE_HZ), np.float32)
    phases: list[PhaseInterval] = []
    at = round(LEAD_IN_S * RATE_HZ)
    phase = list(PHASES.values())[int(rng.integers(2))]
    while True:
        take = takes[phase][int(rng.integers(len(takes[phase])))]
        end = at + len(take)
        if end > len(sound):
            return sound, phases
        ramp = np.minimum(1.0, (np.arange(len(take)) + 1) / RAMP_SAMPLES).astype(np.float32)
        sound[at:end] = take * ramp * ramp[::-1]
        phases.append(PhaseInterval(at, end, phase))
        at = end + round(float(rng.choice(gaps[phase])) * RATE_HZ)
        phase = Phase.EXHALE if phase is Phase.INHALE else Phase.INHALE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of a labelled clip set")
    parser.add_argument("--timelines", type=Path, required=True, help="CSV: recording,phase,start_s,end_s")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--part", choices=["train", "validation", "test"], default="test")
    parser.add_argument("--min-clips", type=int, default=6, help="of each phase, that a day must have")
    parser.add_argument("--noise-db", type=float, help="white noise so much below the breath; none without")
    parser.add_argument("--streams", type=int, default=3, help="of each day")
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    clips = ClipSet.read(chosen.data)
    days = takes_by_day(clips, getattr(split_by_day(clips), chosen.part), chosen.min_clips)
    gaps = gaps_from_timelines(chosen.timelines)
    rng = np.random.default_rng(chosen.seed)
    chosen.out.mkdir(parents=True)
    for day, takes in days.items():
        for number in range(chosen.streams):
            sound, phases = spliced(takes, gaps, chosen.seconds, rng)
            if chosen.noise_db is not None:
                breathed = sum(phase.end_sample - phase.start_sample for phase in phases)
                rms = np.sqrt(np.sum(sound**2) / breathed) * 10 ** (-chosen.noise_db / 20)
                sound += np.float32(rms) * rng.standard_normal(len(sound), dtype=np.float32)
            path = chosen.out / f"plain-{day}-{number:03d}.wav"
            soundfile.write(path, sound * np.float32(PEAK / np.abs(sound).max()), RATE_HZ)
            path.with_suffix(".csv").write_text(csv_from_labels(phases), encoding="utf-8")
            about = {"kind": "plain", "day": day, "is_spliced": True}
            path.with_suffix(".json").write_text(json.dumps(about) + "\n", encoding="utf-8")
    print(f"{len(days) * chosen.streams} streams of {len(days)} days in {chosen.out}")


if __name__ == "__main__":
    main()
