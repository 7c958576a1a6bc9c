"""Files and lines: exact formats, and what happens when they cannot be written."""

import csv
import io
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from engines.errors import OutputError
from realtime.events import Apnoea, Breath, Condition, Frame, Gap, Health, Phase, PhaseEvent
from realtime.pipeline import UNHEARD, Step
from realtime.sinks import csv_breaths, csv_frames
from realtime.sinks.base import Status
from realtime.sinks.beginning import Beginning
from realtime.sinks.csv_frames import CsvSink
from realtime.sinks.csv_rows import write_header
from realtime.sinks.jsonl import JsonlSink
from realtime.sinks.lines import LinesSink
from realtime.sinks.output import LineOutput
from realtime.wire import StartMessage

STATUS = Status(2.0, None, 1.0, 2.0, 0, 0)
SILENCE = np.zeros(1600, np.float32)


def step(end_sample, prob_exhale=0.9, phase=Phase.EXHALE, event=None):
    return Step(Frame(end_sample, prob_exhale, phase, prob_exhale, -30.0), event, SILENCE, 0.001)


PROJECT = Path(__file__).resolve().parents[3]
EVENT = PhaseEvent(Phase.INHALE, onset_sample=19200, reported_sample=24000, confidence=0.93)


def test_an_event_is_exactly_the_promised_line(tmp_path):
    path = tmp_path / "events.jsonl"
    output = LineOutput(str(path))
    sink = JsonlSink(output)
    sink.show(step(22400), STATUS)
    sink.show(step(24000, event=EVENT), STATUS)
    # Read before anything is closed: a crash must lose nothing that was shown.
    assert path.read_text() == (
        '{"event":"phase","phase":"inhale","onset_s":1.2,"reported_s":1.5,"confidence":0.93}\n'
    )
    output.close()


CLIPPING = Health(Condition.CLIPPING, True, 48_000, 3.14159, "%")


START = StartMessage(
    source="USB", started_at="", pack="default", pack_sha256="ab", engine="torch", hop_s=0.1, lookahead_s=0.0
)


@pytest.mark.parametrize("first", [None, CLIPPING, Gap(16_000, 32_000, UNHEARD)])
def test_of_a_microphone_the_first_line_tells_when_it_began(tmp_path, first):
    path = tmp_path / "events.jsonl"
    output = LineOutput(str(path))
    sink = JsonlSink(output, session=2, beginning=Beginning(START))
    if first is not None:
        sink.report(first)
    now = datetime.now(UTC)
    sink.show(step(48_000), STATUS)
    sink.show(step(48_000, event=EVENT), STATUS)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    kinds = {Health: ["health"], Gap: ["gap"]}.get(type(first), [])
    assert [line["event"] for line in lines] == ["start", *kinds, "phase"]
    assert (lines[0]["source"], lines[0]["session"], lines[0]["pack_sha256"]) == ("USB", 2, "ab")
    ago = now - datetime.fromisoformat(lines[0]["started_at"])
    assert 2.9 < ago.total_seconds() < 3.5
    output.close()


def test_health_and_gaps_are_exactly_the_promised_lines(tmp_path):
    path = tmp_path / "events.jsonl"
    output = LineOutput(str(path))
    JsonlSink(output).report(CLIPPING)
    JsonlSink(output, "a.wav").report(Gap(16_000, 24_000, "device lost"))
    JsonlSink(output).report(Health(Condition.TOO_QUIET, False, 64_000, -58.0, "dBFS"))
    assert path.read_text() == (
        '{"event":"health","condition":"clipping","state":"begins","time_s":3.0,"value":3.1416,"unit":"%"}\n'
        '{"event":"gap","from_s":1.0,"to_s":1.5,"reason":"device lost","file":"a.wav"}\n'
        '{"event":"health","condition":"too_quiet","state":"ends","time_s":4.0,"value":-58.0,"unit":"dBFS"}\n'
    )
    output.close()


def test_people_who_read_lines_are_told_what_begins_to_be_wrong(capfdbinary):
    sink = LinesSink(None)
    sink.report(CLIPPING)
    sink.report(Health(Condition.CLIPPING, False, 64_000, 0.0, "%"))
    # Of these two the source itself tells more.
    sink.report(Health(Condition.STALLED, True, 64_000, 0.8, "s"))
    sink.report(Gap(16_000, 24_000, "device lost"))
    (line,) = capfdbinary.readouterr().err.decode().splitlines()
    assert line.startswith("breath-live: too loud: 3.1 % of the samples")


def test_frames_are_exactly_the_promised_rows(tmp_path):
    path = tmp_path / "frames.csv"
    output = LineOutput(str(path))
    write_header(output, csv_frames.COLUMNS)
    sink = CsvSink(output)
    sink.show(step(16000, prob_exhale=0.1234567, phase=Phase.NONE), STATUS)
    sink.show(step(17600, prob_exhale=1.0, phase=Phase.EXHALE), STATUS)
    assert path.read_bytes() == (b"time_s,prob_exhale,phase\n1.0,0.123457,none\n1.1,1.000000,exhale\n")
    output.close()


