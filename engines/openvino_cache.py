"""Graphs as OpenVINO compiled them, kept on the disk, so that a start takes a third of the work.

    <root>/<version>-<hash of the key>/<name>.blob      sha256 of the content (32 bytes), then the content

The content is what OpenVINO exports. It is handed back only whole: what a crash cut off, or somebody changed,
would be read by a parser in C++ that trusts it.
"""

import hashlib
import json
import logging
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from engines.errors import OutputError
from engines.paths import user_folder
from engines.whole import write_whole

# A pack takes about 17 MB.
MAX_FOLDERS = 8
_N_HASH_BYTES = 32
# Of `CompiledGraphs.of`; whoever names the root may keep other things there.
_OUR_NAME = re.compile(r"[^-]+-[0-9a-f]{16}")
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class CompiledGraphs:
    """The compiled graphs of one pack, for one version of OpenVINO, processor and settings.

    Whatever is wrong with the disk, nothing is raised: a graph that cannot be read is not there, and one that
    cannot be written is compiled again at the next start.
    """

    folder: Path

    @classmethod
    def of(cls, root: Path, version: str, **key: object) -> "CompiledGraphs":
        """Those below `root` that were made by this `version` for exactly this `key` of plain values."""
        digest = hashlib.sha256(json.dumps({"version": version, **key}, sort_keys=True).encode()).hexdigest()
        # A full version goes on with the commit and the branch, and that has slashes.
        return cls(root / f"{version.partition('-')[0]}-{digest[:16]}")

    @property
    def n_bytes(self) -> int:
        """Length of all of them on the disk, bytes; 0 where nothing was kept."""
        return sum(path.stat().st_size for path in self.folder.glob("*.blob"))

    def read(self, stage: str) -> bytes | None:
        """The compiled graph of a stage; None if it is not there or damaged."""
        try:
            content = self._path(stage).read_bytes()
        except OSError:
            return None
        blob = content[_N_HASH_BYTES:]
        if hashlib.sha256(blob).digest() != content[:_N_HASH_BYTES]:
            _LOGGER.warning("%s is damaged; compiling the graph again", self._path(stage))
            return None
        return blob

    def write(self, stage: str, blob: bytes) -> None:
        """Keep a compiled graph; a new folder makes the cache forget those that were made longest ago."""
        try:
            is_new = not self.folder.exists()
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._path(stage), hashlib.sha256(blob).digest() + blob)
            if is_new:
                self._forget_the_oldest()
        except (OSError, OutputError) as error:
            _LOGGER.info("the compiled graph of %s is not kept: %s", stage, error)

    def forget(self) -> None:
        """Remove all of them."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, stage: str) -> Path:
        return self.folder / f"{stage}.blob"

    def _forget_the_oldest(self) -> None:
        ours = (path for path in self.folder.parent.iterdir() if _is_ours(path))
        folders = sorted(ours, key=lambda path: path.stat().st_mtime)
        for folder in folders[:-MAX_FOLDERS]:
            shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    """Whether it is a folder of compiled graphs, and nothing but that."""
    if not _OUR_NAME.fullmatch(folder.name) or folder.is_symlink() or not folder.is_dir():
        return False
    return all(".blob" in path.suffixes for path in folder.iterdir())


def default_root() -> Path:
    """The user's own cache folder for compiled graphs."""
    return user_folder("cache") / "openvino"
