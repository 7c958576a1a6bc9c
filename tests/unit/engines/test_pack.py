import json
import shutil
from dataclasses import asdict
from pathlib import Path

import msgspec
import pytest

from engines.contract import contract_hash
from engines.errors import OutputError, PackError
from engines.manifest import (
    SCHEMA_VERSION,
    Emission,
    Ensemble,
    Manifest,
    NetworkInfo,
    NormalByAge,
    Provenance,
    SplitDays,
)
from engines.pack import check_destination, load_pack, save_pack
from engines.spec import NARROWBAND

FILES = {"features.onnx": b"features", "cnn8.onnx": b"first", "vgg.onnx": b"second"}

MANIFEST = Manifest(
    schema_version=SCHEMA_VERSION,
    contract_hash=contract_hash(),
    name="small",
    feature_spec=NARROWBAND,
    band_hz=(0.0, 2000.0),
    networks=(NetworkInfo("cnn8", "cnn8", 0.7), NetworkInfo("vgg", "vgg", 0.8)),
    ensemble=Ensemble("softmax", "validation AUC", (0.475, 0.525)),
    temperature=1.25,
    split=SplitDays(train=("20190101",), validation=("20190102",), test=("20190103",)),
    metrics={"test": {"auc": 0.8, "confusion": [[1, 2], [3, 4]], "brier": None}},
    provenance=Provenance("clips", "CC BY 4.0", "somebody", 3, 7, {"epochs": 2}, {"python": "3.11"}),
    files={},
)


@pytest.fixture
def folder(tmp_path):
    return save_pack(tmp_path / "pack", MANIFEST, FILES).path


