"""Arrays and recordings as sources: every sample once, in order, whatever the file or the block size."""

import threading
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from engines.errors import AudioFileError, ConfigError
from realtime.sound.channels import check_channel, mono_from_samples
from realtime.sound.files import FileSource
from realtime.sound.pacing import Pacer, WallClock
from realtime.sound.sources import ArraySource, AudioSource, Block

BLOCK_SIZES = (1, 7, 1024, 1_000_000)


class FakeTime:
    """Time that passes only while somebody sleeps, or when the test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.sleeps_s: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.sleeps_s.append(seconds)
        self.now_s += seconds

    def clock(self) -> WallClock:
        return WallClock(now_s=lambda: self.now_s, sleep_s=self.sleep)


def noise(n: int, n_channels: int = 1, seed: int = 0) -> NDArray[np.float32]:
    return (0.2 * np.random.default_rng(seed).standard_normal((n, n_channels))).astype(np.float32)


def joined(source: AudioSource) -> NDArray[np.float32]:
    blocks = list(source.blocks())
    assert [block.start for block in blocks[1:]] == [block.end for block in blocks[:-1]]
    assert blocks[0].start == 0
    assert all(block.samples.dtype == np.float32 for block in blocks)
    return np.concatenate([block.samples for block in blocks])


def read_whole(path: Path) -> NDArray[np.float32]:
    with soundfile.SoundFile(path) as file:
        samples: NDArray[np.float32] = file.read(dtype="float32", always_2d=True)
    return samples


def cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


@pytest.mark.parametrize("block_samples", BLOCK_SIZES)
@pytest.mark.parametrize("n_channels", [1, 3])
def test_an_array_comes_out_as_it_went_in(block_samples: int, n_channels: int) -> None:
    samples = noise(2500, n_channels)
    with ArraySource(samples, 8000, block_samples=block_samples) as source:
        blocks = list(source.blocks())
    np.testing.assert_array_equal(np.concatenate([block.samples for block in blocks]), samples)
    assert {len(block.samples) for block in blocks[:-1]} <= {block_samples}
    assert (source.n_channels, source.rate_hz, source.is_live, source.lost_samples) == (
        n_channels,
        8000,
        False,
        0,
    )


def test_the_source_keeps_its_own_copy_of_the_array() -> None:
    samples = noise(100)[:, 0]
    expected = samples.copy()
    source = ArraySource(samples, 8000)
    samples[:] = 0
    np.testing.assert_array_equal(joined(source)[:, 0], expected)


@pytest.mark.parametrize(
    "samples",
    [np.zeros(0, np.float32), np.zeros(9, np.int16), np.zeros((2, 2, 2), np.float32), np.float32(1)],
)
def test_what_is_no_sound_is_refused(samples: NDArray[np.float32]) -> None:
    with pytest.raises(ConfigError, match="no sound"):
        ArraySource(np.asarray(samples), 8000)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="blocks of 0"):
        ArraySource(noise(5), 8000, block_samples=0)
    with pytest.raises(ConfigError, match="rate of 0"):
        ArraySource(noise(5), 0)
    for pace in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="pace"):
            ArraySource(noise(5), 8000, pace=pace)


def test_samples_that_are_not_numbers_become_zeros_with_one_notice() -> None:
    samples = noise(300)
    samples[100], samples[200], samples[250] = np.nan, np.inf, -np.inf
    source = ArraySource(samples, 100, block_samples=10)
    out = joined(source)
    expected = samples.copy()
    expected[[100, 200, 250]] = 0
    np.testing.assert_array_equal(out, expected)
    (notice,) = source.take_notices()
    assert "1.00 s" in notice
    assert source.take_notices() == []


@pytest.mark.parametrize("absurd", [1e3, -1e25, 3e38])
def test_a_sample_that_no_sound_has_becomes_a_zero(absurd: float) -> None:
    samples = np.array([0.5, absurd, -1.5, 90.0], np.float32)
    source = ArraySource(samples, 16_000)
    (block,) = source.blocks()
    np.testing.assert_array_equal(block.samples[:, 0], np.array([0.5, 0.0, -1.5, 90.0], np.float32))
    (notice,) = source.take_notices()
    assert "beyond 100 times full scale" in notice


def test_a_closed_source_gives_nothing_more() -> None:
    source = ArraySource(noise(100), 8000, block_samples=10)
    blocks = source.blocks()
    next(blocks)
    source.close()
    source.close()
    assert list(blocks) == []


def test_blocks_come_when_their_last_sample_is_due() -> None:
    time = FakeTime()
    source = ArraySource(noise(350), 1000, block_samples=100, pace=2.0, clock=time.clock())
    due_s = [time.now_s - 100.0 for _ in source.blocks()]
    np.testing.assert_allclose(due_s, [0.05, 0.1, 0.15, 0.175], atol=1e-9)


def test_lateness_is_made_good_and_does_not_add_up() -> None:
    time = FakeTime()
    source = ArraySource(noise(1000), 1000, block_samples=100, pace=1.0, clock=time.clock())
    seen_s = []
    for i, _ in enumerate(source.blocks()):
        seen_s.append(time.now_s - 100.0)
        time.now_s += 0.35 if i == 1 else 0.013
    np.testing.assert_allclose(seen_s[:2], [0.1, 0.2], atol=1e-9)
    np.testing.assert_allclose(seen_s[6:], [0.7, 0.8, 0.9, 1.0], atol=1e-9)


@pytest.mark.parametrize("pace", [None, 0, 0.0])
def test_without_pace_nobody_sleeps(pace: float | None) -> None:
    time = FakeTime()
    joined(ArraySource(noise(1000), 1000, pace=pace, clock=time.clock()))
    assert time.sleeps_s == []


def test_a_sleep_that_ends_early_is_taken_up_again() -> None:
    time = FakeTime()
    clock = WallClock(now_s=lambda: time.now_s, sleep_s=lambda seconds: time.sleep(0.6 * seconds + 1e-4))
    Pacer(1000, 1.0, clock).wait_for(500)
    assert time.now_s >= 100.5
    assert len(time.sleeps_s) > 1


@pytest.mark.parametrize("block_samples", BLOCK_SIZES)
@pytest.mark.parametrize(
    ("name", "rate_hz", "n_channels"),
    [
        ("a.wav", 44100, 2),
        ("a.flac", 8000, 1),
        ("a.ogg", 22050, 1),
        ("a.mp3", 16000, 1),
        ("a.aiff", 96000, 4),
    ],
)
def test_a_file_reads_as_libsndfile_reads_it_whole(
    tmp_path: Path, name: str, rate_hz: int, n_channels: int, block_samples: int
) -> None:
    path = tmp_path / name
    soundfile.write(path, noise(6000, n_channels), rate_hz)
    whole = read_whole(path)
    with FileSource(path, block_samples=block_samples) as source:
        np.testing.assert_array_equal(joined(source), whole)
        assert source.take_notices() == []
    assert (source.name, source.rate_hz, source.n_channels) == (str(path), rate_hz, n_channels)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff", "a.w64", "a.au", "a.rf64"])
def test_a_file_cut_off_is_read_up_to_there_with_a_notice(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    # Four seconds, because the first page of an OGG file is decodable only as a whole.
    soundfile.write(path, noise(4 * 44100, 2), 44100)
    whole = read_whole(path)
    cut(path, 0.6)
    outs = []
    for block_samples in (100, 5000):
        source = FileSource(path, block_samples=block_samples)
        outs.append(joined(source))
        (notice,) = source.take_notices()
        assert "cut off" in notice
        assert name in notice
        source.close()
    np.testing.assert_array_equal(outs[0], outs[1])
    n_read = len(outs[0])
    assert 0.4 * len(whole) < n_read < 0.7 * len(whole)
    # The last MP3 frame before the cut is decoded from half its bits.
    n_sure = n_read - 3000 if name == "a.mp3" else n_read
    np.testing.assert_array_equal(outs[0][:n_sure], whole[:n_sure])


def test_a_wav_that_was_piped_and_knows_no_length_is_read_without_a_notice(tmp_path: Path) -> None:
    path = tmp_path / "piped.wav"
    samples = noise(3000)
    soundfile.write(path, samples, 16000, subtype="FLOAT")
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    source = FileSource(path)
    np.testing.assert_array_equal(joined(source), samples)
    assert source.take_notices() == []


def test_files_that_cannot_be_played_are_refused_with_their_name(tmp_path: Path) -> None:
    text = tmp_path / "notes.wav"
    text.write_text("this is no sound")
    no_bytes = tmp_path / "no_bytes.wav"
    no_bytes.touch()
    no_samples = tmp_path / "no_samples.wav"
    soundfile.write(no_samples, np.zeros((0, 1), np.float32), 16000)
    headerless = tmp_path / "bare.raw"
    headerless.write_bytes(bytes(100))
    for path in (tmp_path / "gone.wav", tmp_path, text, no_bytes, no_samples, headerless):
        with pytest.raises(AudioFileError) as caught:
            FileSource(path)
        assert str(path) in str(caught.value)


def test_a_file_cut_within_its_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "short.wav"
    soundfile.write(path, noise(1000), 16000)
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(AudioFileError, match=r"short\.wav"):
        FileSource(path)


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_mean_of_the_channels_does_not_depend_on_the_block(order: str) -> None:
    samples = np.asarray(noise(400, 11), order=order)  # type: ignore[call-overload]
    whole = mono_from_samples(samples, None)
    pieces = [mono_from_samples(np.ascontiguousarray(samples[i : i + 9]), None) for i in range(0, 400, 9)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    np.testing.assert_allclose(whole, samples.mean(axis=1), atol=1e-7)


def test_one_channel_is_that_channel() -> None:
    samples = noise(50, 3)
    for channel in range(3):
        np.testing.assert_array_equal(mono_from_samples(samples, channel), samples[:, channel])


@pytest.mark.parametrize("channel", [-1, 2, 99])
def test_a_channel_that_is_not_there_is_refused_with_how_many_there_are(channel: int) -> None:
    with pytest.raises(ConfigError, match="has 2 channels"):
        check_channel(channel, 2, "x.wav")
    with pytest.raises(ConfigError, match=f"no channel {channel}"):
        mono_from_samples(noise(5, 2), channel)


def test_a_block_knows_its_end() -> None:
    assert Block(30, noise(12, 2)).end == 42


def test_a_file_that_is_closed_while_it_is_read_waits_for_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    soundfile.write(path, np.zeros(48_000, np.float32), 16_000)
    source = FileSource(path)
    is_reading, may_go_on = threading.Event(), threading.Event()
    read = source._file.read

    def slow(out: NDArray[np.float32]) -> NDArray[np.float32]:
        is_reading.set()
        assert may_go_on.wait(10)
        assert not source._file.closed
        return cast(NDArray[np.float32], read(out=out))

    source._file.read = slow
    heard: list[Block] = []
    reader = threading.Thread(target=lambda: heard.extend(source.blocks()))
    reader.start()
    assert is_reading.wait(10)
    closer = threading.Thread(target=source.close)
    closer.start()
    may_go_on.set()
    reader.join(10)
    closer.join(10)
    assert not reader.is_alive()
    assert not closer.is_alive()
    assert source._file.closed
    assert source.take_notices() == []
