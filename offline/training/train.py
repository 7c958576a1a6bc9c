"""From a clip set to a model pack: split, features, both networks, weights, calibration, graphs."""

import functools
import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engines.errors import ConfigError, LabelsError
from engines.pack import Pack, check_destination, save_pack
from engines.spec import NARROWBAND, FeatureSpec
from engines.torch_backend import ARCHITECTURES
from offline.clips import ClipSet
from offline.compose.material import MIN_CLIPS, days_with_enough
from offline.compose.negatives import Negatives
from offline.graphs.export import export_pack
from offline.graphs.weights import networks_to_go_on_with, restore_statistics
from offline.precompute import precompute
from offline.split import Split, split_by_day, with_known_days, with_smaller_validation
from offline.store import FeatureStore, open_store
from offline.training.allocation import keep_freed_memory
from offline.training.distributed import World, joined_world
from offline.training.lessons import Examples, Lessons
from offline.training.live_settings import LiveSettings
from offline.training.live_store import LiveRecipe, live_examples
from offline.training.opinions import opinions_of_other_days
from offline.training.progress import TrainingView
from offline.training.resume import STORE, WINDOWS, prepare_work, remove_windows, run_key
from offline.training.settings import TrainSettings
from offline.training.trained_pack import DatasetInfo, pack_content, rows_of
from offline.training.trainer import Trained, kept_network, train_network


@dataclass(frozen=True)
class LiveLessons:
    """Training on live windows instead of clips.

    Attributes:
        negatives: folder of sounds that are not breathing.
        settings: how windows are drawn.
    """

    negatives: Path
    settings: LiveSettings

    def to_json(self) -> dict[str, Any]:
        """As plain values, for the manifest and the checkpoints."""
        negatives = Negatives.find(self.negatives).fingerprint
        return {"negatives": negatives, **asdict(self.settings)}


def train_pack(
    clips: ClipSet,
    out: Path,
    settings: TrainSettings,
    *,
    name: str | None = None,
    dataset: DatasetInfo | None = None,
    spec: FeatureSpec = NARROWBAND,
    live: LiveLessons | None = None,
    first: Pack | None = None,
    only: str | None = None,
    store_folder: Path | None = None,
    work_folder: Path | None = None,
    is_resumed: bool = False,
    is_restarted: bool = False,
) -> Pack | None:
    """Train both networks and write the pack, graphs included.

    What can be refused is refused before the training begins. Under `torchrun`, the store and the work
    folder must be the same folders for all processes.

    Args:
        clips: the labelled clips, of several days.
        out: the pack's folder.
        settings: of the training.
        name: of the pack; None: that of its folder.
        dataset: name, licence and credit of the clips, for the manifest.
        spec: parameters inside the channels.
        live: train on live windows, with an output for presence; None: on the clips themselves.
        first: begin with this pack's networks instead of random ones; its weights come from its graphs, if it
            holds nothing else.
        only: train this network, and keep the others as they are in `first`; None: train all.
        store_folder: feature store to use or make; None: inside the work folder.
        work_folder: checkpoints, histories, TensorBoard; None: `out` with `.training` behind its name.
        is_resumed: go on where an earlier run in this work folder stopped, if there was one.
        is_restarted: delete what an earlier run left, and begin anew.

    Returns:
        The pack; None in processes other than the main one.

    Raises:
        ConfigError: settings that do not fit, or checkpoints of which nothing was said.
        LabelsError: the clips cannot be split or used, or the checkpoints are of another training.
        AudioFileError: one of the sounds that are not breathing cannot be read.
        OutputError: something cannot be written.
        EngineError: a graph of the finished pack differs from torch; its weights are kept.
    """
    place = out.resolve()
    work = work_folder or place.with_name(f"{place.name}.training")
    store_place = store_folder or work / STORE
    check_destination(out)
    for folder in (work, store_place):
        if folder.resolve().is_relative_to(place):
            raise ConfigError(
                f"{folder} lies in {out}, which the pack takes for itself; choose another folder"
            )
    if first is not None and first.manifest.feature_spec != spec:
        raise ConfigError(
            f"{first.path} knows features of other parameters; give the --spec that it was trained with"
        )
    learning = _learning(only, first, n_outputs=1 if live is None else 2)
    split = split_by_day(clips, settings.seed)
    if first is not None:
        split = with_known_days(split, first.manifest.split, clips)
    if settings.keeps_the_last:
        split = with_smaller_validation(split, clips.clips, settings.validation_share)
    if live is not None:
        for part in ("train", "validation"):
            if not days_with_enough(clips.of_days(split.days_of(part))):
                raise LabelsError(
                    f"live windows are spliced from the clips of one day, and no day for {part} has "
                    f"{MIN_CLIPS} clips of each phase with a natural length of 0.1 s or more; add clips, or "
                    "true_durations.csv (file_name,duration_s)"
                )
        for part in ("train", "validation"):
            Negatives.find(live.negatives, part).check()
    recipe = asdict(settings) | ({"live": live.to_json()} if live else {})
    if first is not None:
        files = first.manifest.files
        recipe["first"] = {
            name: files.get(f"{name}.safetensors", files.get(f"{name}.onnx")) for name in ARCHITECTURES
        }
    begun = {} if first is None else networks_to_go_on_with(first)
    key = run_key(clips, split, spec, recipe)
    with joined_world() as world:
        if world.device.type == "cpu":
            keep_freed_memory()
        if world.is_main:
            prepare_work(work, ARCHITECTURES, key, is_resumed=is_resumed, is_restarted=is_restarted)
        with TrainingView(work, is_shown=world.is_main) as view:
            store = _store(clips, store_place, spec, world, view)
            drawing = _drawing_seed(settings.seed, recipe.get("first"))
            lessons = _lessons(clips, store, split, settings, live, drawing, work / WINDOWS, world, view)
            if first is not None and not first.has_weights:
                for network in learning:
                    restore_statistics(begun[network], lessons.of_epoch(0))
            states = {name: network.state_dict() for name, network in begun.items()}
            trained: dict[str, Trained] = {}
            for network in ARCHITECTURES:
                if network not in learning:
                    trained[network] = kept_network(begun[network], lessons, settings, world)
                    continue
                watcher = view.watcher(network, settings)
                trained[network] = train_network(
                    network, lessons, settings, world, work, watcher,
                    run_key=key, first=states.get(network), is_resumed=is_resumed,
                )  # fmt: skip
    if not world.is_main:
        return None
    # Not of the key: what one network learns has nothing to do with the other.
    if only:
        recipe["only"] = only
    pack_name, its_dataset = name or place.name, dataset or DatasetInfo()
    pack = save_pack(out, *pack_content(pack_name, trained, lessons, store, split, recipe, its_dataset))
    exported = export_pack(pack, clips=clips.of_days(split.test))
    # Gigabytes that can be drawn again.
    remove_windows(work / WINDOWS)
    return exported


