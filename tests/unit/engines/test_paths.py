"""Paths that people write, and those that are none."""

from pathlib import Path

import pytest

from engines.errors import ConfigError
from engines.pack import load_pack
from engines.paths import path_from_text
from realtime.config import resolve
from realtime.sinks.output import LineOutput
from realtime.sinks.recording import recording_path

NOBODY = "~nobody-by-this-name/x.wav"


def test_the_users_own_folder_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert path_from_text("~/x.wav") == tmp_path / "x.wav"
    assert path_from_text(Path("a/~b")) == Path("a/~b")


@pytest.mark.parametrize(("text", "said"), [(NOBODY, "not known"), ("a\0b.wav", "NUL")])
@pytest.mark.parametrize(
    "use", [LineOutput, load_pack, recording_path, lambda text, at=None: resolve({}, text, {})]
)
def test_what_is_no_path_is_an_error_of_the_user(use, text, said):
    arguments = (text, None) if use is recording_path else (text,)
    with pytest.raises(ConfigError, match=said):
        use(*arguments)
