"""`breath-offline fit-decision`: from labelled streams to a pack whose decision knows what it hears."""

from pathlib import Path

import click

from offline.cli_options import FOLDER, engine_option, pack_option, progress_bar


@click.command("fit-decision")
@pack_option
@click.option("--streams", required=True, type=FOLDER, help="Labelled streams of the validation days.")
@click.option("--out", required=True, type=FOLDER, help="Folder of the pack that is written.")
@engine_option
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="Processes at a time.")
def fit_decision(pack: str, streams: Path, out: Path, engine: str, jobs: int) -> None:
    """Fit what the decision takes its evidence from to labelled streams.

    The streams are heard as breath-live hears them. The pack keeps the temperature at which P(exhale) is
    right as often as it says, and, for inhalations, exhalations and the pauses after them, what it said of
    windows that end in them and how the level rose, by how long they had been going on. Only streams of the
    pack's validation days are taken: on days of the training it is surer than it is right, and what was
    fitted to the test days is not tested by them. Make some with: breath-offline compose --part validation
    --snr clean,10
    """
    from engines.pack import load_pack
    from offline.streams.decision_fit import fit_pack
    from offline.streams.files import find_streams, notes_from_streams
    from offline.training.calibration import is_at_an_end

    loaded = load_pack(pack)
    labelled = find_streams(streams)
    for note in notes_from_streams(labelled):
        click.echo(note, err=True)
    with progress_bar("streams") as progress:
        fitted = fit_pack(loaded, labelled, out, engine=engine, jobs=jobs, progress=progress)
    manifest = fitted.manifest
    assert manifest.emission is not None
    click.echo(
        f"fitted to {manifest.emission.n_windows} windows (temperature {manifest.temperature}): {fitted.path}"
    )
    if is_at_an_end(manifest.temperature):
        click.echo(
            "warning: the temperature is at the end of its range: these networks know next to nothing of the "
            "phases of these streams, or never err. Is it a pack for live sound, and are the labels right?",
            err=True,
        )
