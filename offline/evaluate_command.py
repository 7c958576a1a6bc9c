"""`breath-offline evaluate`: its flags, and which of the two evaluations they mean."""

from pathlib import Path
from typing import Any

import click

from offline.cli_options import (
    FOLDER,
    clip_pack_option,
    engine_option,
    need_workshop,
    pack_for_clips,
    read_clips,
    seed_option,
    skip_bad_option,
)

_PARTS = ("unseen", "test", "validation", "train", "all")


@click.command()
@click.option("--data", type=FOLDER, help="Folder of a labelled clip set, or its CSV.")
@click.option("--streams", type=FOLDER, help="Folder of labelled streams: NAME.wav, .txt or .csv, and .json.")
@clip_pack_option
@click.option("--part", default="unseen", show_default=True, type=click.Choice(_PARTS), help="Days to score.")
@click.option("--json", "json_path", type=FOLDER, help="Write the figures here; - for standard output.")
@click.option("--report", type=FOLDER, help="Write figures and report.html into this folder.")
@engine_option
@click.option("--hop", metavar="S", help="Of streams: seconds from one answer to the next.  [0.1]")
@click.option(
    "--lookahead",
    metavar="S,...",
    help="Of streams: what deciding so many seconds later gains; the first is what is reported.  [0]",
)
@click.option("--config", type=FOLDER, help="Of streams: settings of the live path, as for breath-live.")
@click.option(
    "--jobs",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Of streams: processes side by side.",
)
@click.option(
    "--draws",
    "n_draws",
    default=1000,
    show_default=True,
    type=click.IntRange(min=1),
    help="Draws of the bootstrap.",
)
@seed_option("Seed of the bootstrap.")
@skip_bad_option
@click.pass_context
def evaluate(
    ctx: click.Context,
    /,
    data: Path | None,
    streams: Path | None,
    pack: str,
    part: str,
    report: Path | None,
    hop: str | None,
    lookahead: str | None,
    config: Path | None,
    jobs: int,
    skip_bad: bool,
    **shared: Any,
) -> None:
    """Score a pack, and each of its networks, on labelled clips; or the live path with it on streams.

    With --data, by default on the days that the pack was neither trained nor tuned on: the held-out days of
    its own clip set, every day of another one.

    With --streams every labelled WAV or FLAC of the folder is heard as breath-live replay hears it, and what
    was shown is held against the truth at the moment it was shown.
    """
    if (data is None) == (streams is None):
        raise click.UsageError("say either --data, to score clips, or --streams, to score the live path")
    foreign = ("hop", "lookahead", "config", "jobs") if streams is None else ("part", "skip_bad")
    for name in foreign:
        if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            flag = name.replace("_", "-")
            raise click.UsageError(
                f"--{flag} has no meaning with {'--data' if streams is None else '--streams'}"
            )
    need_workshop("sklearn", *(["matplotlib"] if report else []))
    from engines.pack import load_pack
    from offline.output import check_replaceable

    if shared["json_path"] is not None:
        check_replaceable(shared["json_path"])
    loaded = load_pack(pack_for_clips(pack) if streams is None else pack)
    if data is not None:
        from offline import clip_command

        clips = read_clips(data, skip_bad)
        clip_command.run(clips, loaded, part=part, report=report, **shared)
    elif streams is not None:
        from offline.streams import command as stream_command

        settings, further_s = stream_command.settings_from_flags(hop, lookahead, config)
        stream_command.run(streams, loaded, settings, further_s, jobs=jobs, report=report, **shared)
