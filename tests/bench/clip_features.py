"""What each parameter of the features that the contract leaves open gains, one at a time.

python tests/bench/clip_features.py --data DIR [--groups 5] [--seed 1]

As `clip_ceiling.py`: a support vector machine on a coarse picture of each clip, days disjoint, without the
test days. The picture holds the mel and the modulation image and the scalars; of what `stft`, `gammatone`
and `chroma` alone depend on, it knows nothing. As a table in Markdown: the reference with each change alone,
and all changes but each.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from clip_ceiling import score

from engines.spec import NARROWBAND, FeatureSpec
from offline.clips import ClipSet
from offline.precompute import precompute
from offline.split import split_by_day
from offline.store import open_store

REFERENCE = FeatureSpec()
# Where the transform is changed, the stride keeps the rows of `stft` where they were.
ALONE: dict[str, dict[str, float | None]] = {
    "transform of 2,048 points": {"n_fft": 2048, "stft_stride": 2},
    "window and transform of 1,024 samples": {"window_samples": 1024, "n_fft": 1024},
    "mel bands up to 2 kHz": {"mel_fmax_hz": 2000.0},
    "low-pass at 2 kHz": {"lowpass_hz": 2000.0},
}
LEFT_OUT: dict[str, dict[str, float | None]] = {
    "transform of 2,048 points": {"n_fft": 1024, "stft_stride": 1},
    "window of 1,024 samples": {"window_samples": 512},
    "mel bands up to 2 kHz": {"mel_fmax_hz": REFERENCE.mel_fmax_hz},
    "low-pass at 2 kHz": {"lowpass_hz": None},
}
SPECS: dict[str, FeatureSpec] = {
    "reference": REFERENCE,
    **{f"reference, but {name}": replace(REFERENCE, **change) for name, change in ALONE.items()},
    **{f"narrowband without {name}": replace(NARROWBAND, **change) for name, change in LEFT_OUT.items()},
    "narrowband": NARROWBAND,
}


def main() -> None:
    """Compute the features of all clips for each, and print what they are good for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of a labelled clip set")
    parser.add_argument("--groups", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    clips = ClipSet.read(chosen.data)
    split = split_by_day(clips)
    print("| features | accuracy | AUC |\n|---|---|---|")
    for name, spec in SPECS.items():
        with tempfile.TemporaryDirectory() as folder:
            precompute(clips, Path(folder), spec)
            store = open_store(Path(folder))
            rows = np.flatnonzero(~np.isin(store.days, split.test))
            print(f"| {name} | {score(store, rows, chosen)} |", flush=True)
            del store


if __name__ == "__main__":
    main()
