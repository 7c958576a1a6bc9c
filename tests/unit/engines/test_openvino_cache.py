"""What of the back end needs no OpenVINO: its cache on the disk, and what is said where it is absent."""

import importlib.util
import os
import sys

import pytest

from engines.backend import choose
from engines.errors import BackendUnavailableError
from engines.openvino_backend import OpenVinoEngine
from engines.openvino_cache import MAX_FOLDERS, CompiledGraphs
from engines.pack import load_pack

VERSION = "2026.4.1-22982-e213a147257-releases/2026/4"


def test_what_was_written_is_read_by_the_same_version_and_key_only(tmp_path):
    CompiledGraphs.of(tmp_path, VERSION, pack="a").write("features", b"compiled")
    assert CompiledGraphs.of(tmp_path, VERSION, pack="a").read("features") == b"compiled"
    assert CompiledGraphs.of(tmp_path, VERSION, pack="a").read("cnn8") is None
    assert CompiledGraphs.of(tmp_path, VERSION, pack="b").read("features") is None
    assert CompiledGraphs.of(tmp_path, VERSION + "1", pack="a").read("features") is None
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith("2026.4.1-")
    assert [path.name for path in folder.iterdir()] == ["features.blob"]


@pytest.mark.parametrize(
    "damage",
    [lambda whole: whole[:-1], lambda whole: whole[:20], lambda whole: b"", lambda whole: whole + b"x"],
    ids=["cut off", "cut off in the hash", "empty", "longer"],
)
def test_what_is_not_whole_is_not_there(tmp_path, damage):
    kept = CompiledGraphs.of(tmp_path, VERSION)
    kept.write("vgg", b"compiled")
    (path,) = kept.folder.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert kept.read("vgg") is None


def test_a_disk_that_takes_nothing_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    kept = CompiledGraphs.of(tmp_path / "file", VERSION)
    kept.write("vgg", b"compiled")
    assert kept.read("vgg") is None
    assert kept.n_bytes == 0


def test_the_oldest_folders_are_forgotten(tmp_path):
    for number in range(MAX_FOLDERS):
        kept = CompiledGraphs.of(tmp_path, VERSION, pack=number)
        kept.write("vgg", b"compiled")
        os.utime(kept.folder, (number, number))
    CompiledGraphs.of(tmp_path, VERSION, pack="new").write("vgg", b"compiled")
    packs = [*range(MAX_FOLDERS), "new"]
    left = [pack for pack in packs if CompiledGraphs.of(tmp_path, VERSION, pack=pack).read("vgg")]
    assert left == [*range(1, MAX_FOLDERS), "new"]


def test_a_package_that_is_absent_is_named_with_its_extra(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openvino" else find(name))
    with pytest.raises(BackendUnavailableError, match=r"openvino is not installed; .*\.\[openvino\]"):
        choose("openvino", has_onnx_graphs=True, has_weights=True)


def test_a_package_that_cannot_be_loaded_is_no_import_error(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BackendUnavailableError, match=r"cannot be loaded .*\.\[openvino\]"):
        OpenVinoEngine(load_pack(), cache_root=tmp_path)


def test_a_pack_without_graphs_is_sent_to_export(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(BackendUnavailableError, match="breath-offline export"):
        choose("openvino", has_onnx_graphs=False, has_weights=True)


def test_what_others_keep_beside_them_is_never_forgotten(tmp_path):
    strangers = [tmp_path / f"mine{number}" for number in range(MAX_FOLDERS + 2)]
    strangers += [tmp_path / "2026.4.1-0123456789abcdef", tmp_path / "notes-0123456789abcdef"]
    for number, folder in enumerate(strangers):
        folder.mkdir()
        (folder / "thesis.txt").write_text("")
        os.utime(folder, (number, number))
    for number in range(MAX_FOLDERS + 1):
        CompiledGraphs.of(tmp_path, VERSION, pack=number).write("vgg", b"compiled")
    assert all((folder / "thesis.txt").exists() for folder in strangers)
    assert len(list(tmp_path.iterdir())) == len(strangers) + MAX_FOLDERS
