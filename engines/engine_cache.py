"""The cache of built engines: one folder each, with a sidecar manifest, written as a whole or not at all.

    <root>/<name of the key>/engine.json     what it was built from, by what, for what; hashes of the files
    <root>/<name of the key>/cnn8.engine     one plan for the features, and one per network
    <root>/<name of the key>.lock            held while it is built
    <root>/<flavour, version, GPU>.timing    what TensorRT measured, so that the next build is faster

An engine runs only with the weights, the version and the GPU that it was built for, so all of them are in the
key, and again in the manifest: a folder that was renamed or copied from elsewhere is still found out.
"""

import hashlib
import json
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from engines.errors import ConfigError, EngineMismatchError, EngineMissingError, OutputError
from engines.paths import path_from_text, user_folder
from engines.whole import replace_folder

# 2: the features are among the plans.
SCHEMA_VERSION = 2
MANIFEST_NAME = "engine.json"
# One letter less would be a slip of BREATH_ENGINE, the setting.
ROOT_VARIABLE = "BREATH_ENGINE_CACHE"
Precision = Literal["fp32", "fp16", "int8"]


class BatchProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Smallest, likeliest and largest number of windows in one inference."""

    smallest: int
    likeliest: int
    largest: int

    @classmethod
    def parse(cls, text: str) -> "BatchProfile":
        """From `MIN:OPT:MAX`, or one number for all three.

        Raises:
            ConfigError: it is not that, or the numbers are not in order.
        """
        parts = text.split(":")
        parts = parts * 3 if len(parts) == 1 else parts
        if len(parts) != 3 or not all(re.fullmatch(r"[0-9]{1,5}", part) for part in parts):
            raise ConfigError(f"--batch {text!r} is not MIN:OPT:MAX; for a live stream choose 1:1:1")
        smallest, likeliest, largest = map(int, parts)
        if not 1 <= smallest <= likeliest <= largest:
            raise ConfigError(f"--batch {text!r} is not in order: 1 <= MIN <= OPT <= MAX must hold")
        return cls(smallest, likeliest, largest)

    def __str__(self) -> str:
        return f"{self.smallest}:{self.likeliest}:{self.largest}"


class EngineKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that makes one engine another one.

    Attributes:
        pack_sha256: of the pack's manifest, and by the hashes in there of its weights and graphs.
        flavour: `tensorrt` or `tensorrt-rtx`.
        version: of that library, in full.
        gpu: `engines.gpu.Gpu.label`, or `any` where the library's engines are not tied to one.
        precision: of the networks.
        batch: numbers of windows that it accepts.
    """

    pack_sha256: str
    flavour: str
    version: str
    gpu: str
    precision: Precision
    batch: BatchProfile

    @property
    def name(self) -> str:
        """Name of its folder: readable, and unique by a hash over everything."""
        digest = hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:12]
        return f"{self.flavour}-{self.version}-{self.precision}-{digest}"


class PlanFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of an engine: its hash (sha256, hex), its length in bytes, and what was in the network.

    `layers` counts the layers by kind and type, such as {"CONVOLUTION": {"HALF": 8}}.
    """

    sha256: str
    n_bytes: int
    layers: dict[str, dict[str, int]]


class EngineManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `engine.json`; `parity` says how far the engine is from torch, or that nobody looked."""

    schema_version: int
    key: EngineKey
    pack_name: str
    plans: dict[str, PlanFile]
    parity: dict[str, Any]


@dataclass(frozen=True)
class CachedEngine:
    """An engine on the disk: its folder and its manifest."""

    path: Path
    manifest: EngineManifest


def chosen_root() -> Path | None:
    """The folder that the environment names for engines; None: it names none.

    Raises:
        ConfigError: it can be no path; see `path_from_text`.
    """
    text = os.environ.get(ROOT_VARIABLE, "")
    return path_from_text(text) if text else None


def default_root() -> Path:
    """`chosen_root`, or else the user's own cache folder for engines."""
    return chosen_root() or user_folder("cache") / "engines"


def build_command(
    pack_path: Path, flavour: str, like: EngineKey | None = None, *, is_anew: bool = False
) -> str:
    """The command that builds a pack's engine.

    Args:
        pack_path: folder of the pack.
        flavour: of TensorRT.
        like: with its precision and batch; None: with those that the command takes by itself.
        is_anew: also if there is a whole one already.
    """
    words = ["breath-offline", "build", "--pack", str(pack_path), "--engine", flavour]
    if like is not None:
        words += ["--precision", like.precision, "--batch", str(like.batch)]
    return shlex.join(words + ["--rebuild"] * is_anew)


def list_engines(root: Path) -> list[CachedEngine]:
    """Engines under `root` whose manifest can be read, the newest first; none where there is no folder."""
    found: list[tuple[float, CachedEngine]] = []
    for path in root.glob(f"*/{MANIFEST_NAME}"):
        if path.parent.name.startswith("."):
            continue  # on its way in or out, see `replace_folder`
        try:
            manifest = msgspec.json.decode(path.read_bytes(), type=EngineManifest)
            found.append((path.stat().st_mtime, CachedEngine(path.parent, manifest)))
        except (OSError, ValueError):
            continue
    return [engine for _, engine in sorted(found, key=lambda pair: (-pair[0], str(pair[1].path)))]


