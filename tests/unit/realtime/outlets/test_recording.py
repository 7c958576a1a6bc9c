"""Recordings: every sample in its place, readable at any moment, labels that can be read back."""

import csv
import io
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from engines.contract import RATE_HZ
from engines.errors import ConfigError, OutputError
from offline.streams.files import find_streams
from realtime.cli import cli
from realtime.events import Frame, Gap, Phase, PhaseEvent
from realtime.intake import Heard, Intake
from realtime.labels import PhaseInterval, read_labels
from realtime.pipeline import Step
from realtime.sinks.base import Status
from realtime.sinks.output import LineOutput
from realtime.sinks.recording import RecordingSink, recording_path
from realtime.sinks.sound_files import WavWriter, open_sound_writer, wav_header
from realtime.sound.demo import DemoSource
from realtime.sound.files import FileSource
from realtime.sound.sources import Block

PROJECT = Path(__file__).resolve().parents[4]
STATUS = Status(2.0, None, 1.0, 2.0, 0, 0)
KINDS = [".wav", ".flac"]


def noise(n_samples, seed=0):
    """Sound of a 16-bit device."""
    return (np.random.default_rng(seed).integers(-32768, 32768, n_samples) / 32768).astype(np.float32)


def piece(start_sample, samples):
    return Heard(start_sample, samples, start_sample + len(samples))


def began(phase, onset_sample):
    frame = Frame(onset_sample + 4000, 0.5, phase, 0.9, -30.0)
    event = PhaseEvent(phase, onset_sample, onset_sample + 4000, 0.9)
    return Step(frame, event, np.zeros(1600, np.float32), 0.001)