def test_breaths_are_exactly_the_promised_rows(tmp_path):
    path = tmp_path / "breaths.csv"
    output = LineOutput(str(path))
    write_header(output, csv_breaths.COLUMNS, has_file=True)
    sink = csv_breaths.BreathCsvSink(output, "a, b.wav")
    sink.report(Breath(1, 16_000, 32_000, 40_000, 80_000, 96_000, 97_600, 12.0, None, None))
    sink.report(Apnoea(True, 96_000, 300_000))
    sink.report(CLIPPING)
    sink.show(step(300_000, event=EVENT), STATUS)
    sink.report(Breath(2, 96_000, 112_000, 112_000, 150_000, 160_000, 161_600, 13.3, 0.70711, 1.0, 0.87654))
    # Read before anything is closed: a crash must lose no breath.
    assert path.read_text().splitlines() == [
        "number,inhale_onset_s,exhale_onset_s,end_s,reported_s,inhale_s,inhale_pause_s,exhale_s,exhale_pause_s,"
        "cycle_s,ie_ratio,rate_per_min,minute_rate_per_min,sdbb_s,rmssd_s,confidence,file",
        '1,1.0,2.5,6.0,6.1,1.0,0.5,2.5,1.0,5.0,0.4,12.0,12.0,,,,"a, b.wav"',
        '2,6.0,7.0,10.0,10.1,1.0,0.0,2.375,0.625,4.0,0.4211,15.0,13.3,0.7071,1.0,0.8765,"a, b.wav"',
    ]
    output.close()


def test_several_files_are_told_apart_whatever_their_names(tmp_path):
    name = 'a, "b"\nc.wav'
    frames, events = tmp_path / "frames.csv", tmp_path / "events.jsonl"
    frames_output, events_output = LineOutput(str(frames)), LineOutput(str(events))
    write_header(frames_output, csv_frames.COLUMNS, has_file=True)
    CsvSink(frames_output, name).show(step(16000), STATUS)
    JsonlSink(events_output, name).show(step(24000, event=EVENT), STATUS)
    frames_output.close()
    events_output.close()
    rows = list(csv.DictReader(io.StringIO(frames.read_text(), newline="")))
    assert list(rows[0]) == ["time_s", "prob_exhale", "phase", "file"]
    assert rows[0]["file"] == name
    assert json.loads(events.read_text())["file"] == name


def test_a_file_name_that_is_no_text_survives(tmp_path):
    path = tmp_path / "frames.csv"
    output = LineOutput(str(path))
    CsvSink(output, os.fsdecode(b"\xff.wav")).show(step(16000), STATUS)
    output.close()
    assert path.read_bytes().endswith(b",\xff.wav\n")


def test_lines_tell_onset_phase_and_confidence(capfdbinary):
    sink = LinesSink(LineOutput("-"))
    sink.show(step(24000, event=EVENT), STATUS)
    sink.show(step(25600), STATUS)
    sink.notice("something odd")
    written = capfdbinary.readouterr()
    assert written.out == b"    1.200 s  inhale      93 %\n"
    assert written.err == b"breath-live: something odd\n"


def test_without_an_output_lines_are_not_written(capfdbinary):
    sink = LinesSink(None)
    sink.show(step(24000, event=EVENT), STATUS)
    assert capfdbinary.readouterr().out == b""


def test_a_folder_that_is_not_there_is_refused_when_opened(tmp_path):
    with pytest.raises(OutputError, match=r"none/events\.jsonl.*folder"):
        LineOutput(str(tmp_path / "none" / "events.jsonl"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which only Linux has")
def test_a_full_disk_is_reported_once():
    output = LineOutput("/dev/full")
    with pytest.raises(OutputError, match="No space left"):
        output.write_line("something")
    output.close()
    output.close()


def test_sessions_are_told_apart_in_rows(tmp_path):
    frames, breaths = tmp_path / "frames.csv", tmp_path / "breaths.csv"
    frames_output, breaths_output = LineOutput(str(frames)), LineOutput(str(breaths))
    write_header(frames_output, csv_frames.COLUMNS, has_session=True)
    write_header(breaths_output, csv_breaths.COLUMNS, has_session=True)
    for session in (1, 2):
        CsvSink(frames_output, session=session).show(step(16000), STATUS)
        csv_breaths.BreathCsvSink(breaths_output, session=session).report(
            Breath(1, 16_000, 32_000, 40_000, 80_000, 96_000, 97_600, 12.0, None, None)
        )
    frames_output.close()
    breaths_output.close()
    for path in (frames, breaths):
        rows = list(csv.DictReader(io.StringIO(path.read_text(), newline="")))
        assert [row["session"] for row in rows] == ["1", "2"]


class Reluctant:
    """A file that takes three bytes at a time, and every other time nothing for now, as a pipe that is not
    waited for does."""

    def __init__(self):
        self.taken = b""
        self.n_asked = 0

    def write(self, content):
        self.n_asked += 1
        if self.n_asked % 2:
            return None
        self.taken += bytes(content[:3])
        return min(3, len(content))

    def fileno(self):
        raise OSError


def test_a_line_that_the_system_takes_in_parts_is_written_whole(monkeypatch):
    output = LineOutput("-")
    output._file = Reluctant()
    text = "a whole line, \N{GREEK SMALL LETTER ALPHA} to \N{GREEK SMALL LETTER OMEGA}"
    output.write_line(text)
    assert output._file.taken.decode() == text + "\n"


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
@pytest.mark.parametrize("is_unbuffered", [False, True])
def test_a_pipe_that_is_told_not_to_wait_loses_no_line_of_a_recording(is_unbuffered):
    script = """
import os, sys
os.set_blocking(1, False)
from realtime.sinks.output import LineOutput
output = LineOutput("-")
for number in range(40_000):
    output.write_line(f"line {number}")
"""
    command = [sys.executable, *(["-u"] if is_unbuffered else []), "-c", script]
    process = subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    time.sleep(2)  # the pipe is full now
    said, error = process.communicate(timeout=60)
    assert error == ""
    assert said.splitlines() == [f"line {number}" for number in range(40_000)]
