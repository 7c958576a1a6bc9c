"""A model pack: a folder of `manifest.json`, weights (safetensors) and graphs (ONNX). Load, verify, save."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import msgspec

from engines.contract import contract_hash
from engines.errors import OutputError, PackError
from engines.installing import REINSTALL
from engines.manifest import FEATURES, OLDEST_SCHEMA_VERSION, SCHEMA_VERSION, Manifest
from engines.manifest_check import PLAIN_NAME, contradictions
from engines.paths import is_there, path_from_text
from engines.spec import FeatureSpec
from engines.whole import replace_folder

SHIPPED_PACKS: dict[str, Path] = {
    name: Path(__file__).parent / "packs" / name for name in ("default", "clips")
}
"""`default` for live sound, `clips` for one-second clips that each hold one phase from its onset."""
MANIFEST_NAME = "manifest.json"
NETWORK_OUTPUT = "logit"
FEATURES_GRAPH = f"{FEATURES}.onnx"


@dataclass(frozen=True)
class Pack:
    """A verified model pack.

    Attributes:
        path: its folder.
        manifest: what it holds.
        sha256: hash of its manifest, and by the hashes in there of all its files.
    """

    path: Path
    manifest: Manifest
    sha256: str

    @property
    def graph_paths(self) -> dict[str, Path]:
        """Path of each ONNX graph by stage: `features`, then one per network in the order of the logits."""
        paths = {FEATURES: self.path / FEATURES_GRAPH}
        paths.update({network.name: self.path / f"{network.name}.onnx" for network in self.manifest.networks})
        return paths

    @property
    def weight_paths(self) -> dict[str, Path]:
        """Path of each network's safetensors, in the order of the logits."""
        return {network.name: self.path / f"{network.name}.safetensors" for network in self.manifest.networks}

    @property
    def has_graphs(self) -> bool:
        """Whether every ONNX graph is there."""
        return all(path.name in self.manifest.files for path in self.graph_paths.values())

    @property
    def has_weights(self) -> bool:
        """Whether every network's safetensors are there."""
        return all(path.name in self.manifest.files for path in self.weight_paths.values())


def load_pack(location: str | Path = "default") -> Pack:
    """Load and verify a pack.

    Args:
        location: a folder, `~` being the user's; or, as a text and not as a path, one of `SHIPPED_PACKS`.

    Raises:
        ConfigError: `location` can be no path; see `path_from_text`.
        PackError: there is no pack, or its manifest or one of its files is not what it should be.
    """
    shipped = SHIPPED_PACKS.get(location) if isinstance(location, str) else None
    folder = shipped or path_from_text(location)
    manifest_path = folder / MANIFEST_NAME
    try:
        raw = manifest_path.read_bytes()
    except OSError as error:
        raise PackError(
            f"no model pack at {folder}: {MANIFEST_NAME} cannot be read ({error.strerror}). "
            "Give the folder that `breath-offline train --out` wrote, or `--pack default`"
        ) from error
    manifest = _parsed(raw, manifest_path)
    if manifest.contract_hash != contract_hash():
        raise PackError(
            f"{folder} was trained for another feature contract ({manifest.contract_hash[:12]}; this version "
            f"has {contract_hash()[:12]}). Use a pack for this version, or make one: breath-offline train"
        )
    for problem in contradictions(manifest):
        raise PackError(f"{manifest_path} contradicts itself: {problem}. Fetch or train the pack again")
    for name, expected in manifest.files.items():
        _verify(folder, name, expected)
    return Pack(folder, manifest, hashlib.sha256(raw).hexdigest())


