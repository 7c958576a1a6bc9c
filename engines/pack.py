"""A model pack: a folder with `manifest.json`, weights (safetensors) and graphs (ONNX). Load, verify, save."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engines.contract import contract_hash
from engines.errors import OutputError, PackError
from engines.manifest import SCHEMA_VERSION, Manifest

DEFAULT_PACK = Path(__file__).parent / "packs" / "default"
MANIFEST_NAME = "manifest.json"
FEATURES_GRAPH = "features.onnx"


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
        paths = {"features": self.path / FEATURES_GRAPH}
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
        location: a folder, or `default` for the pack that is shipped.

    Raises:
        PackError: there is no pack, or its manifest or one of its files is not what it should be.
    """
    folder = DEFAULT_PACK if str(location) == "default" else Path(location)
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
            f"{folder} was trained for another feature contract ({manifest.contract_hash[:12]}, this version has "
            f"{contract_hash()[:12]}). Use a pack made for this version, or train one: breath-offline train"
        )
    if len(manifest.ensemble.weights) != len(manifest.networks) or not manifest.networks:
        raise PackError(
            f"{manifest_path}: {len(manifest.networks)} networks but {len(manifest.weights)} weights"
        )
    for name, expected in manifest.files.items():
        _verify(folder, name, expected)
    return Pack(folder, manifest, hashlib.sha256(raw).hexdigest())


def save_pack(folder: Path, manifest: Manifest, files: Mapping[str, bytes]) -> Pack:
    """Write a pack as a whole: a reader sees the old folder or the new one, never a mixture.

    Args:
        folder: where; what is there is replaced only if it is a pack or empty.
        manifest: its `files` are made anew from `files`.
        files: content of each file by its name.

    Raises:
        OutputError: the folder holds something else, or cannot be written.
    """
    if folder.exists() and not (folder / MANIFEST_NAME).exists() and any(folder.iterdir()):
        raise OutputError(f"{folder} is not empty and not a model pack; choose another --out")
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    complete = msgspec.structs.replace(manifest, files=hashes)
    partial = folder.with_name(f".{folder.name}.partial")
    previous = folder.with_name(f".{folder.name}.previous")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(previous, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, content in files.items():
            (partial / name).write_bytes(content)
        text = json.dumps(msgspec.to_builtins(complete), indent=2, allow_nan=False)
        (partial / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")
        if folder.exists():
            folder.rename(previous)
        partial.rename(folder)
        shutil.rmtree(previous, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"the pack could not be written to {folder}: {error.strerror or error}") from error
    return load_pack(folder)


def _parsed(raw: bytes, path: Path) -> Manifest:
    try:
        version = msgspec.json.decode(raw, type=dict[str, object]).get("schema_version")
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise PackError(
                f"{path} has schema {version}, newer than {SCHEMA_VERSION}, the newest this version reads. "
                "Upgrade: pip install --upgrade breath"
            )
        return msgspec.json.decode(raw, type=Manifest)
    except msgspec.DecodeError as error:
        raise PackError(f"{path} is not a valid manifest: {error}. Fetch or train the pack again") from error


def _verify(folder: Path, name: str, expected: str) -> None:
    path = folder / name
    if Path(name).name != name:
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