def find_engine(
    root: Path, *, pack_path: Path, pack_sha256: str, flavour: str, version: str, gpu: str
) -> CachedEngine:
    """The engine that was built last for this pack, library and GPU, whatever its precision and batch.

    Args:
        root: of the cache.
        pack_path: folder of the pack, for the command that builds the engine.
        pack_sha256: of the pack.
        flavour: of TensorRT.
        version: of that library.
        gpu: label of this machine's GPU; an engine for `any` GPU fits too.

    Raises:
        EngineMissingError: there is no engine of this flavour.
        EngineMismatchError: there are some, and none fits; the message says why the nearest does not.
    """
    wanted = {"pack_sha256": pack_sha256, "version": version, "gpu": gpu}
    candidates = [engine for engine in list_engines(root) if engine.manifest.key.flavour == flavour]
    if not candidates:
        raise EngineMissingError(
            f"no {flavour} engine in {root}; build it with: {build_command(pack_path, flavour)}"
        )
    differences = [_differences(engine.manifest, wanted) for engine in candidates]
    for engine, found in zip(candidates, differences, strict=True):
        if not found:
            return engine
    nearest, found = min(zip(candidates, differences, strict=True), key=lambda pair: len(pair[1]))
    key = nearest.manifest.key
    # What another pack was built with, this one may not have.
    like = key if key.pack_sha256 == pack_sha256 else None
    raise EngineMismatchError(
        f"no {flavour} engine in {root} fits: the nearest was built {' and '.join(found)}. "
        f"Build it again: {build_command(pack_path, flavour, like)}"
    )


def read_plans(engine: CachedEngine, *, wanted: EngineKey, pack_path: Path) -> dict[str, bytes]:
    """The plans of an engine by stage, each verified.

    Args:
        engine: in the cache.
        wanted: what it must have been built for.
        pack_path: folder of the pack, for the command that mends a damaged engine.

    Raises:
        EngineMismatchError: it was built for something else, or a file is missing, cut off or changed.
    """
    manifest = engine.manifest
    mend = build_command(pack_path, wanted.flavour, wanted)
    fields = {name: getattr(wanted, name) for name in EngineKey.__struct_fields__}
    found = _differences(manifest, fields)
    if manifest.schema_version != SCHEMA_VERSION:
        found = ["by another version of breath"]
    if found:
        raise EngineMismatchError(
            f"the engine in {engine.path} was built {' and '.join(found)}. Build it again: {mend}"
        )
    plans: dict[str, bytes] = {}
    for stage, expected in manifest.plans.items():
        path = engine.path / f"{stage}.engine"
        try:
            plan = path.read_bytes()
        except OSError as error:
            raise EngineMismatchError(
                f"{path} cannot be read ({error.strerror}). Build it again: {mend}"
            ) from error
        if len(plan) != expected.n_bytes or hashlib.sha256(plan).hexdigest() != expected.sha256:
            raise EngineMismatchError(
                f"{path} is damaged: {len(plan)} bytes of {expected.n_bytes}, or other ones. "
                f"Build it again: {mend}"
            )
        plans[stage] = plan
    return plans


def publish(root: Path, manifest: EngineManifest, plans: Mapping[str, bytes]) -> CachedEngine:
    """Put a built engine in its place in one step; call it while holding the lock of its key.

    Raises:
        OutputError: nothing can be written there.
    """
    place = root / manifest.key.name
    text = json.dumps(msgspec.to_builtins(manifest), indent=2, allow_nan=False) + "\n"
    files = {f"{stage}.engine": plan for stage, plan in plans.items()} | {MANIFEST_NAME: text.encode()}
    try:
        replace_folder(place, files)
    except OSError as error:
        raise OutputError(f"the engine cannot be written to {place}: {error.strerror or error}") from error
    return CachedEngine(place, manifest)


def timing_cache_path(root: Path, key: EngineKey) -> Path:
    """Where the measurements of TensorRT's builder are kept, for one version and GPU."""
    plain_gpu = re.sub(r"[^A-Za-z0-9]+", "-", key.gpu).strip("-")
    return root / f"{key.flavour}-{key.version}-{plain_gpu}.timing"


def _differences(manifest: EngineManifest, wanted: Mapping[str, Any]) -> list[str]:
    texts = {
        "pack_sha256": "for another pack",
        "flavour": "for {found}, not {expected}",
        "version": "by version {found} of the library, not {expected}",
        "gpu": "for another GPU, {found}, not {expected}",
        "precision": "in {found}, not {expected}",
        "batch": "for batches of {found}, not {expected}",
    }
    found = {name: getattr(manifest.key, name) for name in wanted}
    return [
        texts[name].format(found=found[name], expected=expected)
        for name, expected in wanted.items()
        if found[name] != expected and not (name == "gpu" and found[name] == "any")
    ]
