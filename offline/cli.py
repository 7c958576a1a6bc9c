"""`breath-offline`: clips in, model packs out."""

from pathlib import Path
from typing import Any

import click

from engines.spec import NARROWBAND, FeatureSpec
from offline.benchmark.command import benchmark
from offline.cli_examples import OFFLINE_EPILOG, OFFLINE_EXAMPLES
from offline.cli_options import (
    FOLDER,
    clip_pack_option,
    data_option,
    engine_option,
    need_workshop,
    pack_for_clips,
    pack_option,
    progress_bar,
    read_clips,
    seed_option,
    skip_bad_option,
)
from offline.compose.command import compose
from offline.cut.command import cut
from offline.evaluate_command import evaluate
from offline.graphs.build_command import build
from offline.streams.fit_command import fit_decision
from offline.training.options import live_from_flags, live_options, settings_from_flags, training_options
from realtime.cli_errors import BreathGroup
from realtime.cli_examples import add_examples
from realtime.completion import completion_command

# Everything heavy is imported by the command that needs it: help must come at once.

_SPECS = ("narrowband", "reference")
_NETWORKS = ("cnn8", "vgg")

_spec = click.option(
    "--spec",
    default="narrowband",
    show_default=True,
    type=click.Choice(_SPECS),
    help="Parameters of the features: for clips without sound above 2 kHz, or the contract's reference.",
)


_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(name="breath-offline", cls=BreathGroup, epilog=OFFLINE_EPILOG, context_settings=_CONTEXT)
@click.version_option(package_name="breath", prog_name="breath-offline")
def main() -> None:
    """Train, measure and export breath-phase networks from labelled clips."""


main.add_command(cut)
main.add_command(compose)
main.add_command(build)
main.add_command(fit_decision)
main.add_command(evaluate)
main.add_command(benchmark)
main.add_command(completion_command(main, "breath-offline"))


@main.command()
@data_option
@click.option("--out", required=True, type=FOLDER, help="Folder of the feature store; a started one goes on.")
@_spec
@click.option("--workers", type=click.IntRange(min=1), help="Processes; one per core if not given.")
@skip_bad_option
def precompute(data: Path, out: Path, spec: str, workers: int | None, skip_bad: bool) -> None:
    """Compute the features of every clip into a store."""
    need_workshop("torch", "torchaudio")
    from offline import precompute as precomputing

    clips = read_clips(data, skip_bad)
    with progress_bar("features") as progress:
        precomputing.precompute(clips, out, _spec_named(spec), workers, progress)
    click.echo(f"{len(clips)} clips in {out}")


@main.command()
@data_option
@click.option("--out", required=True, type=FOLDER, help="Folder of the new model pack.")
@click.option("--name", help="The pack's name; that of its folder if not given.")
@_spec
@training_options
@live_options
@click.option("--from", "first", help="Begin with this pack, shipped or your own; random weights if not.")
@click.option(
    "--only", type=click.Choice(_NETWORKS), help="Train this network; the other stays as in --from."
)
@click.option("--store", type=FOLDER, help="Feature store to use or make; in the work folder if not given.")
@click.option("--work", type=FOLDER, help="Checkpoints, histories, TensorBoard; OUT.training if not given.")
@click.option("--resume", is_flag=True, help="Go on where an earlier run with the same flags stopped.")
@click.option("--restart", is_flag=True, help="Delete the checkpoints of an earlier run and begin anew.")
@click.option("--dataset-name", default="not stated", help="Of the clips, for the pack's manifest.")
@click.option("--licence", default="not stated", help="Of the clips, for the pack's manifest.")
@click.option("--credit", default="not stated", help="Who is owed credit for the clips and sounds.")
@skip_bad_option
def train(
    data: Path,
    out: Path,
    name: str | None,
    spec: str,
    live: bool,
    negatives: Path | None,
    windows: int,
    label_lag: float,
    shares: str,
    first: str | None,
    only: str | None,
    store: Path | None,
    work: Path | None,
    resume: bool,
    restart: bool,
    dataset_name: str,
    licence: str,
    credit: str,
    skip_bad: bool,
    **chosen: Any,
) -> None:
    """Train both networks and write a model pack.

    On the clips as they are; or with --live on windows cut anywhere in streams that are spliced anew for
    every epoch, clips among them, and with a second output that says whether there is breath at all.

    Every epoch is kept in the work folder. Where it holds checkpoints already, say --resume or --restart;
    what is resumed must be the same training: the same clips, the same flags.

    On several GPUs or machines: torchrun ... -m offline.cli train ...; the store and the work folder
    must then be the same folders for all processes.
    """
    need_workshop("torch", "torchaudio", "sklearn", "onnx", "onnxscript", "safetensors", "tensorboard")
    from engines.pack import load_pack
    from offline.training.train import LiveLessons, train_pack
    from offline.training.trained_pack import DatasetInfo

    live_flags = live_from_flags(live, negatives, windows, label_lag, shares)
    pack = train_pack(
        read_clips(data, skip_bad),
        out,
        settings_from_flags(**chosen),
        name=name,
        dataset=DatasetInfo(dataset_name, licence, credit),
        spec=_spec_named(spec),
        live=LiveLessons(*live_flags) if live_flags else None,
        first=load_pack(first) if first else None,
        only=only,
        store_folder=store,
        work_folder=work,
        is_resumed=resume,
        is_restarted=restart,
    )
    if pack is not None:
        click.echo(f"pack {pack.manifest.name} in {pack.path}")