def tensors_of(stage: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the inputs and of the outputs of a stage's graph."""
    if stage == FEATURES:
        return ("windows",), ("images", "scalars")
    return ("images", "scalars"), (NETWORK_OUTPUT,)


def largest_first(pack: Pack) -> list[str]:
    """The networks of a pack by the size of their graphs, which stands for the work that they are."""

    def size(network: str) -> int:
        path = pack.graph_paths[network]
        return path.stat().st_size if path.is_file() else 0

    return sorted((network.name for network in pack.manifest.networks), key=size, reverse=True)


def check_tensors(path: Path, stage: str, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """See that a graph takes and gives what its stage does.

    Raises:
        PackError: it does not.
    """
    if (tuple(inputs), tuple(outputs)) != tensors_of(stage):
        wanted_inputs, wanted_outputs = (" and ".join(names) for names in tensors_of(stage))
        raise PackError(
            f"{path} is no graph of {stage}: it makes {' and '.join(outputs) or 'nothing'} of "
            f"{' and '.join(inputs) or 'nothing'}, not {wanted_outputs} of {wanted_inputs}. Fetch or export "
            "the pack again"
        )


def save_pack(folder: Path, manifest: Manifest, files: Mapping[str, bytes]) -> Pack:
    """Write a pack as a whole; whatever goes wrong, the old one stays as it was.

    Args:
        folder: where; what is there is replaced only if it is a pack or empty.
        manifest: its `files` are made anew from `files`, and it is written in the newest schema.
        files: content of each file by its name.

    Raises:
        OutputError: the folder holds something else, or cannot be written; or a number of the manifest is
            none.
        PackError: the pack could not be loaded again; what was there stays.
    """
    place = folder.resolve()
    check_destination(place)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    complete = msgspec.structs.replace(manifest, schema_version=SCHEMA_VERSION, files=hashes)
    try:
        text = json.dumps(msgspec.to_builtins(complete), indent=2, allow_nan=False) + "\n"
    except ValueError as error:
        raise OutputError(f"the manifest of {folder} cannot be written as JSON: {error}") from error

    def see_that_it_loads(partial: Path) -> None:
        try:
            load_pack(partial)
        except PackError as error:
            raise PackError(str(error).replace(str(partial), str(folder))) from error

    try:
        replace_folder(place, {**files, MANIFEST_NAME: text.encode()}, see_that_it_loads)
    except OSError as error:
        raise OutputError(f"the pack could not be written to {folder}: {error.strerror or error}") from error
    return load_pack(folder)


def save_changed_pack(folder: Path, pack: Pack, **changes: Any) -> Pack:
    """Write a pack again with the same files; `changes` are of its manifest.

    Raises:
        OutputError: see `save_pack`.
    """
    files = {name: (pack.path / name).read_bytes() for name in pack.manifest.files}
    return save_pack(folder, msgspec.structs.replace(pack.manifest, **changes), files)


def check_destination(folder: Path) -> None:
    """See that a pack may be written to `folder`, before the hours of work that its content takes.

    Raises:
        OutputError: it is a file, or holds anything but a pack, or nothing can be written there.
    """
    place = folder.resolve()
    if is_there(place) and not place.is_dir():
        raise OutputError(f"{folder} is a file; give the pack a folder, with another --out")
    try:
        strangers = _strangers(place)
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}") from error
    if strangers:
        raise OutputError(
            f"{folder} holds {strangers[0]}, which is not of a model pack and would be lost; "
            "choose another --out, or empty the folder"
        )
    if not os.access(place.parent, os.W_OK):
        raise OutputError(f"nothing can be written in {place.parent}; choose another --out")


def _strangers(folder: Path) -> list[str]:
    """Names in `folder` that belong to no pack; a file is only known to belong by the manifest beside it."""
    if not folder.exists():
        return []
    names = {path.name for path in folder.iterdir()}
    known: set[str] = set()
    if MANIFEST_NAME in names:
        try:
            manifest = json.loads((folder / MANIFEST_NAME).read_bytes())
            if "contract_hash" in manifest:
                known = {MANIFEST_NAME, *manifest["files"]}
        except (ValueError, TypeError, KeyError, RecursionError):
            known = set()
    return sorted(names - known)


def _parsed(raw: bytes, path: Path) -> Manifest:
    try:
        content = msgspec.json.decode(raw, type=dict[str, Any])
        version = content.get("schema_version")
        if isinstance(version, int) and version < OLDEST_SCHEMA_VERSION:
            raise msgspec.ValidationError(f"there is no schema {version} - at `$.schema_version`")
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise PackError(
                f"{path} has schema {version}, newer than {SCHEMA_VERSION}, the newest this version reads. "
                f"Get a newer source, and: {REINSTALL}"
            )
        manifest = msgspec.convert(_in_newest_form(content), type=Manifest)
        # A plain dataclass would let unknown parameters pass, and the features would be other ones.
        spec = content["feature_spec"]
        unknown = set(spec if isinstance(spec, dict) else ()) - {field.name for field in fields(FeatureSpec)}
        if unknown:
            raise msgspec.ValidationError(f"unknown parameter `{min(unknown)}` - at `$.feature_spec`")
        return manifest
    # msgspec's own errors are of the first class, and so is a broken encoding.
    except (ValueError, RecursionError) as error:
        raise PackError(f"{path} is not a valid manifest: {error}. Fetch or train the pack again") from error


def _in_newest_form(content: dict[str, Any]) -> dict[str, Any]:
    """A manifest as the newest schema has it; where it is no valid one of its own, it stays as it is."""
    if content.get("schema_version") != 2 or not isinstance(content.get("emission"), dict):
        return content
    # Until schema 2 a deviation was one number for each state.
    emission = dict(content["emission"])
    for name in ("phase", "presence"):
        normal = emission.get(name)
        if isinstance(normal, dict) and isinstance(normal.get("sd"), list):
            emission[name] = normal | {"sd": [[sd] for sd in normal["sd"]]}
    return content | {"emission": emission}


def _verify(folder: Path, name: str, expected: str) -> None:
    path = folder / name
    if not PLAIN_NAME.fullmatch(name):
        raise PackError(f"{folder / MANIFEST_NAME} names {name!r}, which is not a plain file name")
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise PackError(
            f"{path} cannot be read ({error.strerror}). Fetch or export the pack again"
        ) from error
    if found != expected:
        raise PackError(
            f"{path} is damaged or was changed: its sha256 is {found[:12]}..., the manifest says "
            f"{expected[:12]}... Fetch or export the pack again"
        )
