"""What PortAudio refuses, and what people are told about it; finding a device again; the quiet descriptor."""

import os
import subprocess
import sys

import pytest

from engines.errors import AudioError, ConfigError, DeviceNotFoundError, RateUnsupportedError
from realtime.sound import portaudio
from realtime.sound.device_table import print_devices
from realtime.sound.devices import InputDevice, match_same_device
from realtime.sound.portaudio import busy_name, error_from_refusal, forbidden_node

HOST_ERROR = -9999


def refusal(code, host_code=None, platform="linux"):
    return error_from_refusal("USB", 96_000, "Unanticipated host error", code, host_code, platform)


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (-9997, RateUnsupportedError, "does not record at 96000 Hz"),
        (-9998, ConfigError, "lower --channel"),
        (-9996, DeviceNotFoundError, "breath-live devices"),
        (-9985, AudioError, "in use by another program"),
        (HOST_ERROR, AudioError, "the sound system says: Unanticipated host error"),
        (None, AudioError, "the sound system says"),
    ],
)
def test_every_refusal_has_its_error_and_its_mend(code, kind, words):
    error = refusal(code)
    assert type(error) is kind
    assert words in str(error)
    assert "'USB'" in str(error)


@pytest.mark.parametrize(
    ("platform", "denied", "mend"),
    [
        ("linux", -13, "usermod -aG audio"),
        ("win32", -2147024891, "Privacy & security > Microphone"),
        ("darwin", -1, "System Settings > Privacy & Security > Microphone"),
    ],
)
def test_no_permission_says_how_to_get_it(platform, denied, mend):
    error = refusal(HOST_ERROR, denied, platform)
    assert "no permission" in str(error)
    assert mend in str(error)
    assert type(error) is AudioError


@pytest.mark.parametrize(
    ("platform", "busy"), [("linux", -16), ("win32", -2004287478), ("darwin", 560492391)]
)
def test_a_device_in_use_says_so_by_the_systems_own_number(platform, busy):
    assert "in use by another program" in str(refusal(HOST_ERROR, busy, platform))


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_systems_that_hide_the_reason_get_the_hint(platform):
    assert "Microphone" in str(refusal(HOST_ERROR, 77, platform))
    assert "Microphone" not in str(refusal(HOST_ERROR, 77, "linux"))


def test_a_sound_card_that_may_not_be_opened_is_found(tmp_path):
    assert forbidden_node(tmp_path) is None
    for name in ("pcmC0D0c", "pcmC0D0p", "controlC0"):
        (tmp_path / name).touch()
    assert forbidden_node(tmp_path) is None
    # A link to nowhere may be opened by nobody, the superuser included.
    (tmp_path / "pcmC1D0p").symlink_to(tmp_path / "nowhere")
    assert forbidden_node(tmp_path) is None
    (tmp_path / "pcmC1D0c").symlink_to(tmp_path / "nowhere")
    assert forbidden_node(tmp_path) == tmp_path / "pcmC1D0c"


def test_a_sound_card_that_another_program_uses_is_found(tmp_path):
    def status(place, text):
        path = tmp_path / place / "sub0" / "status"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    assert busy_name(tmp_path / "none") is None
    status("card0/pcm0c", "closed\n")
    status("card0/pcm0p", "state: RUNNING\nowner_pid   : 17\n")
    assert busy_name(tmp_path) is None
    status("card1/pcm2c", "state: RUNNING\nowner_pid   : 17\n")
    assert busy_name(tmp_path) == "hw:1,2"


def test_where_every_microphone_is_in_use_nobody_is_told_there_is_none(monkeypatch):
    class NoDevices:
        PortAudioError = OSError
        default = type("Default", (), {"device": (-1, -1)})

        @staticmethod
        def query_devices():
            return []

    monkeypatch.setattr(portaudio, "sounddevice", lambda: NoDevices)
    monkeypatch.setattr(portaudio, "forbidden_node", lambda folder: None)
    assert portaudio.list_devices() == []
    monkeypatch.setattr(portaudio, "busy_name", lambda folder: "hw:1,2")
    with pytest.raises(AudioError, match=r"hw:1,2, but another program is using it; close that program"):
        portaudio.list_devices()


def device(index, name, host_api="ALSA"):
    return InputDevice(index, name, host_api, 2, 48_000.0, is_default=False)


USB = device(5, "USB Microphone: Audio (hw:2,0)")


@pytest.mark.parametrize(
    ("devices", "index"),
    [
        # The same name, another number.
        ([device(0, "pulse"), device(1, USB.name)], 1),
        # Another card, because it sits in another socket.
        ([device(0, "pulse"), device(3, "USB Microphone: Audio (hw:1,0)")], 3),
        # Two of one make: the one in the old place.
        ([device(2, "USB Microphone: Audio (hw:3,0)"), device(4, USB.name)], 4),
        ([device(7, USB.name, "JACK"), device(8, USB.name)], 8),
    ],
)
def test_a_device_is_found_again_by_its_name(devices, index):
    assert match_same_device(devices, USB).index == index


@pytest.mark.parametrize(
    "devices",
    [
        [],
        # Its old number, but another device.
        [device(5, "pulse")],
        [device(5, "USB Microphone: Audio (hw:1,0)"), device(6, "USB Microphone: Audio (hw:3,0)")],
    ],
)
def test_what_is_not_there_is_not_guessed(devices):
    with pytest.raises(DeviceNotFoundError, match="plug it in again"):
        match_same_device(devices, USB)


def test_the_list_names_number_name_system_channels_and_rates(capsys):
    print_devices([USB, device(6, "pulse")], {5: (16_000, 48_000), 6: ()})
    head, usb, pulse = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert head == ["number", "name", "sound system", "channels", "rate_hz", "rates_hz", "default"]
    assert usb == ["5", USB.name, "ALSA", "2", "48000", "16000 48000", ""]
    assert pulse[5] == "-"


def test_on_a_terminal_all_rates_in_a_row_take_one_line(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    rates = {5: (16_000, 48_000), 6: portaudio.STANDARD_RATES_HZ}
    print_devices([USB, device(6, "pulse")], rates)
    said = capsys.readouterr().out
    assert "8000 to 192000" in said
    assert "16000 48000" in said


def test_c_code_is_silenced_and_python_is_not():
    program = (
        "import os, sys\n"
        "from realtime.sound.quiet_libraries import quiet_libraries\n"
        "with quiet_libraries():\n"
        "    os.write(2, b'Expression failed\\n')\n"
        "    print('a notice \\u00e9', file=sys.stderr)\n"
        "os.write(2, b'after\\n')\n"
        "print('and after', file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    assert done.stderr.splitlines() == ["a notice é", "after", "and after"]
