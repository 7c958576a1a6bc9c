"""`breath-offline cut`: from labelled recordings to a clip set."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engines.errors import ConfigError
from engines.paths import path_from_text
from offline.cli_options import FOLDER, progress_bar
from realtime.telling import counted

if TYPE_CHECKING:
    from offline.cut.clip_set import CutClips
    from offline.cut.recordings import Recording

_SHOWN_NAMES = 3


@click.command()
@click.argument("places", nargs=-1, required=True, type=FOLDER, metavar="RECORDING_OR_FOLDER...")
@click.option("--out", required=True, type=FOLDER, help="Folder of the clip set; a new one, or empty.")
@click.option(
    "--labels",
    "form",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "txt", "csv"]),
    help="Which labels count where there are both.",
)
@click.option("--day", metavar="NAME", help="Day of all these recordings, whatever their dates.")
@click.option("--by-folder", is_flag=True, help="Day of a recording is the name of its folder.")
def cut(places: tuple[Path, ...], out: Path, form: str, day: str | None, by_folder: bool) -> None:
    """Cut labelled recordings into a clip set, a clip a phase.

    Takes what breath-live --record writes, and any other WAV, FLAC or OGG with labels beside it: NAME.txt
    of Audacity, or NAME.csv with start_s,end_s,phase. Folders are searched to their depths; sounds in them
    that have no labels are passed over.

    Where there are both, the .txt counts, since that is what one corrects in Audacity. If the two differ and
    the .csv was changed later, nothing is guessed: say --labels txt or --labels csv.

    A clip is the first second of its phase. A shorter phase is repeated to fill it, and true_durations.csv
    tells its length; phases shorter than 0.1 s are left out. Of several channels it is the mean.

    Clips of one day are never split between training and test. The day is the date in the name of the
    recording, of its folder, or in its metadata; without any, that of the file's time. For several people,
    or nights that pass midnight, make a folder of each and say --by-folder.
    """
    if day is not None and by_folder:
        raise ConfigError("--day and --by-folder both say what the day is; give one of them")
    if day is not None and not day.strip():
        raise ConfigError("--day needs a name, such as 20261128")
    from offline.cut.clip_set import cut as cut_recordings
    from offline.cut.recordings import find_recordings
    from realtime.events import Phase

    target = path_from_text(out)
    recordings, unlabelled = find_recordings(
        [path_from_text(place) for place in places], form, (day or "").strip(), is_by_folder=by_folder
    )
    with progress_bar("phases") as progress:
        clips = cut_recordings(recordings, target, progress)
    for note in _notes(recordings, unlabelled, clips):
        click.echo(note, err=True)
    for name, count in clips.n_by_day.items():
        inhalations = counted(count[Phase.INHALE], "inhalation")
        click.echo(f"{name}: {inhalations}, {counted(count[Phase.EXHALE], 'exhalation')}")
    n_clips = sum(count.total() for count in clips.n_by_day.values())
    click.echo(f"{counted(n_clips, 'clip')} of {counted(len(recordings), 'recording')} in {target}")


def _notes(recordings: "Sequence[Recording]", unlabelled: Sequence[Path], clips: "CutClips") -> list[str]:
    """What is worth knowing besides, a line each."""
    notes = list(clips.notices)
    if unlabelled:
        notes.append(f"passed over for want of labels: {_named(unlabelled)}")
    if disputed := [one.labels.file for one in recordings if one.labels.is_disputed]:
        notes.append(f"labels of the .txt, not of the .csv that differs: {_named(disputed)}")
    if noted := [one.labels.file for one in recordings if one.labels.has_notes_beside]:
        notes.append(f"labels of the .csv, as the .txt holds none: {_named(noted)}")
    if undated := [recording.sound for recording in recordings if not recording.is_dated]:
        what = "day taken from the time of the file, for want of a date (see --by-folder)"
        notes.append(f"{what}: {_named(undated)}")
    if clips.n_short:
        notes.append(f"left out as shorter than 0.1 s: {counted(clips.n_short, 'phase')}")
    return notes


def _named(paths: Sequence[Path]) -> str:
    more = len(paths) - _SHOWN_NAMES
    return ", ".join(map(str, paths[:_SHOWN_NAMES])) + (f" and {more} more" if more > 0 else "")
