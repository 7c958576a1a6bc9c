"""Paths that people write, and those that are none."""

import os
from datetime import datetime
from pathlib import Path

import platformdirs
import pytest

from engines.errors import ConfigError, OutputError
from engines.pack import load_pack
from engines.paths import path_from_text
from realtime.calibration.measurement import Calibration
from realtime.calibration.profiles import read_profile, save_profile
from realtime.config import LiveConfig, resolve
from realtime.sinks.output import LineOutput
from realtime.sinks.recording import recording_path

NOBODY = "~nobody-by-this-name/x.wav"


def test_the_users_own_folder_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert path_from_text("~/x.wav") == tmp_path / "x.wav"
    assert path_from_text(Path("a/~b")) == Path("a/~b")


def test_where_nobody_knows_the_user_there_are_no_settings_and_no_traceback(monkeypatch, tmp_path):
    def unknown(*_args, **_more):
        raise RuntimeError("could not determine the home directory for '~/.config'")

    for name in ("user_cache_path", "user_config_path"):
        monkeypatch.setattr(platformdirs, name, unknown)
    for name in [name for name in os.environ if name.startswith("BREATH_")]:
        monkeypatch.delenv(name)
    assert resolve({}, None, {}).config == LiveConfig()
    assert read_profile("USB Microphone") == {}
    with pytest.raises(OutputError):
        save_profile("USB Microphone", Calibration(-70.0, -40.0), datetime.now().astimezone())


@pytest.mark.parametrize(("text", "said"), [(NOBODY, "not known"), ("a\0b.wav", "NUL")])
@pytest.mark.parametrize(
    "use", [LineOutput, load_pack, recording_path, lambda text, at=None: resolve({}, text, {})]
)
def test_what_is_no_path_is_an_error_of_the_user(use, text, said):
    arguments = (text, None) if use is recording_path else (text,)
    with pytest.raises(ConfigError, match=said):
        use(*arguments)
