"""Settings: precedence, types, ranges, slips, and the way back from --print-config."""

import tomllib

import pytest

from engines.errors import ConfigError
from realtime.config import Given, LiveConfig, resolve, settings
from realtime.config_text import text_from_resolved
from realtime.setting_ranges import RANGES


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
    path = toml('hop_s = 0.4\nengine = "torch"\npack = "theirs"\n[decision]\nmargin = 0.5\n')
    environment = {"BREATH_HOP_S": "0.3", "BREATH_ENGINE": "onnxruntime"}
    resolved = resolve({"hop_s": Given("0.2", "--hop", is_text=True)}, path, environment)
    assert resolved.config.hop_s == 0.2
    assert resolved.config.engine == "onnxruntime"
    assert resolved.config.pack == "theirs"
    assert resolved.config.decision.margin == 0.5
    assert resolved.config.decision.phase_weight == LiveConfig().decision.phase_weight
    assert resolved.origins["hop_s"] == "--hop"
    assert resolved.origins["engine"] == "BREATH_ENGINE"
    assert resolved.origins["pack"] == str(path)
    assert resolved.origins["decision.margin"] == str(path)
    assert resolved.origins["decision.phase_weight"] == "default"


def test_a_variable_reaches_a_nested_setting():
    variables = {"BREATH_PRESENCE_GATE_DBFS": "-50", "BREATH_DECISION_LENGTHS_SIGMA": "0.7"}
    config = resolve({}, environment=variables).config
    assert config.presence.gate_dbfs == -50.0
    assert config.decision.lengths.sigma == 0.7


def test_the_file_in_the_platforms_folder_is_found(clean_environment):
    path = clean_environment / "breath" / "breath.toml"
    path.parent.mkdir(parents=True)
    path.write_text("seed = 7\n")
    resolved = resolve({}, environment={})
    assert resolved.config.seed == 7
    assert resolved.origins["seed"] == str(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_that_a_shell_has_written_is_read(tmp_path, encoding):
    path = tmp_path / "breath.toml"
    path.write_text('pack = "Pr\u00fcfung"\r\nseed = 7\r\n', encoding=encoding)
    config = resolve({}, path, environment={}).config
    assert (config.pack, config.seed) == ("Pr\u00fcfung", 7)


def test_a_file_named_by_a_variable_is_read(toml):
    assert resolve({}, environment={"BREATH_CONFIG": str(toml("seed = 8\n"))}).config.seed == 8


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("hop = 0.1\n", ["'hop'", "did you mean 'hop_s'"]),
        ("gate_dbfs = -50.0\n", ["'gate_dbfs'", "did you mean 'presence.gate_dbfs'"]),
        (
            "[decision]\nmargn = 0.1\n",
            ["'decision.margn'", "did you mean 'decision.margin'"],
        ),
        ("[decison]\nmargin = 0.1\n", ["there is no setting 'decison'"]),
        ("zzz = 1\n", ["'zzz'", "--print-config"]),
        ("decision = 3\n", ["decision is a table", "[decision]"]),
        ("[decision]\nlengths = 3\n", ["decision.lengths is a table", "[decision.lengths]"]),
        ("[decision]\nsigma = 0.3\n", ["'decision.sigma'", "did you mean 'decision.lengths.sigma'"]),
        ("lookahead_s = 1.5\n", ["lookahead_s", "from 0 to 1 s", "not 1.5"]),
        ("hop_s = 3\n", ["hop_s", "from 0.01 to 1 s", "not 3"]),
        ("hop_s = nan\n", ["hop_s", "from 0.01 to 1 s", "not nan"]),
        ('hop_s = "0.1"\n', ["hop_s", "a number", "'0.1'"]),
        ("channel = 1.5\n", ["channel", "a whole number", "1.5"]),
        ("channel = -1\n", ["channel", "from 0"]),
        ('engine = "tpu"\n', ["engine", "auto, onnxruntime, openvino, torch, tensorrt", "'tpu'"]),
        ("display = 1\n", ["display", "true or false"]),
        ("[decision]\nmargin = 1\n", ["decision.margin", "from 0 to 0.99"]),
        ("[decision.lengths]\nmemory = 2\n", ["decision.lengths.memory", "from 0 to 1"]),
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
        "device": Given('a "quoted" [name]\x7f\t', "--device"),
        "decision.margin": Given(0.4, "--set"),
        "decision.lengths.memory": Given(0.0, "--set"),
        "decision.lengths.prior_breaths": Given(7.5, "--set"),
        "display": Given(False, "--no-display"),
    }
    before = resolve(given, environment={})
    text = text_from_resolved(before)
    assert "# --hop" in text
    assert "# --set" in text
    read = tomllib.loads(text)
    assert read["display"] is False
    assert (read["decision"]["margin"], read["decision"]["lengths"]["memory"]) == (0.4, 0.0)
    assert resolve({}, toml(text), {}).config == before.config


def test_a_name_that_is_no_text_is_printed_as_well_as_it_can_be():
    text = text_from_resolved(resolve({"events": Given("\udcff.jsonl", "--events")}, environment={}))
    assert tomllib.loads(text)["events"] == "?.jsonl"


def test_every_setting_is_printed():
    text = text_from_resolved(resolve({}, environment={}))
    for key, _, _ in settings():
        assert key.rpartition(".")[2] in text


def test_every_setting_can_be_given_in_a_file_and_what_is_printed_gives_the_same(toml):
    """Another value than its default for every number, nested or not."""
    lines: dict[str, list[str]] = {}
    for key, kind, default in settings():
        if kind is float and key in RANGES:
            lowest, highest, _ = RANGES[key]
            value = lowest + 0.37 * (min(highest, 10 + lowest) - lowest)
            assert value != default
            table, _, name = key.rpartition(".")
            lines.setdefault(table, []).append(f"{name} = {value!r}")
    assert {"", "presence", "decision", "decision.lengths", "breathing"} == set(lines)
    text = "\n".join("\n".join([f"[{table}]" * bool(table), *given]) for table, given in lines.items())
    given = resolve({}, toml(text), {})
    changed = {key for key, origin in given.origins.items() if origin != "default"}
    assert len(changed) == sum(map(len, lines.values()))
    assert resolve({}, toml(text_from_resolved(given)), {}).config == given.config
    assert resolve({}, environment={}).config.decision.lengths != given.config.decision.lengths


def test_every_range_is_that_of_a_setting_and_holds_its_default():
    defaults = {key: default for key, _, default in settings()}
    for key, (lowest, highest, _) in RANGES.items():
        assert defaults[key] is None or lowest <= defaults[key] <= highest
