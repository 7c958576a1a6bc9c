"""The windows that engines and graphs are held to each other on: made-up ones, clips, and cuts of streams."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.contract import LABEL_EXHALE, LABEL_INHALE, RATE_HZ, WINDOW_SAMPLES
from engines.errors import LabelsError
from offline.clips import ClipSet
from offline.sound import pieces_as_heard, read_clip
from offline.streams.files import Stream, words_from_count
from realtime.events import Phase

MAX_CLIPS = 256
MAX_CUTS = 256
UNLABELLED = -1


@dataclass(frozen=True)
class Windows:
    """What engines are compared on.

    Attributes:
        samples: (n, 16000) float32, the edge cases first.
        labels: (n,) 1 for exhale, 0 for inhale, -1 where nobody knows or nobody breathes.
        words: what the others are, for people, or that there are no others; empty: their number says enough.
        n_made_up: number of the edge cases.
    """

    samples: NDArray[np.float32]
    labels: NDArray[np.int64]
    words: str = ""
    n_made_up: int = 0


def edge_cases() -> dict[str, NDArray[np.float32]]:
    """Name -> (16000,) float32 in [-1, 1]: silence, an impulse, full scale, faint and loud noise, ...

    On these features and engines go wrong first.
    """
    time_s = np.arange(WINDOW_SAMPLES) / RATE_HZ
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(WINDOW_SAMPLES)
    impulse = np.zeros(WINDOW_SAMPLES)
    impulse[WINDOW_SAMPLES // 2] = 1.0
    windows = {
        "silence": np.zeros(WINDOW_SAMPLES),
        "impulse": impulse,
        "full-scale square": np.sign(np.sin(2 * np.pi * 100.3 * time_s + 0.1)),
        "noise at 1e-6": 1e-6 * noise,
        "white noise": 0.1 * noise,
        "440 Hz tone": 0.5 * np.sin(2 * np.pi * 440 * time_s),
        "decaying burst": 0.5 * noise * np.exp(-6 * time_s),
    }
    return {name: window.astype(np.float32).clip(-1, 1) for name, window in windows.items()}


def gate_windows(clips: ClipSet | None = None, streams: Sequence[Stream] = ()) -> Windows:
    """The edge cases, up to 256 clips of a set, and up to 256 cuts of streams; evenly from all of them.

    With streams, their labels alone are the truth, of the phase at the end of each cut as for a network that
    listens live; else those of the clips.

    Raises:
        AudioError: a sound cannot be read.
        LabelsError: there are streams, and none is as long as a window.
    """
    samples = list(edge_cases().values())
    n_made_up = len(samples)
    labels = [UNLABELLED] * n_made_up
    words: list[str] = []
    if clips is not None and len(clips):
        chosen = list(clips)[:: -(-len(clips) // MAX_CLIPS)]
        samples += [read_clip(clip.path) for clip in chosen]
        labels += [UNLABELLED if streams else int(clip.label) for clip in chosen]
        words.append(f"{len(chosen)} clips")
    if streams:
        cuts, phases, heard = _cuts(list(streams)[:: -(-len(streams) // MAX_CUTS)])
        samples += cuts
        labels += phases
        words.append(
            f"{len(cuts)} windows of {words_from_count(len(heard), sum(one.is_spliced for one in heard))}"
        )
    return Windows(
        np.stack(samples).astype(np.float32),
        np.asarray(labels, dtype=np.int64),
        " and ".join(
            words or [f"{n_made_up} made-up edge cases", "no real sound (--data or --streams give some)"]
        ),
        n_made_up,
    )


def _cuts(streams: list[Stream]) -> tuple[list[NDArray[np.float32]], list[int], list[Stream]]:
    """Windows, what goes on at the end of each, and the streams that are long enough to be cut."""
    n_each = max(1, MAX_CUTS // len(streams))
    cuts: list[NDArray[np.float32]] = []
    labels: list[int] = []
    heard: list[Stream] = []
    for stream in streams:
        sound = np.concatenate(list(pieces_as_heard(stream.sound)))
        if len(sound) < WINDOW_SAMPLES:
            continue
        heard.append(stream)
        for place in (np.arange(n_each) + 0.5) / n_each:
            end = WINDOW_SAMPLES + round((len(sound) - WINDOW_SAMPLES) * place)
            cuts.append(sound[end - WINDOW_SAMPLES : end])
            labels.append(_label_at(stream, end - 1))
    if not heard:
        raise LabelsError("none of these streams lasts a second; make longer ones: breath-offline compose")
    return cuts, labels, heard


def _label_at(stream: Stream, sample: int) -> int:
    for interval in stream.truth:
        if interval.start_sample <= sample < interval.end_sample:
            return LABEL_EXHALE if interval.phase is Phase.EXHALE else LABEL_INHALE
    return UNLABELLED
