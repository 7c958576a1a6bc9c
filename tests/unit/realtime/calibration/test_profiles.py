"""Calibration: levels measured on known sound, and the profile that is made of them and found again."""

import datetime
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from engines.errors import AudioError, ConfigError, OutputError
from engines.pack import load_pack
from realtime.calibration.command import why_not_used
from realtime.calibration.measurement import Calibration, calibrate
from realtime.calibration.profiles import profile_path, read_profile, save_profile, with_profile
from realtime.cli import cli
from realtime.config import Given, completed, resolve
from realtime.controls import Controls
from realtime.engine import open_engine
from realtime.pipeline import Pipeline, PipelineSettings
from realtime.session import Session
from realtime.sinks.base import Sink
from realtime.sound.sources import ArraySource

RATE_HZ = 16_000
AT = datetime.datetime(2026, 3, 1, 22, 5, 9, tzinfo=datetime.UTC)


def tone(level_dbfs, seconds, hz=1000.0, rate_hz=RATE_HZ):
    """A sine with a level of so many dB re full scale, by its root mean square."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    return np.sqrt(2) * 10 ** (level_dbfs / 20) * np.sin(2 * np.pi * hz * t)


def room(quiet_dbfs, breath_dbfs, seconds=11.0):
    """Four quiet seconds, then breaths of a second with half a second between."""
    breathing = [tone(breath_dbfs, 1.0), tone(quiet_dbfs, 0.5)] * 5
    return np.concatenate([tone(quiet_dbfs, 4.0), *breathing])[: round(seconds * RATE_HZ)]


def calibrated(samples, **kwargs):
    told = []
    channel = kwargs.pop("channel", None)
    found = calibrate(ArraySource(samples, RATE_HZ, name="USB", **kwargs), 2000.0, channel, told.append)
    return found, told


def test_noise_and_breath_are_measured_and_the_gate_lies_between():
    found, told = calibrated(room(-60.0, -30.0))
    assert found.noise_dbfs == pytest.approx(-60.0, abs=0.2)
    assert found.breath_dbfs == pytest.approx(-30.0, abs=0.2)
    assert found.gate_dbfs == pytest.approx(-50.0, abs=0.3)
    assert len(told) == 2
    assert "hold your breath" in told[0]
    assert "breathe" in told[1]


def test_only_the_band_of_the_pack_counts():
    rumble = tone(-10.0, 11.0, hz=60.0)
    hiss = tone(-15.0, 11.0, hz=5000.0)
    found, _ = calibrated(room(-60.0, -30.0) + rumble + hiss)
    assert found.noise_dbfs == pytest.approx(-60.0, abs=1.0)


def test_a_short_cough_in_the_quiet_and_a_late_start_are_forgiven():
    samples = room(-60.0, -30.0)
    samples[2 * RATE_HZ : 2 * RATE_HZ + 1600] += tone(-10.0, 0.1)
    samples[4 * RATE_HZ : 5 * RATE_HZ] = tone(-60.0, 1.0)
    found, _ = calibrated(samples)
    assert found.noise_dbfs == pytest.approx(-60.0, abs=0.5)
    assert found.breath_dbfs == pytest.approx(-30.0, abs=0.5)


@pytest.mark.parametrize("block_samples", [100, 16_000, 160_000])
def test_the_size_of_blocks_changes_nothing(block_samples):
    assert calibrated(room(-60.0, -30.0), block_samples=block_samples)[0] == Calibration(-60.0, -30.0)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (room(-60.0, -56.0), r"only 4\.\d dB louder than the quiet"),
        (np.zeros(11 * RATE_HZ), "digital silence"),
        (room(-60.0, -30.0, seconds=7.0), "ended before the 10 seconds were over"),
    ],
)
def test_what_cannot_be_calibrated_is_told_with_its_mend(samples, words):
    with pytest.raises(AudioError, match=words):
        calibrated(samples)


def test_the_gate_stays_above_the_noise_and_within_its_range():
    assert Calibration(-40.0, -34.0).gate_dbfs == -37.0
    assert Calibration(-120.0, -30.0).gate_dbfs == -90.0
    assert Calibration(-2.0, 0.0).gate_dbfs == 0.0


class Listener(Sink):
    def __init__(self):
        self.notices = []

    def show(self, step, status):
        pass

    def report(self, event):
        pass

    def notice(self, text):
        self.notices.append(text)

    def close(self):
        pass


def calibrated_while_running(tiny_pack, samples, at_s=2.0, n_lost=0):
    """The gate and the notices of a session in which somebody asks for it after `at_s`."""
    pack = load_pack(tiny_pack)
    engine, _ = open_engine(pack, n_threads=1)
    controls, listener = Controls(), Listener()
    source = ArraySource(samples, RATE_HZ, name="USB", block_samples=RATE_HZ // 2)
    pipeline = Pipeline(source, engine, pack.manifest, PipelineSettings())
    session = Session(source, pipeline, [listener], controls=controls)
    with engine:
        for block in source.blocks():
            if block.start == at_s * RATE_HZ:
                controls.calibrate()
            if block.start > (at_s + 1) * RATE_HZ:
                block = replace(block, start=block.start + n_lost)
            session.hear(block)
    return pipeline.gate_dbfs, listener.notices


def test_in_a_session_that_runs_the_gate_of_its_pipeline_is_set(tiny_pack):
    # Who asks for it is still breathing out.
    samples = np.concatenate([tone(-20.0, 2.5), tone(-60.0, 0.5), room(-60.0, -30.0)[RATE_HZ:]])
    gate_dbfs, (quiet, breathe, found) = calibrated_while_running(tiny_pack, samples)
    assert gate_dbfs == pytest.approx(-50.0, abs=0.3)
    assert "hold your breath" in quiet
    assert "breathe" in breathe
    assert f"the gate is {gate_dbfs:.1f} dB" in found


@pytest.mark.parametrize(
    ("breath_dbfs", "n_lost", "words"), [(-56.0, 0, "dB louder than the quiet"), (-30.0, 1600, "key c")]
)
def test_in_a_session_that_runs_a_failure_is_told_and_the_gate_stays(tiny_pack, breath_dbfs, n_lost, words):
    samples = np.concatenate([tone(-60.0, 2.0), room(-60.0, breath_dbfs)])
    gate_dbfs, notices = calibrated_while_running(tiny_pack, samples, n_lost=n_lost)
    assert gate_dbfs == PipelineSettings().presence.gate_dbfs
    assert words in notices[-1]


NAMES = ["USB Mic (hw:1,0)", 'a "quoted" \\ näme\n', "\udcff", "///", "日本", "日本語"]


@pytest.mark.usefixtures("clean_environment")
def test_a_profile_is_found_by_the_name_of_its_device():
    for k, name in enumerate(NAMES):
        path = save_profile(name, Calibration(-60.0 + k, -30.0), AT)
        assert path == profile_path(name)
    for k, name in enumerate(NAMES):
        origin = f"profile {profile_path(name)}"
        assert read_profile(name) == {
            "presence.gate_dbfs": Given(Calibration(-60.0 + k, -30.0).gate_dbfs, origin),
            "presence.noise_dbfs": Given(-60.0 + k, origin),
        }
    assert read_profile("another") == {}
    assert len({profile_path(name) for name in NAMES}) == len(NAMES)
    assert not list(profile_path("another").parent.glob("*.tmp"))


@pytest.mark.usefixtures("clean_environment")
def test_a_profile_comes_before_defaults_and_after_everything_else():
    path = save_profile("USB", Calibration(-60.0, -30.0), AT)
    profile = read_profile("USB")
    silent = completed(resolve({}, environment={}), profile)
    assert silent.config.presence.gate_dbfs == -50.0
    assert silent.origins["presence.gate_dbfs"] == f"profile {path}"
    said = completed(resolve({}, environment={"BREATH_PRESENCE_GATE_DBFS": "-44"}), profile)
    assert said.config.presence.gate_dbfs == -44.0
    assert said.origins["presence.gate_dbfs"] == "BREATH_PRESENCE_GATE_DBFS"
    # The noise of the profile belongs to its gate.
    assert said.config == resolve({"presence.gate_dbfs": Given(-44.0, "--set")}, environment={}).config


@pytest.mark.usefixtures("clean_environment")
@pytest.mark.parametrize("text", ["x = \n", "settings = 3\n"])
def test_a_damaged_profile_is_told(text):
    path = save_profile("USB", Calibration(-60.0, -30.0), AT)
    path.write_text(text)
    with pytest.raises(ConfigError, match="calibrate"):
        read_profile("USB")


@pytest.mark.usefixtures("clean_environment")
@pytest.mark.parametrize("command", ["listen", "serve"])
def test_a_profile_can_be_passed_by(command):
    arguments = [command, "--no-profile", "--print-config"]
    result = CliRunner().invoke(cli, arguments, prog_name="breath-live")
    assert result.exit_code == 0, result.output
    assert "profile = false" in result.output


@pytest.mark.usefixtures("clean_environment")
def test_a_profile_that_cannot_be_written_is_told():
    folder = profile_path("USB").parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="cannot be written"):
        save_profile("USB", Calibration(-60.0, -30.0), AT)


@pytest.mark.usefixtures("clean_environment")
def test_a_profile_with_what_is_no_setting_is_told():
    path = save_profile("USB", Calibration(-60.0, -30.0), AT)
    path.write_text("[settings.presence]\ngate = -50.0\n")
    with pytest.raises(ConfigError, match=r"profile .*there is no setting 'presence\.gate'"):
        completed(resolve({}, environment={}), read_profile("USB"))


@pytest.mark.usefixtures("clean_environment")
def test_the_profile_of_the_microphone_in_use_is_taken_unless_it_is_not_wanted(monkeypatch):
    from realtime.sound import portaudio
    from realtime.sound.devices import InputDevice

    devices = [
        InputDevice(0, "Desk", "ALSA", 1, 48000.0, True),
        InputDevice(1, "USB", "ALSA", 1, 48000.0, False),
    ]
    monkeypatch.setattr(portaudio, "list_devices", lambda: devices)
    # Without a profile nobody asks for the microphones.
    assert with_profile(resolve({}, environment={})).config == resolve({}, environment={}).config
    save_profile("USB", Calibration(-60.0, -30.0), AT)

    def gate(**given):
        flags = {key: Given(value, "--flag") for key, value in given.items()}
        return with_profile(resolve(flags, environment={})).config.presence.gate_dbfs

    default = resolve({}, environment={}).config.presence.gate_dbfs
    assert gate(device="usb") == -50.0
    assert gate() == gate(device="usb", profile=False) == gate(device="none") == default


def test_a_setting_that_goes_before_the_profile_is_told(tmp_path):
    file = tmp_path / "breath.toml"
    for text, words in (
        ("hop_s = 0.2", ""),
        ("profile = true", ""),
        ("profile = false", "breath.toml sets profile"),
        ("[presence]\ngate_dbfs = -75", "breath.toml sets presence.gate_dbfs"),
    ):
        file.write_text(text)
        told = why_not_used(resolve({}, file, environment={}))
        assert (words in told) if words else not told
