"""`breath-offline compose`: labelled streams, spliced from clips."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from engines.errors import ConfigError
from offline.cli_options import (
    FOLDER,
    data_option,
    need_workshop,
    progress_bar,
    read_clips,
    seed_option,
    skip_bad_option,
)

if TYPE_CHECKING:
    from engines.manifest import SplitDays
    from offline.clips import ClipSet
    from offline.compose.settings import Kind
    from offline.split import Split

_PARTS = ("train", "validation", "test", "all")
_KINDS = ("fast", "slow", "mixed", "both")


@click.command()
@data_option
@click.option("--out", required=True, type=FOLDER, help="Folder for the streams; a new or an empty one.")
@click.option("--part", default="test", show_default=True, type=click.Choice(_PARTS), help="Days to use.")
@click.option("--pack", default="default", show_default=True, help="Model pack whose split names the days.")
@click.option("--seed-split", type=click.IntRange(min=0), help="Split by this seed instead of a pack's.")
@click.option("--days", metavar="D,D", help="Only these days of the part.")
@click.option(
    "--n",
    "n_each",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Streams of each day, kind and noise level.",
)
@click.option(
    "--seconds",
    default=60.0,
    show_default=True,
    type=click.FloatRange(1, 3600),
    help="Length of a stream, seconds.",
)
@click.option(
    "--kind",
    default="both",
    show_default=True,
    type=click.Choice(_KINDS),
    help="Breathing as fast as in the clips, or slow as at rest; mixed: in turn; both: streams of each.",
)
@click.option(
    "--snr",
    default="clean,20,10,5",
    show_default=True,
    metavar="DB,DB",
    help="Breath over noise, dB, 100-2000 Hz.",
)
@click.option("--negatives", type=FOLDER, help="Folder of sounds that are not breathing.")
@click.option(
    "--negative-streams",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Streams without breath; silence is added to them.",
)
@click.option(
    "--timelines", type=FOLDER, help="CSV of real phases (recording,phase,start_s,end_s) to follow."
)
@seed_option("Seed of all that is drawn.")
@skip_bad_option
def compose(
    data: Path,
    out: Path,
    part: str,
    pack: str,
    seed_split: int | None,
    days: str | None,
    n_each: int,
    seconds: float,
    kind: str,
    snr: str,
    negatives: Path | None,
    negative_streams: int,
    timelines: Path | None,
    seed: int,
    skip_bad: bool,
) -> None:
    """Splice labelled breath streams from clips, each from one day.

    Every stream is NAME.wav with its phases in NAME.csv and, for Audacity, NAME.txt; NAME.json says how it
    was made. Fast streams keep the clips' lengths; slow ones carry them on to breathing at rest. Sounds that
    are not breathing are split as the days are.
    """
    need_workshop("scipy")
    from offline.compose.choose_days import clips_of_part
    from offline.compose.material import Material
    from offline.compose.negatives import Negatives
    from offline.compose.phase_times import DEFAULT_PHASE_TIMES, PhaseTimes
    from offline.compose.settings import ComposeSettings
    from offline.compose.stream_set import StreamSet, write_stream_set

    snrs_db = _snrs_from_text(snr)
    if negative_streams and negatives is None:
        raise ConfigError("--negative-streams needs sounds that are not breathing; give --negatives FOLDER")
    settings = ComposeSettings(
        seconds=seconds,
        phase_times=DEFAULT_PHASE_TIMES if timelines is None else PhaseTimes.read(timelines),
    )
    others = None if negatives is None else Negatives.find(negatives, part)
    if others is not None:
        others.check()
    clips = read_clips(data, skip_bad)
    chosen = clips_of_part(clips, part, _split(clips, part, pack, seed_split), _names_from_text(days))
    with progress_bar("clips") as progress:
        material = Material.read(chosen, progress=progress)
    if material.left_out:
        click.echo(f"days left out for want of clips: {', '.join(material.left_out)}", err=True)
    wanted = StreamSet(
        _kinds_from_text(kind), snrs_db, n_each, negative_streams, seed=seed, part=part, settings=settings
    )
    with progress_bar("streams") as progress:
        names = write_stream_set(wanted, material, out, others, progress)
    from realtime.telling import counted

    streams, days_heard = counted(len(names), "spliced stream"), counted(len(material.days), "day")
    click.echo(f"{streams} of {days_heard} in {out}")


def _split(clips: "ClipSet", part: str, pack: str, seed_split: int | None) -> "Split | SplitDays | None":
    if part == "all":
        return None
    if seed_split is not None:
        from offline.split import split_by_day

        return split_by_day(clips, seed_split)
    from engines.pack import load_pack

    return load_pack(pack).manifest.split


def _kinds_from_text(kind: str) -> "tuple[Kind, ...]":
    kinds: dict[str, tuple[Kind, ...]] = {
        "fast": ("fast",),
        "slow": ("slow",),
        "mixed": ("mixed",),
        "both": ("fast", "slow"),
    }
    return kinds[kind]


def _names_from_text(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _snrs_from_text(text: str) -> tuple[float | None, ...]:
    levels: list[float | None] = []
    for word in _names_from_text(text):
        try:
            level = None if word == "clean" else float(word)
        except ValueError as error:
            raise ConfigError(f"--snr: {word!r} is neither clean nor a number of decibels") from error
        if level is not None and not -30 <= level <= 60:
            raise ConfigError(f"--snr: {word} is not between -30 and 60 dB")
        if level not in levels:
            levels.append(level)
    if not levels:
        raise ConfigError("--snr: give at least one level, such as clean,20,10")
    return tuple(levels)
