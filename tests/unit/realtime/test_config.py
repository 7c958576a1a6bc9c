"""Settings: precedence, types, ranges, slips, and the way back from --print-config."""

import tomllib

import pytest

from engines.errors import ConfigError
from realtime.config import Given, LiveConfig, resolve, settings, text_from_resolved


@pytest.fixture
def toml(tmp_path):
    """Write a configuration file."""

    def write(text):
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(clean_environment):
    pass


def test_without_anything_the_defaults_hold():
    resolved = resolve({}, environment={})
    assert resolved.config == LiveConfig()
    assert set(resolved.origins.values()) == {"default"}


def test_flag_beats_environment_beats_file_beats_default(toml):
    path = toml('hop_s = 0.4\nengine = "torch"\npack = "theirs"\n[smoothing]\nmin_phase_s = 0.5\n')
    environment = {"BREATH_HOP_S": "0.3", "BREATH_ENGINE": "onnxruntime"}
    resolved = resolve({"hop_s": Given("0.2", "--hop", is_text=True)}, path, environment)
    assert resolved.config.hop_s == 0.2
    assert resolved.config.engine == "onnxruntime"
    assert resolved.config.pack == "theirs"
    assert resolved.config.smoothing.min_phase_s == 0.5
    assert resolved.config.smoothing.hysteresis == LiveConfig().smoothing.hysteresis
    assert resolved.origins["hop_s"] == "--hop"
    assert resolved.origins["engine"] == "BREATH_ENGINE"
    assert resolved.origins["pack"] == str(path)
    assert resolved.origins["smoothing.min_phase_s"] == str(path)
    assert resolved.origins["smoothing.hysteresis"] == "default"


def test_a_variable_reaches_a_nested_setting():
    config = resolve({}, environment={"BREATH_PRESENCE_GATE_DBFS": "-50"}).config
    assert config.presence.gate_dbfs == -50.0


def test_the_file_in_the_platforms_folder_is_found(clean_environment):
    path = clean_environment / "breath" / "breath.toml"
    path.parent.mkdir(parents=True)
    path.write_text("seed = 7\n")
    resolved = resolve({}, environment={})
    assert resolved.config.seed == 7
    assert resolved.origins["seed"] == str(path)


def test_a_file_named_by_a_variable_is_read(toml):
    assert resolve({}, environment={"BREATH_CONFIG": str(toml("seed = 8\n"))}).config.seed == 8


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("hop = 0.1\n", ["'hop'", "did you mean 'hop_s'"]),
        ("gate_dbfs = -50.0\n", ["'gate_dbfs'", "did you mean 'presence.gate_dbfs'"]),
        (
            "[smoothing]\nhysterisis = 0.1\n",
            ["'smoothing.hysterisis'", "did you mean 'smoothing.hysteresis'"],
        ),
        ("[smothing]\nhysteresis = 0.1\n", ["there is no setting 'smothing'"]),
        ("zzz = 1\n", ["'zzz'", "--print-config"]),
        ("smoothing = 3\n", ["smoothing is a table", "[smoothing]"]),
        ("hop_s = 3\n", ["hop_s", "from 0.01 to 1 s", "not 3"]),
        ("hop_s = nan\n", ["hop_s", "from 0.01 to 1 s", "not nan"]),
        ('hop_s = "0.1"\n', ["hop_s", "a number", "'0.1'"]),
        ("channel = 1.5\n", ["channel", "a whole number", "1.5"]),
        ("channel = -1\n", ["channel", "from 0"]),
        ('engine = "tpu"\n', ["engine", "auto, onnxruntime, torch, tensorrt", "'tpu'"]),
        ("display = 1\n", ["display", "true or false"]),
        ("[smoothing]\nhysteresis = 0.5\n", ["smoothing.hysteresis", "from 0 to 0.49"]),
        ("hop_s = \n", ["not valid TOML", "line 1"]),
    ],
)
def test_what_is_wrong_in_a_file_is_named(toml, text, parts):
    path = toml(text)
    with pytest.raises(ConfigError) as caught:
        resolve({}, path, {})
    for part in [str(path), *parts]:
        assert part in str(caught.value)


def test_a_file_that_is_asked_for_must_be_there(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        resolve({}, tmp_path / "none.toml", {})


def test_a_slip_in_a_variable_is_an_error_and_a_foreign_variable_is_not():
    with pytest.raises(ConfigError, match=r"BREATH_HOPS.*BREATH_HOP_S"):
        resolve({}, environment={"BREATH_HOPS": "1"})
    assert resolve({}, environment={"BREATH_OF_THE_WILD": "1"}).config == LiveConfig()


@pytest.mark.parametrize(("text", "is_on"), [("0", False), ("false", False), ("1", True), ("true", True)])
def test_switches_are_read_from_text(text, is_on):
    assert resolve({}, environment={"BREATH_DISPLAY": text}).config.display is is_on


def test_what_is_printed_can_be_read_back(toml):
    given = {
        "hop_s": Given(0.25, "--hop"),
        "device": Given('a "quoted" [name]', "--device"),
        "smoothing.min_phase_s": Given(0.4, "--set"),
        "display": Given(False, "--no-display"),
    }
    before = resolve(given, environment={})
    text = text_from_resolved(before)
    assert "# --hop" in text
    assert "# --set" in text
    assert tomllib.loads(text)["display"] is False
    assert resolve({}, toml(text), {}).config == before.config


def test_every_setting_is_printed():
    text = text_from_resolved(resolve({}, environment={}))
    for key, _, _ in settings():
        assert key.rpartition(".")[2] in text