def _learning(only: str | None, first: Pack | None, n_outputs: int) -> tuple[str, ...]:
    """The networks that are trained.

    Raises:
        ConfigError: there is no other network to keep, or one with other outputs than these lessons have.
    """
    if only is None:
        return tuple(ARCHITECTURES)
    if first is None:
        raise ConfigError(f"--only {only} keeps the other network of a pack: name the pack with --from")
    for info in first.manifest.networks:
        if info.name != only and info.n_outputs != n_outputs:
            flag = "leave out --live" if n_outputs > 1 else "add --live"
            raise ConfigError(
                f"--only {only} keeps {info.name} of {first.path}, which has {info.n_outputs} output(s), "
                f"beside one that gets {n_outputs}; {flag}, or train both"
            )
    return (only,)


def _store(clips: ClipSet, folder: Path, spec: FeatureSpec, world: World, view: TrainingView) -> FeatureStore:
    if world.is_main:
        precompute(clips, folder, spec, progress=view.precomputing)
    world.wait()
    return open_store(folder)


def _lessons(
    clips: ClipSet,
    store: FeatureStore,
    split: Split,
    settings: TrainSettings,
    live: LiveLessons | None,
    drawing_seed: int,
    folder: Path,
    world: World,
    view: TrainingView,
) -> Lessons:
    # Of the training days alone, so that validation judges by the labels, and no day by itself.
    rows = rows_of(store, split, "train")
    opinions = opinions_of_other_days(store, clips, rows, settings.opinion_share, settings.seed)
    if live is None:
        names = [clips.name_of(clips.clips[row]) for row in rows]
        targets = [opinions.target(*known) for known in zip(names, store.labels[rows].tolist(), strict=True)]
        train = Examples.of_clips(store, rows, np.array(targets, np.float32)[:, None])
        validation = Examples.of_clips(store, rows_of(store, split, "validation"))
        return Lessons(lambda _epoch: train, validation, n_outputs=1)

    def windows(part: str, name: str, seed: int, epoch: int, n_windows: int) -> Examples:
        days = split.days_of(part)
        its_opinions = opinions if part == "train" else None
        recipe = LiveRecipe(
            clips.of_days(days), live.negatives, part, live.settings, store.spec, seed, its_opinions
        )
        # The main process draws them; the others find them drawn.
        if not world.is_main:
            world.wait()
        examples = live_examples(recipe, folder / name, epoch, n_windows, view.drawing_windows)
        if world.is_main:
            world.wait()
        return examples

    @functools.lru_cache(maxsize=1)
    def of_epoch(epoch: int) -> Examples:
        name = f"epoch-{epoch:02d}"
        return windows("train", name, drawing_seed, epoch, live.settings.windows_per_epoch)

    validation = windows("validation", "validation", settings.seed, 0, live.settings.validation_windows)
    return Lessons(of_epoch, validation, n_outputs=2)


def _drawing_seed(seed: int, first: dict[str, str | None] | None) -> int:
    """Of the live windows; those that a pack was trained on would teach it nothing new."""
    if first is None:
        return seed
    digest = hashlib.sha256(f"{seed}:{sorted(first.items())}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