def edited(folder, change):
    """Change the manifest by hand: `change` works on its JSON."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def content_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_saved_is_of_the_newest_schema(tmp_path):
    """An older program that finds something new in a manifest must say that it is too old."""
    old = msgspec.structs.replace(MANIFEST, schema_version=1)
    assert save_pack(tmp_path / "pack", old, FILES).manifest.schema_version == SCHEMA_VERSION


def test_a_manifest_of_the_first_schema_is_read(folder):
    def change(content):
        content["schema_version"] = 1
        del content["emission"]

    edited(folder, change)
    assert load_pack(folder).manifest.emission is None


def test_an_emission_of_the_second_schema_is_read(tmp_path):
    """It had one deviation for each state, and no rise."""
    folder = save_pack(tmp_path / "pack", msgspec.structs.replace(MANIFEST, emission=EMISSION), FILES).path

    def change(content):
        content["schema_version"] = 2
        del content["emission"]["rise"]
        for name in ("phase", "presence"):
            content["emission"][name]["sd"] = [1, 2.0, 3.0, 4.0]

    edited(folder, change)
    assert load_pack(folder).manifest.emission == msgspec.structs.replace(EMISSION, rise=None)


@pytest.mark.parametrize(
    "emission", [[], {"phase": 1}, {"phase": {"mean": [], "sd": 1}}, {"phase": {"sd": ["a"]}}]
)
def test_a_broken_emission_of_the_second_schema(folder, emission):
    edited(folder, lambda content: content.update(schema_version=2, emission=emission))
    with pytest.raises(PackError, match="is not a valid manifest"):
        load_pack(folder)


def test_what_is_saved_is_loaded(folder):
    pack = load_pack(folder)
    assert msgspec.structs.replace(pack.manifest, files={}) == MANIFEST
    assert set(pack.manifest.files) == set(FILES)
    assert {path.name: path.read_bytes() for path in pack.graph_paths.values()} == FILES
    assert list(pack.graph_paths) == ["features", "cnn8", "vgg"]
    assert pack.manifest.weights == (0.475, 0.525)
    assert pack.has_graphs
    assert not pack.has_weights


def test_its_hash_tells_packs_apart(folder, tmp_path):
    pack = load_pack(folder)
    same = save_pack(tmp_path / "same", MANIFEST, FILES)
    other = save_pack(tmp_path / "other", MANIFEST, FILES | {"vgg.onnx": b"third"})
    assert pack.sha256 == same.sha256 != other.sha256


def test_a_pack_knows_what_it_holds(tmp_path):
    weights = {"cnn8.safetensors": b"1", "vgg.safetensors": b"2"}
    assert save_pack(tmp_path / "weights", MANIFEST, weights).has_weights
    assert not save_pack(tmp_path / "weights", MANIFEST, weights).has_graphs
    assert not save_pack(tmp_path / "half", MANIFEST, {"cnn8.safetensors": b"1"}).has_weights


def test_a_pack_may_be_moved(folder, tmp_path):
    moved = tmp_path / "elsewhere" / "else"
    moved.parent.mkdir()
    shutil.move(folder, moved)
    assert load_pack(str(moved)).path == moved


def test_a_folder_may_be_called_like_a_shipped_pack(tmp_path, monkeypatch):
    own = save_pack(tmp_path / "default", MANIFEST, FILES)
    monkeypatch.chdir(tmp_path)
    assert load_pack(Path("default")).sha256 == load_pack("./default").sha256 == own.sha256
    assert load_pack("default").sha256 != own.sha256
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_pack("~/default").sha256 == own.sha256


@pytest.mark.parametrize("place", ["gone", "folder", "file"])
def test_no_pack_at_all(tmp_path, place):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("no pack")
    with pytest.raises(PackError, match=r"no model pack at .*--pack default"):
        load_pack(tmp_path / place)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"schema_version": 1}', b'{"\xff": 1}', b"\xff"]
)
def test_a_damaged_manifest(folder, content):
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(PackError, match=r"manifest\.json is not a valid manifest: .*again"):
        load_pack(folder)


def test_a_damaged_file(folder):
    (folder / "vgg.onnx").write_bytes(b"secomd")
    with pytest.raises(PackError, match=r"vgg\.onnx is damaged or was changed.*again"):
        load_pack(folder)


def test_a_missing_file(folder):
    (folder / "vgg.onnx").unlink()
    with pytest.raises(PackError, match=r"vgg\.onnx cannot be read .*again"):
        load_pack(folder)


def test_a_newer_schema_is_told_from_a_damaged_one(folder):
    def change(content):
        content["schema_version"] = SCHEMA_VERSION + 1
        content["an invention"] = {"of": "tomorrow"}

    edited(folder, change)
    with pytest.raises(PackError, match=rf"schema {SCHEMA_VERSION + 1}, newer than .*--force-reinstall"):
        load_pack(folder)


def test_another_contract(folder):
    edited(folder, lambda content: content.update(contract_hash="0" * 64))
    with pytest.raises(PackError, match=r"another feature contract \(000000000000; this version has"):
        load_pack(folder)


@pytest.mark.parametrize(
    "place",
    [(), ("ensemble",), ("networks", 0), ("split",), ("provenance",), ("feature_spec",)],
    ids=lambda place: "/".join(map(str, place)) or "top",
)
def test_an_unknown_field_anywhere(folder, place):
    def change(content):
        for step in place:
            content = content[step]
        content["surprise"] = 1

    edited(folder, change)
    with pytest.raises(PackError, match="surprise"):
        load_pack(folder)


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/hostname", "a/b", "", ".", "..", ".hidden", "a\\b", "c:x"]
)
def test_a_manifest_cannot_lead_out_of_its_folder(folder, name):
    (folder.parent / "outside").write_bytes(b"")
    edited(folder, lambda content: content["files"].update({name: "0" * 64}))
    with pytest.raises(PackError, match="not a plain file name"):
        load_pack(folder)


@pytest.mark.parametrize("names", [("../vgg", "cnn8"), ("cnn8", "cnn8"), ("features", "vgg"), ("", "vgg")])
def test_networks_cannot_either_nor_share_a_file(folder, names):
    def change(content):
        for network, name in zip(content["networks"], names, strict=True):
            network["name"] = name

    edited(folder, change)
    with pytest.raises(PackError, match="cannot be the names of its networks"):
        load_pack(folder)


@pytest.mark.parametrize("weights", [[], [1.0], [0.3, 0.3, 0.4], [0.5, 0.6], [1.5, -0.5]])
def test_weights_that_are_not_those_of_its_networks(folder, weights):
    edited(folder, lambda content: content["ensemble"].update(weights=weights))
    with pytest.raises(PackError, match=r"contradicts itself: .*weights"):
        load_pack(folder)


def test_no_networks(folder):
    def change(content):
        content["networks"] = []
        content["ensemble"]["weights"] = []

    edited(folder, change)
    with pytest.raises(PackError, match="0 networks"):
        load_pack(folder)


def test_networks_with_different_numbers_of_outputs(folder):
    def change(content):
        content["networks"][1]["n_outputs"] = 2

    edited(folder, change)
    with pytest.raises(PackError, match=r"the same number of outputs, but they have \w+ 1, \w+ 2"):
        load_pack(folder)


NORMAL = NormalByAge(mean=((0.0, 1.0),) * 4, sd=((1.0,), (2.0,), (3.0,), (4.0,)))
RISE = NormalByAge(mean=((0.0, 1.0),) * 4, sd=((1.0, 2.0),) * 4)
EMISSION = Emission((0.3,), phase=NORMAL, presence=NORMAL, n_windows=100, streams="a" * 64, rise=RISE)


def test_an_emission_comes_back_as_it_was(tmp_path):
    manifest = msgspec.structs.replace(MANIFEST, emission=EMISSION)
    assert save_pack(tmp_path / "pack", manifest, FILES).manifest.emission == EMISSION


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"age_borders_s": (0.3, 0.3)}, "do not ascend"),
        ({"age_borders_s": (0.0,)}, "do not ascend"),
        ({"age_borders_s": (0.3, 0.6)}, "its emission of the phase is not of 4 states and 3 ranges of ages"),
        (
            {"presence": NormalByAge(mean=NORMAL.mean[:3], sd=NORMAL.sd)},
            "its emission of the presence is not of 4 states and 2 ranges of ages",
        ),
        (
            {"phase": NormalByAge(mean=NORMAL.mean, sd=((1.0,),))},
            "its emission of the phase is not of 4 states and 2 ranges of ages",
        ),
        (
            {"rise": NormalByAge(mean=NORMAL.mean, sd=((1.0, 1.0, 1.0),) * 4)},
            "its emission of the rise is not of 4 states and 2 ranges of ages",
        ),
        (
            {"phase": NormalByAge(mean=NORMAL.mean, sd=((1.0,), (1.0,), (1.0, 1.0), (1.0,)))},
            "its emission of the phase is not of 4 states and 2 ranges of ages",
        ),
        (
            {"phase": NormalByAge(mean=NORMAL.mean, sd=((1.0,), (0.0,), (1.0,), (1.0,)))},
            "its emission of the phase has a deviation below 0.001",
        ),
        (
            {"rise": NormalByAge(mean=NORMAL.mean, sd=((1.0, 2.0),) * 3 + ((1.0, 5e-324),))},
            "its emission of the rise has a deviation below 0.001",
        ),
    ],
)
def test_an_emission_that_cannot_be_one(tmp_path, changes, words):
    emission = msgspec.structs.replace(EMISSION, **changes)
    with pytest.raises(PackError, match=f"contradicts itself: .*{words}"):
        save_pack(tmp_path / "pack", msgspec.structs.replace(MANIFEST, emission=emission), FILES)


@pytest.mark.parametrize("n_outputs", [0, 3, "two", None])
def test_a_number_of_outputs_that_no_network_has(folder, n_outputs):
    edited(folder, lambda content: content["networks"][0].update(n_outputs=n_outputs))
    with pytest.raises(PackError, match=r"not a valid manifest: .*n_outputs"):
        load_pack(folder)


def test_a_manifest_that_is_silent_of_outputs_means_the_phase(folder):
    def change(content):
        for network in content["networks"]:
            network.pop("n_outputs", None)

    edited(folder, change)
    assert [network.n_outputs for network in load_pack(folder).manifest.networks] == [1, 1]


@pytest.mark.parametrize("temperature", [0, -1.0])
def test_a_temperature_that_divides_by_nothing(folder, temperature):
    edited(folder, lambda content: content.update(temperature=temperature))
    with pytest.raises(PackError, match="its temperature is"):
        load_pack(folder)


def test_saving_again_replaces_the_pack_and_leaves_nothing_behind(folder):
    pack = save_pack(folder, MANIFEST, {"cnn8.onnx": b"new"})
    assert set(content_of(pack.path)) == {"manifest.json", "cnn8.onnx"}
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "empty").mkdir()
    assert save_pack(tmp_path / "empty", MANIFEST, FILES).has_graphs


def test_parents_are_made(tmp_path):
    assert save_pack(tmp_path / "a" / "b" / "pack", MANIFEST, FILES).has_graphs


def foreign_folder(tmp_path):
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    return folder


def web_extension(tmp_path):
    folder = tmp_path / "extension"
    folder.mkdir()
    (folder / "manifest.json").write_text('{"manifest_version": 3, "files": {}}')
    return folder


def pack_with_a_note(tmp_path):
    folder = save_pack(tmp_path / "noted", MANIFEST, FILES).path
    (folder / "notes.txt").write_text("do not lose me")
    return folder


def plain_file(tmp_path):
    (tmp_path / "file").write_text("text")
    return tmp_path / "file"


@pytest.mark.parametrize("make", [foreign_folder, web_extension, pack_with_a_note, plain_file])
def test_what_is_no_pack_is_never_replaced(tmp_path, make):
    place = make(tmp_path)
    before = place.read_bytes() if place.is_file() else content_of(place)
    with pytest.raises(OutputError, match="another --out"):
        check_destination(place)
    with pytest.raises(OutputError, match="another --out"):
        save_pack(place, MANIFEST, FILES)
    assert (place.read_bytes() if place.is_file() else content_of(place)) == before
    assert [path.name for path in tmp_path.iterdir()] == [place.name]


def test_a_save_that_fails_leaves_the_old_pack(folder):
    before = content_of(folder)
    with pytest.raises(OutputError, match="could not be written"):
        save_pack(folder, MANIFEST, FILES | {"no such folder/x": b""})
    assert content_of(folder) == before
    load_pack(folder)


@pytest.mark.parametrize("stopped_after", ["writing", "first rename", "second rename"])
def test_a_save_that_was_killed_is_made_good_by_the_next(folder, stopped_after):
    partial, previous = (folder.with_name(f".pack.{state}") for state in ("partial", "previous"))
    if stopped_after == "second rename":
        shutil.copytree(folder, previous)
    else:
        partial.mkdir()
        (partial / "cnn8.onnx").write_bytes(b"half")
        if stopped_after == "first rename":
            folder.rename(previous)
    failing = FILES | {"no such folder/x": b""}
    with pytest.raises(OutputError):
        save_pack(folder, MANIFEST, failing)
    assert load_pack(folder).has_graphs
    save_pack(folder, MANIFEST, {"cnn8.onnx": b"new"})
    assert (folder / "cnn8.onnx").read_bytes() == b"new"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_second_rename_that_fails_brings_the_old_pack_back(folder, monkeypatch):
    rename = Path.rename

    def rename_unless_new(path, target):
        if path.name.endswith(".partial"):
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", rename_unless_new)
    before = content_of(folder)
    with pytest.raises(OutputError, match="No space left"):
        save_pack(folder, MANIFEST, {"cnn8.onnx": b"new"})
    assert content_of(folder) == before


def test_a_link_to_a_pack_stays_a_link(folder, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(folder, target_is_directory=True)
    assert save_pack(link, MANIFEST, {"cnn8.onnx": b"new"}).path == link
    assert link.is_symlink()
    assert (folder / "cnn8.onnx").read_bytes() == b"new"


def test_a_manifest_is_readable_json_that_says_everything(folder):
    content = json.loads((folder / "manifest.json").read_text())
    assert content["feature_spec"] == asdict(NARROWBAND)
    assert content["provenance"]["licence"] == "CC BY 4.0"
    assert content["split"]["test"] == ["20190103"]
    assert all(len(digest) == 64 for digest in content["files"].values())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"temperature": 0.0}, "its temperature is 0"),
        ({"band_hz": (2000.0, 100.0)}, "its band is from 2000 to 100 Hz"),
        ({"band_hz": (0.0, 9000.0)}, "its band is from 0 to 9000 Hz"),
    ],
)
def test_a_pack_that_could_not_be_loaded_again_replaces_none(folder, change, words):
    before = content_of(folder)
    with pytest.raises(PackError, match=f"^{folder}.*{words}"):
        save_pack(folder, msgspec.structs.replace(MANIFEST, **change), FILES)
    assert content_of(folder) == before
    assert list(folder.parent.iterdir()) == [folder]


def test_a_figure_that_is_no_number_is_an_error_of_output(folder):
    before = content_of(folder)
    with pytest.raises(OutputError, match="cannot be written as JSON"):
        save_pack(folder, msgspec.structs.replace(MANIFEST, metrics={"auc": float("nan")}), FILES)
    assert content_of(folder) == before


@pytest.mark.parametrize("version", [0, -7])
def test_a_schema_that_there_never_was(folder, version):
    edited(folder, lambda content: content.update(schema_version=version))
    with pytest.raises(PackError, match=f"there is no schema {version}"):
        load_pack(folder)


def test_a_manifest_without_a_bottom(folder):
    (folder / "manifest.json").write_text('{"metrics":' + "[" * 100_000 + "]" * 100_000 + "}")
    with pytest.raises(PackError, match="is not a valid manifest"):
        load_pack(folder)