def heard_from(path):
    return np.concatenate([block.samples for block in FileSource(path).blocks()])[:, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_every_sample_is_in_its_place_and_gaps_are_silence(tmp_path, kind):
    path = tmp_path / f"night{kind}"
    sink = RecordingSink(path)
    first, second = noise(20_000), noise(9_000, seed=1)
    sink.hear(piece(0, first[:7]))
    sink.hear(piece(7, first[7:]))
    sink.hear(piece(20_000, first[:0]))
    sink.hear(piece(50_001, second))
    sink.close()
    samples, rate_hz = soundfile.read(path, dtype="float32")
    assert rate_hz == RATE_HZ
    np.testing.assert_array_equal(samples, np.concatenate([first, np.zeros(30_001, np.float32), second]))
    np.testing.assert_array_equal(heard_from(path), samples)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_samples", [1, 3, RATE_HZ, 100_000])
def test_loud_and_fine_sound_survives(tmp_path, kind, n_samples):
    path = tmp_path / f"a{kind}"
    samples = np.random.default_rng(2).normal(0, 0.7, n_samples).astype(np.float32)
    writer = open_sound_writer(path)
    for start in range(0, n_samples, 333):
        writer.write(samples[start : start + 333])
    assert writer.n_samples == n_samples
    writer.close()
    writer.close()
    back, _ = soundfile.read(path, dtype="float32")
    if kind == ".wav":
        np.testing.assert_array_equal(back, samples)
    else:
        np.testing.assert_allclose(back, np.clip(samples, -1, 1), rtol=0, atol=2**-23)


@pytest.mark.parametrize("kind", KINDS)
def test_a_program_that_dies_leaves_what_it_had_heard(tmp_path, kind):
    path = tmp_path / f"dead{kind}"
    code = f"""
import os, numpy as np
from pathlib import Path
from realtime.intake import Heard
from realtime.sinks.recording import RecordingSink
samples = (np.random.default_rng(0).integers(-32768, 32768, 100_000) / 32768).astype(np.float32)
sink = RecordingSink(Path({str(path)!r}))
for start in range(0, len(samples), 320):
    block = samples[start : start + 320]
    sink.hear(Heard(start, block, start + len(block)))
os._exit(7)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT).returncode == 7
    samples = heard_from(path)
    assert len(samples) > 100_000 - (RATE_HZ if kind == ".wav" else RATE_HZ // 2)
    np.testing.assert_array_equal(samples, noise(100_000)[: len(samples)])
    assert read_labels(path.with_suffix(".csv")) == ()


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_told_and_what_came_before_is_there(tmp_path, kind):
    pytest.importorskip("resource", reason="this system cannot limit the size of files")
    path = tmp_path / f"full{kind}"
    code = f"""
import resource, numpy as np
from pathlib import Path
from engines.errors import OutputError
from realtime.intake import Heard
from realtime.sinks.recording import RecordingSink
resource.setrlimit(resource.RLIMIT_FSIZE, (150_001, 150_001))
samples = (np.random.default_rng(0).integers(-32768, 32768, 100_000) / 32768).astype(np.float32)
sink = RecordingSink(Path({str(path)!r}))
try:
    for start in range(0, len(samples), 320):
        block = samples[start : start + 320]
        sink.hear(Heard(start, block, start + len(block)))
except OutputError as error:
    print(error)
sink.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert f"{path} cannot be written" in done.stdout
    samples = heard_from(path)
    np.testing.assert_array_equal(samples, noise(100_000)[: len(samples)])
    if kind == ".wav":
        assert len(samples) == (150_001 - 94) // 4
    else:
        assert len(samples) > 40_000


class _FullDisk(io.BytesIO):
    room = 94

    def write(self, content):
        end = self.tell() + len(content)
        if self.tell() >= self.room:
            raise OSError(28, "No space left on device")
        return super().write(content[: max(0, len(content) - max(0, end - self.room))])

    def close(self):
        self.kept = self.getvalue()
        super().close()


def test_the_header_tells_what_a_full_disk_has_kept():
    disk = _FullDisk()
    writer = WavWriter(disk, "night.wav")
    disk.room = 94 + 4 * 1001 + 2
    with pytest.raises(OutputError, match=r"night.wav cannot be written \(No space left on device\)"):
        writer.write(noise(5000))
    writer.close()
    back, _ = soundfile.read(io.BytesIO(disk.kept), dtype="float32")
    np.testing.assert_array_equal(back, noise(5000)[:1001])


def test_more_than_four_gigabytes_are_one_file(tmp_path):
    path = tmp_path / "long.wav"
    n_samples = 2**30 + 5
    with path.open("wb") as file:
        file.write(wav_header(n_samples))
        # A hole: nothing is written for it.
        file.truncate(94 + 4 * n_samples)
    info = soundfile.info(path)
    assert (info.frames, info.format, info.subtype) == (n_samples, "RF64", "FLOAT")
    assert len(wav_header(0)) == len(wav_header(n_samples)) == 94


def test_labels_are_there_as_soon_as_a_phase_is_complete(tmp_path):
    path = tmp_path / "a.wav"
    sink = RecordingSink(path)
    sink.hear(piece(0, noise(16_000)))
    sink.show(began(Phase.INHALE, 4_000), STATUS)
    sink.show(began(Phase.EXHALE, 12_000), STATUS)
    first = PhaseInterval(4_000, 12_000, Phase.INHALE)
    assert read_labels(path.with_suffix(".csv")) == (first,)
    sink.hear(piece(16_000, noise(16_000)))
    sink.show(began(Phase.NONE, 20_000), STATUS)
    sink.show(began(Phase.INHALE, 26_001), STATUS)
    sink.close()
    sink.close()
    intervals = (
        first,
        PhaseInterval(12_000, 20_000, Phase.EXHALE),
        PhaseInterval(26_001, 32_000, Phase.INHALE),
    )
    assert read_labels(path.with_suffix(".csv")) == read_labels(path.with_suffix(".txt")) == intervals
    assert path.with_suffix(".txt").read_text().splitlines()[0] == "0.250000\t0.750000\tinhale"


def test_labels_leave_out_what_nobody_heard_and_never_overlap(tmp_path):
    path = tmp_path / "a.wav"
    sink = RecordingSink(path)
    sink.hear(piece(0, noise(16_000)))
    sink.show(began(Phase.INHALE, 4_000), STATUS)
    sink.report(Gap(10_000, 10_400, "this machine was too busy"))
    sink.report(Gap(16_000, 48_000, "device lost"))
    sink.hear(piece(48_000, noise(32_000)))
    # Believed to have begun within the gap, and the next one even earlier.
    sink.show(began(Phase.EXHALE, 40_000), STATUS)
    sink.show(began(Phase.INHALE, 39_000), STATUS)
    sink.show(began(Phase.EXHALE, 60_000), STATUS)
    sink.close()
    assert read_labels(path.with_suffix(".csv")) == (
        PhaseInterval(4_000, 16_000, Phase.INHALE),
        PhaseInterval(48_000, 60_000, Phase.INHALE),
        PhaseInterval(60_000, 80_000, Phase.EXHALE),
    )


def test_a_phase_from_before_a_gap_is_labelled_again_once_it_has_been_heard(tmp_path):
    """The first window after a gap is complete a second later; until then nothing says that it goes on."""
    for name, lasts, labelled in (("on", 70_000, [(64_000, 70_000)]), ("over", 60_000, [])):
        path = tmp_path / f"{name}.wav"
        sink = RecordingSink(path)
        sink.hear(piece(0, noise(16_000)))
        sink.show(began(Phase.INHALE, 4_000), STATUS)
        sink.report(Gap(16_000, 48_000, "device lost"))
        sink.hear(piece(48_000, noise(32_000)))
        sink.show(began(Phase.NONE, lasts), STATUS)
        sink.close()
        intervals = [PhaseInterval(start, end, Phase.INHALE) for start, end in [(4_000, 16_000), *labelled]]
        assert read_labels(path.with_suffix(".csv")) == tuple(intervals)


@pytest.mark.parametrize("suffix", [".wav", ".txt", ".csv"])
def test_nothing_is_ever_overwritten(tmp_path, suffix):
    other = tmp_path / f"night{suffix}"
    other.write_text("yesterday")
    with pytest.raises(ConfigError, match="is there already"):
        RecordingSink(tmp_path / "night.wav")
    assert [file.name for file in tmp_path.iterdir()] == [other.name]
    assert other.read_text() == "yesterday"


def test_nothing_heard_leaves_nothing_behind(tmp_path):
    RecordingSink(tmp_path / "night.wav").close()
    assert not list(tmp_path.iterdir())


def test_a_folder_gives_the_name_and_other_names_are_refused(tmp_path):
    at = datetime(2026, 3, 1, 22, 5, 9)
    assert recording_path(str(tmp_path), at) == tmp_path / "breath-2026-03-01-220509.wav"
    assert recording_path("night.FLAC", at) == Path("night.FLAC")
    with pytest.raises(ConfigError, match=r"must end in \.wav or \.flac"):
        recording_path("night.mp3", at)


def test_what_is_tapped_is_what_the_windows_hold():
    pieces = []
    source = DemoSource(4.0, pace=0)
    intake = Intake(source, 1600, tap=pieces.append)
    sound = np.concatenate([block.samples for block in source.blocks()])
    windows = intake.push(Block(0, sound[:20_000]))
    windows += intake.push(Block(25_000, sound[25_000:]))
    windows += intake.finish()
    tape = np.zeros(len(sound), np.float32)
    for heard in pieces:
        tape[heard.start_sample : heard.start_sample + len(heard.samples)] = heard.samples
    for window in windows:
        np.testing.assert_array_equal(window.samples, tape[window.end_sample - 16_000 : window.end_sample])
    assert [heard.newest_sample for heard in pieces if len(heard.samples)] == [20_000, len(sound)]


def live(*args):
    return CliRunner().invoke(cli, [str(arg) for arg in args], prog_name="breath-live")


@pytest.fixture
def _settings(clean_environment, monkeypatch, tiny_pack):
    monkeypatch.setenv("BREATH_PACK", str(tiny_pack))


@pytest.mark.usefixtures("_settings")
@pytest.mark.parametrize("kind", KINDS)
def test_a_recording_is_replayed_as_it_was_heard(tmp_path, kind):
    path = tmp_path / f"session{kind}"
    frames = tmp_path / "frames.csv"
    done = live("demo", "--pace", 0, "--seconds", 12, "--record", path, "--frames", frames)
    assert done.exit_code == 0, done.stderr
    again = live("replay", path, "--frames", "-")
    before, after = (list(csv.reader(io.StringIO(text))) for text in (frames.read_text(), again.stdout))
    if kind == ".wav":
        assert after == before
    else:
        # Rounded to 24 bits.
        assert [row[::2] for row in after] == [row[::2] for row in before]
    labels = read_labels(path.with_suffix(".csv"))
    assert {interval.phase for interval in labels} == {Phase.INHALE, Phase.EXHALE}
    assert labels == read_labels(path.with_suffix(".txt"))
    (stream,) = find_streams(tmp_path)
    assert (stream.sound, stream.truth) == (path, labels)


@pytest.mark.usefixtures("_settings")
def test_a_recording_stays_apart_from_everything_else(tmp_path):
    source = tmp_path / "source.wav"
    soundfile.write(source, noise(32_000), RATE_HZ)
    before = source.read_bytes()
    for args, words in [
        (["replay", source, "--record", source], "is there already"),
        (["replay", source, source, "--record", tmp_path / "a.wav"], "one by one"),
        (["replay", source, "--record", tmp_path / "a.wav", "--frames", tmp_path / "a.csv"], "belongs to"),
        (["replay", source, "--record", tmp_path / "a.wav", "--breaths", tmp_path / "a.csv"], "belongs to"),
        (["replay", source, "--record", tmp_path / "a.ogg"], "must end in"),
    ]:
        result = live(*args)
        assert result.exit_code == 2
        assert words in result.stderr
    missing = live("replay", source, "--record", tmp_path / "none" / "a.wav")
    assert missing.exit_code == 6
    assert live("replay", source, "--record", tmp_path / "b.wav", "--pack", "none").exit_code == 4
    assert source.read_bytes() == before
    assert {file.name for file in tmp_path.iterdir()} <= {"source.wav", "configuration"}


def test_what_was_opened_is_closed_when_the_next_file_cannot_be(tmp_path, monkeypatch):
    opened = []

    class OnlyOne(LineOutput):
        def __init__(self, target):
            if opened:
                raise OutputError("no more files")
            super().__init__(target)
            self.is_closed = False
            opened.append(self)

        def close(self):
            self.is_closed = True
            super().close()

    monkeypatch.setattr("realtime.sinks.recording.LineOutput", OnlyOne)
    with pytest.raises(OutputError, match="no more files"):
        RecordingSink(tmp_path / "night.wav")
    assert opened[0].is_closed
    assert not list(tmp_path.iterdir())


def test_labels_that_cannot_be_closed_keep_nothing_else_open(tmp_path, monkeypatch):
    closed = []

    class Failing(LineOutput):
        def close(self):
            super().close()
            closed.append(self.name)
            raise OutputError(f"{self.name} cannot be closed")

    monkeypatch.setattr("realtime.sinks.recording.LineOutput", Failing)
    sink = RecordingSink(tmp_path / "night.wav")
    sink.hear(piece(0, noise(1000)))
    with pytest.raises(OutputError, match="cannot be closed"):
        sink.close()
    assert len(closed) == 2