@main.command()
@pack_option
@click.option("--data", type=FOLDER, help="Clips to verify the graphs on, besides the edge cases.")
@click.option("--out", type=FOLDER, help="Write a pack here, instead of into the pack itself.")
@click.option("--graphs-only", is_flag=True, help="Leave the weights out, as in a shipped pack; needs --out.")
@click.option(
    "--features-only", is_flag=True, help="Only the graph of the features, as this version makes it."
)
@skip_bad_option
def export(
    pack: str, data: Path | None, out: Path | None, graphs_only: bool, features_only: bool, skip_bad: bool
) -> None:
    """Write a pack's ONNX graphs, verified against torch.

    A pack without weights, such as a shipped one, gives float graphs with the weights of its INT8 graphs, for
    engines in fp32 and fp16; it needs --out.

    With --features-only the graphs of the networks stay, INT8 or float: a pack of an earlier version then
    computes its features as fast as one of this version does.
    """
    if graphs_only and features_only:
        raise click.UsageError("--graphs-only and --features-only exclude each other.")
    need_workshop("torch", "torchaudio", "onnx", "onnxscript", "safetensors")
    from engines.pack import load_pack
    from offline.graphs.export import export_pack
    from offline.graphs.parts import FEATURES_AGAINST_BEFORE
    from offline.graphs.renew import renew_features

    loaded = load_pack(pack)
    clips = None if data is None else read_clips(data, skip_bad)
    if features_only:
        renewed = renew_features(loaded, clips, out=out)
        if renewed is loaded:
            click.echo(f"the features of {loaded.path} are those of this version already")
            return
        moves = renewed.manifest.metrics[FEATURES_AGAINST_BEFORE]
        for network in renewed.manifest.networks:
            name = renewed.graph_paths[network.name].name
            mean, largest = moves[name]["mean_difference"], moves[name]["largest_difference"]
            click.echo(f"{name}: P moves by {mean:.2g} on average, by {largest:.2g} at most")
        click.echo(f"features in {renewed.path}")
        return
    exported = export_pack(loaded, clips, out=out, keep_weights=not graphs_only)
    click.echo(f"graphs in {exported.path}")
    if not loaded.has_weights:
        click.echo(
            f"their weights are those of the graphs of {loaded.path}; metrics in the manifest say how near"
        )


@main.command()
@pack_option
@click.option("--data", required=True, type=FOLDER, help="The clip set that the pack was trained on.")
@click.option("--negatives", type=FOLDER, help="Calibrate on live windows, with these sounds, not on clips.")
@click.option("--out", required=True, type=FOLDER, help="Folder of the pack that is written.")
@seed_option("Seed of the choice of the calibration clips.")
@skip_bad_option
def quantise(pack: str, data: Path, negatives: Path | None, out: Path, seed: int, skip_bad: bool) -> None:
    """Make a pack of INT8 graphs, fast on a CPU; refused if it costs accuracy.

    Calibrated on sound of the days the pack was trained on, judged on clips of its validation days.
    """
    need_workshop("onnx", "sklearn")
    from engines.pack import load_pack
    from offline.graphs.parts import INT8_AGAINST_FLOAT
    from offline.graphs.quantise import quantise_pack

    quantised = quantise_pack(
        load_pack(pack), read_clips(data, skip_bad), out, negatives=negatives, seed=seed
    )
    figures = quantised.manifest.metrics[INT8_AGAINST_FLOAT]
    for name in (*quantised.graph_paths, "ensemble"):
        if name in figures:
            lost, moved = figures[name]["auc_lost"], figures[name]["mean_difference"]
            click.echo(f"{name}: {lost:+.4f} AUC lost, P(exhale) moves by {moved:.4f} on average")
    judged_on = f"judged on {figures['n_clips']} clips of the validation days"
    click.echo(f"INT8 graphs in {quantised.path}, {judged_on}")


@main.command()
@click.argument("places", nargs=-1, required=True, type=FOLDER, metavar="WAV_OR_DIR...")
@click.option("--csv", "csv_path", required=True, type=FOLDER, help="Write here; - for standard output.")
@click.option("--kaggle", is_flag=True, help="Write ID,Target instead of file,prob_exhale,label.")
@clip_pack_option
@engine_option
@skip_bad_option
def predict(
    places: tuple[Path, ...], csv_path: Path, kaggle: bool, pack: str, engine: str, skip_bad: bool
) -> None:
    """Say inhale or exhale for the first second of each sound file."""
    from engines.pack import load_pack
    from offline import predict as prediction
    from offline.output import check_replaceable, open_output
    from realtime.engine import open_engine

    check_replaceable(csv_path, own_columns=("id", "target") if kaggle else ())
    loaded = load_pack(pack_for_clips(pack))
    paths, problems = prediction.find_sounds(places, skip_bad=skip_bad)
    for problem in problems:
        click.echo(f"skipped: {problem}", err=True)
    if kaggle:
        prediction.check_ids(paths)
    opened, choice = open_engine(loaded, engine)
    click.echo(f"pack {loaded.manifest.name}, engine {choice.name}", err=True)
    with open_output(csv_path) as text, opened, progress_bar("files") as progress:
        predictions = prediction.predict(loaded, opened, paths, progress)
        prediction.write_predictions(predictions, text, kaggle=kaggle)


add_examples(main, OFFLINE_EXAMPLES)


def _spec_named(name: str) -> FeatureSpec:
    return NARROWBAND if name == "narrowband" else FeatureSpec()


if __name__ == "__main__":
    main()
