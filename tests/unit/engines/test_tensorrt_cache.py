"""The cache of engines: what is found, what is refused and why, and two who build at once."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from engines.engine_cache import (
    MANIFEST_NAME,
    SCHEMA_VERSION,
    BatchProfile,
    EngineKey,
    EngineManifest,
    PlanFile,
    build_command,
    default_root,
    find_engine,
    list_engines,
    publish,
    read_plans,
    timing_cache_path,
)
from engines.errors import ConfigError, EngineMismatchError, EngineMissingError, OutputError
from engines.file_lock import file_lock
from engines.whole import write_whole

PROJECT = Path(__file__).resolve().parents[3]
KEY = EngineKey("a" * 64, "tensorrt", "11.4.0", "NVIDIA L4 (sm_89)", "fp16", BatchProfile(1, 1, 4))
PLANS = {"cnn8": b"plan of cnn8", "vgg": b"plan of vgg"}
PACK = Path("PACK")
MEND = "breath-offline build --pack PACK --engine tensorrt"
MEND_ALIKE = f"{MEND} --precision fp16 --batch 1:1:4"
OTHERS = {
    "pack_sha256": ("b" * 64, "for another pack"),
    "version": ("11.5.0", "by version 11.4.0 of the library, not 11.5.0"),
    "gpu": ("NVIDIA T4 (sm_75)", r"for another GPU, NVIDIA L4 \(sm_89\), not NVIDIA T4"),
    "precision": ("fp32", "in fp16, not fp32"),
    "batch": (BatchProfile(1, 1, 8), "for batches of 1:1:4, not 1:1:8"),
    "flavour": ("tensorrt-rtx", "for tensorrt, not tensorrt-rtx"),
}


def stored(root, key=KEY, plans=PLANS):
    files = {name: PlanFile(hashlib.sha256(plan).hexdigest(), len(plan), {}) for name, plan in plans.items()}
    return publish(root, EngineManifest(SCHEMA_VERSION, key, "pack", files, {}), plans)


def find(root, **changes):
    wanted = {name: getattr(KEY, name) for name in ("pack_sha256", "flavour", "version", "gpu")}
    return find_engine(root, **(wanted | changes), pack_path=PACK)


def test_what_was_stored_is_found_and_whole(tmp_path):
    stored(tmp_path)
    engine = find(tmp_path)
    assert engine.manifest.key == KEY
    assert read_plans(engine, wanted=KEY, pack_path=PACK) == PLANS


@pytest.mark.parametrize("name", OTHERS)
def test_everything_in_the_key_makes_another_name(name):
    assert msgspec.structs.replace(KEY, **{name: OTHERS[name][0]}).name != KEY.name


@pytest.mark.parametrize("name", ["pack_sha256", "version", "gpu"])
def test_an_engine_for_something_else_is_refused_with_the_command_that_mends_it(tmp_path, name):
    stored(tmp_path)
    value, words = OTHERS[name]
    # What another pack was built with, this one may not have.
    mend = MEND if name == "pack_sha256" else MEND_ALIKE
    with pytest.raises(EngineMismatchError, match=f"{words}.*{mend}$"):
        find(tmp_path, **{name: value})


@pytest.mark.parametrize("name", OTHERS)
def test_a_folder_that_was_put_in_the_place_of_another_is_found_out(tmp_path, name):
    engine = stored(tmp_path)
    value, words = OTHERS[name]
    wanted = msgspec.structs.replace(KEY, **{name: value})
    mend = build_command(PACK, wanted.flavour, wanted)
    with pytest.raises(EngineMismatchError, match=f"{words}.*{mend}"):
        read_plans(engine, wanted=wanted, pack_path=PACK)


def test_nothing_built_is_another_error(tmp_path):
    with pytest.raises(EngineMissingError, match=MEND):
        find(tmp_path)
    with pytest.raises(EngineMissingError, match=MEND):
        find(tmp_path / "absent")
    stored(tmp_path)
    with pytest.raises(EngineMissingError, match="no tensorrt-rtx engine"):
        find(tmp_path, flavour="tensorrt-rtx")


def test_an_engine_for_any_gpu_fits_every_one(tmp_path):
    stored(tmp_path, msgspec.structs.replace(KEY, gpu="any"))
    assert find(tmp_path, gpu="NVIDIA T4 (sm_75)").manifest.key.gpu == "any"


def test_the_one_that_was_built_last_is_taken(tmp_path):
    older = stored(tmp_path)
    newer = stored(tmp_path, msgspec.structs.replace(KEY, precision="fp32"))
    for age, engine in ((200, older), (100, newer)):
        path = engine.path / MANIFEST_NAME
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    assert find(tmp_path).path == newer.path
    os.utime(older.path / MANIFEST_NAME)
    assert find(tmp_path).path == older.path


@pytest.mark.parametrize("damage", ["cut off", "changed", "gone"])
def test_a_damaged_plan_is_refused(tmp_path, damage):
    engine = stored(tmp_path)
    path = engine.path / "vgg.engine"
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(PLANS["vgg"][:5] if damage == "cut off" else b"PLAN of vgg")
    with pytest.raises(EngineMismatchError, match=rf"vgg\.engine .*{MEND_ALIKE}"):
        read_plans(engine, wanted=KEY, pack_path=PACK)


def test_a_manifest_of_another_schema_is_refused(tmp_path):
    engine = stored(tmp_path)
    manifest = msgspec.structs.replace(engine.manifest, schema_version=SCHEMA_VERSION + 1)
    with pytest.raises(EngineMismatchError, match="another version of breath"):
        read_plans(type(engine)(engine.path, manifest), wanted=KEY, pack_path=PACK)


def test_folders_that_are_no_engines_are_passed_over(tmp_path):
    engine = stored(tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / MANIFEST_NAME).write_text("{")
    (tmp_path / "empty").mkdir()
    assert [found.path for found in list_engines(tmp_path)] == [engine.path]


def test_storing_again_replaces_the_whole(tmp_path):
    stored(tmp_path, plans=PLANS | {"third": b"x"})
    engine = stored(tmp_path)
    assert sorted(path.name for path in engine.path.iterdir()) == ["cnn8.engine", MANIFEST_NAME, "vgg.engine"]
    assert [path.name for path in tmp_path.iterdir()] == [KEY.name]


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        stored(tmp_path / "file")
    with pytest.raises(OutputError, match="cannot be written"):
        write_whole(tmp_path / "file" / "timing", b"")
    with pytest.raises(OutputError, match="cannot be written"), file_lock(tmp_path / "file" / "lock"):
        pass


def test_timings_are_kept_per_version_and_gpu(tmp_path):
    path = timing_cache_path(tmp_path, KEY)
    assert path.name == "tensorrt-11.4.0-NVIDIA-L4-sm-89.timing"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_the_cache_of_the_user_is_where_the_system_keeps_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_root().parts[-2:] == ("breath", "engines")


@pytest.mark.parametrize(
    ("text", "profile"), [("1:2:16", BatchProfile(1, 2, 16)), ("8", BatchProfile(8, 8, 8))]
)
def test_a_batch_profile_is_read(text, profile):
    assert BatchProfile.parse(text) == profile
    assert str(BatchProfile.parse(text)).startswith(text)


@pytest.mark.parametrize(
    "text", ["", "1:2", "1:2:3:4", "a:b:c", "0:1:2", "2:1:4", "1:8:4", "-1:1:1", "1:1:²"]
)
def test_a_batch_profile_that_makes_no_sense_is_an_error_of_usage(text):
    with pytest.raises(ConfigError, match="--batch"):
        BatchProfile.parse(text)


def test_a_second_process_waits_for_the_first(tmp_path):
    path = tmp_path / "key.lock"
    code = (
        "import sys; from pathlib import Path; from engines.file_lock import file_lock\n"
        "with file_lock(Path(sys.argv[1]), lambda: print('waiting', flush=True)): print('in', flush=True)"
    )
    with file_lock(path):
        other = subprocess.Popen(
            [sys.executable, "-c", code, str(path)], cwd=PROJECT, stdout=subprocess.PIPE, text=True
        )
        assert other.stdout.readline() == "waiting\n"
        assert other.poll() is None
    out, _ = other.communicate(timeout=60)
    assert out == "in\n"


def test_a_lock_whose_holder_died_is_free(tmp_path):
    path = tmp_path / "key.lock"
    code = (
        "import os, sys; from pathlib import Path; from engines.file_lock import file_lock\n"
        "with file_lock(Path(sys.argv[1])): os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], cwd=PROJECT, check=False)
    waits = []
    with file_lock(path, lambda: waits.append(1)):
        assert waits == []


def test_what_is_on_its_way_in_is_no_engine_yet(tmp_path):
    place = stored(tmp_path).path
    place.rename(tmp_path / f".{place.name}.partial")
    assert list_engines(tmp_path) == []
    stored(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [place.name]


def test_a_publishing_that_fails_at_the_end_says_so_and_the_next_one_mends_it(tmp_path, monkeypatch):
    stored(tmp_path)
    rename = Path.rename

    def broken(path, target):
        if path.name.endswith(".partial"):
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", broken)
    with pytest.raises(OutputError, match="No space left"):
        stored(tmp_path)
    assert len(list_engines(tmp_path)) == 1, "the one that was there is there"
    monkeypatch.undo()
    stored(tmp_path)
    assert read_plans(find(tmp_path), wanted=KEY, pack_path=PACK) == PLANS


def test_a_file_that_is_not_written_whole_leaves_nothing(tmp_path, monkeypatch):
    def full(path, content):
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left"):
        write_whole(tmp_path / "a.timing", b"x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="flock of POSIX")
def test_a_file_system_that_knows_no_locks(tmp_path, monkeypatch):
    import fcntl

    def unknown(handle, operation):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unknown)
    told = pytest.raises(OutputError, match="cannot be locked: No locks available; use a folder on a disk")
    with told, file_lock(tmp_path / "a.lock"):
        pass
