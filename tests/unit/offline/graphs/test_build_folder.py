"""One folder of engines for who builds them and who runs them, wherever it is."""

import pytest
from click.testing import CliRunner

from engines.engine_cache import ROOT_VARIABLE, BatchProfile, chosen_root, default_root
from engines.errors import BackendUnavailableError, ConfigError
from engines.pack import load_pack
from offline.cli import main
from offline.graphs import build as building
from offline.graphs.build import build_engine
from realtime.config import resolve
from realtime.engine import open_engine, openvino_root


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "engines"))
    return tmp_path / "engines"


def test_the_environment_names_the_folder_of_engines(folder):
    assert default_root() == chosen_root() == folder
    assert openvino_root() == folder / "openvino"


def test_the_folder_may_lie_in_that_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv(ROOT_VARIABLE, "~/engines")
    assert default_root() == tmp_path / "engines"


@pytest.mark.parametrize("text", [None, ""])
def test_where_the_environment_names_none_it_is_the_cache_of_the_user(monkeypatch, tmp_path, text):
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    if text is not None:
        monkeypatch.setenv(ROOT_VARIABLE, text)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert chosen_root() is None
    assert openvino_root() is None
    assert default_root().parts[-2:] == ("breath", "engines")


def test_what_can_be_no_path_is_said_to_be_none(monkeypatch):
    monkeypatch.setenv(ROOT_VARIABLE, "~nobody-of-this-name/engines")
    with pytest.raises(ConfigError, match="a user who is not known here"):
        default_root()


def test_the_variable_is_no_slip_of_a_setting(folder):
    """One that is too near to `BREATH_ENGINE` would be refused by breath-live."""
    assert resolve({}, environment={ROOT_VARIABLE: str(folder)}).config.engine == "auto"


def test_what_is_built_lies_in_that_folder(folder, exported_pack, monkeypatch):
    class Api:
        flavour, version, is_rtx = "tensorrt-rtx", "1.0", True

        def gpu_scope(self, gpu):
            return "any"

    def absent():
        raise BackendUnavailableError("no usable GPU")

    monkeypatch.setattr(building, "usable_gpu", absent)
    monkeypatch.setattr(building, "load_api", lambda flavour: Api())
    monkeypatch.setattr(
        building, "_build_plans", lambda *arguments: {"cnn8": building.Plan(b"plan", {}, b"")}
    )
    built = build_engine(exported_pack, "tensorrt-rtx", "fp32", BatchProfile(1, 1, 1))
    assert built.engine.path.parent == folder


def test_openvino_keeps_what_it_compiles_in_a_folder_of_its_own(folder, tmp_path, monkeypatch):
    """It removes what is older than its newest eight, and may not remove engines of others."""
    pytest.importorskip("openvino")
    folder.mkdir()
    for number in range(12):
        (folder / f"tensorrt-{number}").mkdir()
    done = CliRunner().invoke(main, ["build", "--engine", "openvino"])
    assert done.exit_code == 0, done.output
    (kept,) = (folder / "openvino").iterdir()
    assert f"compiled: {kept}" in done.stdout
    assert ROOT_VARIABLE not in done.stdout, "whoever runs it looks there anyway"
    assert len(list(folder.glob("tensorrt-*"))) == 12
    written = {path: path.stat().st_mtime_ns for path in kept.iterdir()}
    with open_engine(load_pack(), "openvino")[0] as engine:
        assert engine.kept.folder == kept
    assert {path: path.stat().st_mtime_ns for path in kept.iterdir()} == written, "nothing was compiled again"


def test_the_help_of_build_names_the_variable():
    assert ROOT_VARIABLE in CliRunner().invoke(main, ["build", "--help"]).stdout
