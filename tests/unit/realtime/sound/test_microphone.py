"""Choosing a microphone, and the queue behind the callback: all that needs no sound card."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.errors import DeviceNotFoundError
from realtime.sound.devices import InputDevice, match_device
from realtime.sound.sound_queue import SoundQueue

DEVICES = [
    InputDevice(0, "HDA Intel PCH: ALC (hw:0,0)", "ALSA", 2, 44100.0, is_default=False),
    InputDevice(3, "pulse", "ALSA", 32, 44100.0, is_default=False),
    InputDevice(4, "pulse monitor 7", "ALSA", 2, 48000.0, is_default=True),
    InputDevice(7, "USB Microphone 3", "ALSA", 1, 48000.0, is_default=False),
]


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (None, 4),
        (0, 0),
        ("3", 3),
        (" 7 ", 7),
        ("usb", 7),
        ("Microphone 3", 7),
        ("PULSE", 3),
        ("monitor", 4),
        ("ALC", 0),
    ],
)
def test_a_device_is_found_by_number_or_name(query: str | int | None, index: int) -> None:
    assert match_device(DEVICES, query).index == index


ON_WINDOWS = [
    InputDevice(1, "Microphone (Yeti Stereo Microph", "MME", 2, 44100.0, is_default=False),
    InputDevice(2, "Microphone Array (Realtek(R) Au", "MME", 2, 44100.0, is_default=True),
    InputDevice(
        6, "Microphone (Yeti Stereo Microphone)", "Windows DirectSound", 2, 44100.0, is_default=False
    ),
    InputDevice(9, "Microphone (Yeti Stereo Microphone)", "Windows WASAPI", 2, 48000.0, is_default=False),
    InputDevice(10, "Microphone Array (Realtek(R) Audio)", "Windows WASAPI", 2, 48000.0, is_default=False),
]


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("Yeti", 1),
        ("yeti, WASAPI", 9),
        ("yeti directsound", 6),
        ("Microphone (Yeti Stereo Microph", 1),
        ("Realtek", 2),
        ("wasapi realtek", 10),
        ("Microphone (Yeti Stereo Microphone)", 6),
    ],
)
def test_a_microphone_that_several_sound_systems_list_is_one(query: str, index: int) -> None:
    assert match_device(ON_WINDOWS, query).index == index


@pytest.mark.parametrize("query", ["Microphone", "wasapi"])
def test_two_microphones_stay_two_on_any_sound_system(query: str) -> None:
    with pytest.raises(DeviceNotFoundError, match="choose one with --device"):
        match_device(ON_WINDOWS, query)


@pytest.mark.parametrize("query", [1, "1", "bluetooth", "", -1, "9"])
def test_what_nobody_answers_to_lists_all(query: str | int) -> None:
    with pytest.raises(DeviceNotFoundError) as caught:
        match_device(DEVICES, query)
    assert all(device.name in str(caught.value) for device in DEVICES)


def test_an_ambiguous_name_lists_those_it_could_be() -> None:
    with pytest.raises(DeviceNotFoundError) as caught:
        match_device(DEVICES, "puls")
    assert "2 microphones" in str(caught.value)
    assert "4: pulse monitor 7" in str(caught.value)
    assert "USB" not in str(caught.value)


def test_no_device_and_no_default_say_what_to_do() -> None:
    with pytest.raises(DeviceNotFoundError, match="shows no microphone"):
        match_device([], None)
    with pytest.raises(DeviceNotFoundError, match="--device"):
        match_device(DEVICES[:2], None)


def test_without_portaudio_the_error_names_the_package() -> None:
    # A module that fails as sounddevice does where the library is missing.
    program = (
        "import sys, importlib.abc\n"
        "class Missing(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'sounddevice': raise OSError('PortAudio library not found')\n"
        "sys.meta_path.insert(0, Missing())\n"
        "from engines.errors import DeviceNotFoundError\n"
        "from realtime.sound.portaudio import list_devices\n"
        "try: list_devices()\n"
        "except DeviceNotFoundError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "PortAudio" in done.stdout
    assert sys.platform != "linux" or "apt-get install libportaudio2" in done.stdout


def test_importing_the_microphone_does_not_import_sounddevice() -> None:
    program = "import sys, realtime.sound.microphone; sys.exit('sounddevice' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def piece(start: int, n: int = 10) -> NDArray[np.float32]:
    return np.arange(start, start + n, dtype=np.float32)[:, np.newaxis]


def test_all_that_waits_comes_as_one_block() -> None:
    queue = SoundQueue(1000)
    for i in range(5):
        queue.put(piece(10 * i))
    block = queue.take(0)
    assert block is not None
    assert block.start == 0
    np.testing.assert_array_equal(block.samples, piece(0, 50))
    assert queue.take(0) is None
    assert queue.lost_samples == 0


def test_the_callbacks_buffer_is_copied() -> None:
    queue = SoundQueue(1000)
    buffer = piece(0)
    queue.put(buffer)
    buffer[:] = -1
    block = queue.take(0)
    assert block is not None
    np.testing.assert_array_equal(block.samples, piece(0))


def test_a_full_queue_loses_the_oldest_and_counts_it() -> None:
    queue = SoundQueue(100)
    for i in range(25):
        queue.put(piece(10 * i))
    block = queue.take(0)
    assert block is not None
    assert (block.start, block.end, queue.lost_samples) == (150, 250, 150)
    np.testing.assert_array_equal(block.samples, piece(150, 100))
    queue.put(piece(250))
    block = queue.take(0)
    assert block is not None
    assert (block.start, queue.lost_samples) == (250, 150)


def test_a_block_larger_than_the_queue_is_still_heard() -> None:
    queue = SoundQueue(5)
    queue.put(piece(0))
    block = queue.take(0)
    assert block is not None
    assert (block.start, block.end) == (0, 10)


def test_an_overflow_in_the_driver_is_a_gap_between_two_blocks() -> None:
    queue = SoundQueue(1000)
    queue.put(piece(0), has_lost_before=True)
    queue.put(piece(10))
    queue.put(piece(20), has_lost_before=True)
    queue.put(piece(30))
    first, second = queue.take(0), queue.take(0)
    assert first is not None
    assert second is not None
    assert (first.start, first.end) == (0, 20)
    assert (second.start, second.end) == (30, 50)
    assert queue.lost_samples == 10
    np.testing.assert_array_equal(second.samples, piece(20, 20))


def test_what_waits_is_heard_after_the_end_and_then_nothing() -> None:
    queue = SoundQueue(1000)
    queue.put(piece(0))
    queue.end()
    assert queue.take(60) is not None
    assert queue.take(60) is None


def test_a_callback_thread_and_a_listener_lose_nothing_between_them() -> None:
    queue = SoundQueue(1_000_000)

    def call_back() -> None:
        for i in range(2000):
            queue.put(piece(10 * i))
        queue.end()

    thread = threading.Thread(target=call_back)
    thread.start()
    blocks = []
    while (block := queue.take(60)) is not None:
        blocks.append(block)
    thread.join()
    np.testing.assert_array_equal(np.concatenate([block.samples for block in blocks]), piece(0, 20_000))
    assert [block.start for block in blocks[1:]] == [block.end for block in blocks[:-1]]
