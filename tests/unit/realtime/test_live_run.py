"""A run whose sound is brought by whoever looks on, one source after another."""

import gc
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engines.errors import ConfigError, OutputError, PackError
from realtime import Detector, live
from realtime.config import LiveConfig
from realtime.onlooker import Onlooker
from realtime.session import Session
from realtime.sinks.collector import Collector
from realtime.sound.sources import ArraySource


def test_a_session_that_is_over_is_forgotten_but_for_its_summary(tiny_pack, capsys):
    heard = []
    is_forgotten = []

    def sources():
        for number in range(3):
            # The run itself still holds the source that has just ended.
            gc.collect()
            is_forgotten.append([source() is None for source in heard[:-1]])
            source = ArraySource(np.zeros(20_000, np.float32), 16_000, name=f"source {number}")
            heard.append(weakref.ref(source))
            yield source
            del source

    config = LiveConfig(pack=str(tiny_pack), display=False, n_threads=1)
    live.run(config, sources(), onlooker=Onlooker(brings_sound=True))
    assert is_forgotten == [[], [], [True]]
    said = capsys.readouterr().err
    assert [f"source {number}: heard 1.2 s" in said for number in range(3)] == [True] * 3


def test_what_comes_one_after_another_is_not_recorded_as_one(tmp_path):
    config = LiveConfig(record=str(tmp_path / "all.wav"))
    with pytest.raises(ConfigError, match="one after another"):
        live.run(config, iter(()), onlooker=Onlooker(brings_sound=True))
    assert not list(tmp_path.iterdir())


def test_a_folder_called_like_a_shipped_pack_is_meant_where_it_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PackError, match="no model pack at default"):
        live.run(LiveConfig(pack="./default"), iter(()), onlooker=Onlooker(brings_sound=True))
    with pytest.raises(PackError, match="no model pack at /"):
        Detector(pack=Path("default"))


def test_each_session_is_named_in_the_rows(tiny_pack, tmp_path):
    frames = tmp_path / "frames.csv"
    config = LiveConfig(pack=str(tiny_pack), display=False, n_threads=1, frames=str(frames))
    sources = (ArraySource(np.zeros(17_600, np.float32), 16_000, name="page") for _ in range(2))
    live.run(config, sources, onlooker=Onlooker(brings_sound=True))
    rows = [line.split(",") for line in frames.read_text().splitlines()]
    assert rows[0][-1] == "session"
    assert [(row[0], row[-1]) for row in rows[1:]] == [("1.0", "1"), ("1.1", "1"), ("1.0", "2"), ("1.1", "2")]


class Unclosable(Collector):
    """A sink that cannot be closed, and says so."""

    def __init__(self, name, closed):
        super().__init__()
        self.name, self.closed = name, closed

    def close(self):
        self.closed.append(self.name)
        raise OutputError(f"{self.name} cannot be closed")


def test_every_sink_is_closed_whichever_fails(tiny_pack):
    closed = []
    with Detector(pack=tiny_pack, n_threads=1) as detector:
        stream = detector.stream(16_000)
        source = ArraySource(np.zeros(1_000, np.float32), 16_000)
        sinks = [Unclosable(name, closed) for name in ("first", "second")]
        session = Session(source, stream._pipeline, sinks)
        with pytest.raises(OutputError, match="first"):
            session.run()
    assert closed == ["first", "second"]


@pytest.mark.parametrize("outlet", ["frames", "events", "breaths"])
def test_what_was_heard_live_is_never_overwritten(tiny_pack, tmp_path, outlet):
    target = tmp_path / "night"
    target.write_text("")
    config = LiveConfig(pack=str(tiny_pack), display=False, n_threads=1, **{outlet: str(target)})

    def hear(seconds=1.25, **more):
        sound = np.zeros(round(seconds * 16_000), np.float32)
        live.run(config, iter([ArraySource(sound, 16_000)]), **more)

    hear(tells_start=True, seconds=0.5)
    # Nothing but the names of the columns is there, and nothing would be lost.
    hear(tells_start=True)
    rows = {
        "frames": "time_s,prob_exhale,phase\n1.0,0.5,none\n",
        "events": '{"event":"mark"}\n',
        "breaths": "number,\n",
    }
    target.write_text(rows[outlet])
    for notice in ("", "there is no microphone"):
        with pytest.raises(ConfigError, match=f"{outlet}: .*night is there already"):
            hear(tells_start=True, notice=notice)
    assert target.read_text() == rows[outlet]
    # A recording can be heard again.
    hear()
    assert target.read_text() != rows[outlet]
    target.write_text("a thesis")
    with pytest.raises(ConfigError, match=f"{outlet}: .*night is there already and holds something else"):
        hear()
    assert target.read_text() == "a thesis"


def test_no_recording_takes_the_place_of_what_a_microphone_brought(tiny_pack, tmp_path):
    target = tmp_path / "night.jsonl"
    config = LiveConfig(pack=str(tiny_pack), display=False, n_threads=1, events=str(target))

    def hear(**more):
        live.run(config, iter([ArraySource(np.zeros(20_000, np.float32), 16_000)]), **more)

    hear(tells_start=True)
    kept = target.read_text()
    assert kept.startswith('{"event":"start"')
    with pytest.raises(ConfigError, match=r"events: .*jsonl is there already"):
        hear()
    assert target.read_text() == kept
    for other in ("", '{"event":"phase"}\n'):
        target.write_text(other)
        hear()
        assert target.read_text() == ""


def test_a_channel_that_was_chosen_for_a_microphone_does_not_matter_where_there_is_one(tiny_pack, tmp_path):
    frames = tmp_path / "frames.csv"
    config = LiveConfig(
        pack=str(tiny_pack), display=False, n_threads=1, channel=1, seconds=1.5, pace=0.0, frames=str(frames)
    )
    live.demo(config)
    of_demo = frames.read_text()
    assert len(of_demo.splitlines()) == 7
    mono, stereo = tmp_path / "mono.wav", tmp_path / "stereo.wav"
    sound = np.zeros(24_000, np.float32)
    soundfile.write(mono, sound, 16_000)
    soundfile.write(stereo, np.stack([sound, sound, sound], 1), 16_000)
    live.replay(config, [str(mono), str(stereo)])
    with pytest.raises(ConfigError, match=r"there is no channel 1: .*mono\.wav has 1 channel"):
        live.replay(config, [str(mono)], is_channel_asked_for=True)
    with pytest.raises(ConfigError, match=r"there is no channel 3: .*stereo\.wav has 3 channels"):
        live.replay(replace(config, channel=3), [str(stereo)])


def test_what_was_asked_for_when_nobody_was_heard_is_forgotten(tiny_pack, capsys):
    config = LiveConfig(pack=str(tiny_pack), display=False, n_threads=1)
    onlooker = Onlooker(brings_sound=True)

    def sources():
        onlooker.controls.mark()
        onlooker.controls.calibrate()
        yield ArraySource(np.zeros(20_000, np.float32), 16_000)

    live.run(config, sources(), onlooker=onlooker)
    assert "hold your breath" not in capsys.readouterr().err
