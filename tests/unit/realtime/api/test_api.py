"""The Python API: light to import, and saying what breath-live says. The engine is real."""

import asyncio
import json
import logging
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import realtime
from engines.errors import AudioFileError, ConfigError, PackError, RateUnsupportedError
from realtime import Detector, Frame, Gap, Health, Phase, PhaseEvent
from realtime.api.shared_engine import SharedEngine
from realtime.cli import cli
from realtime.sound.demo import DemoSource
from realtime.wire import json_from_event

PROJECT = Path(__file__).resolve().parents[4]
HEAVY = {"numpy", "torch", "onnxruntime", "sounddevice", "soundfile", "soxr", "msgspec", "click", "rich"}


@pytest.fixture(scope="module")
def detector(tiny_pack):
    with Detector(pack=tiny_pack, n_threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def breathing():
    """Eight seconds of the demo breather at 16 kHz, (n,) float32."""
    return np.concatenate([block.samples[:, 0] for block in DemoSource(8.0, seed=2, pace=0).blocks()])


@pytest.fixture(scope="module")
def recording(tmp_path_factory, breathing):
    """The same at 44.1 kHz in two channels, with four seconds of clipping sound behind it."""
    path = tmp_path_factory.mktemp("sound") / "breath.wav"
    loud = np.sign(np.sin(np.arange(4 * 44_100) / 9.0)).astype(np.float32)
    mono = np.concatenate([soxr.resample(breathing, 16_000, 44_100), loud])
    soundfile.write(path, np.stack([mono, mono], axis=1), 44_100, subtype="FLOAT")
    return path


@pytest.fixture
def replayed(recording, tiny_pack, tmp_path, clean_environment):
    """Lines of `breath-live replay --events` of the recording."""
    events = tmp_path / "events.jsonl"
    arguments = ["replay", str(recording), "--pack", str(tiny_pack), "--events", str(events)]
    result = CliRunner().invoke(cli, arguments, prog_name="breath-live")
    assert result.exit_code == 0, result.output
    return events.read_text().splitlines()


def lines(events):
    return [json_from_event(event) for event in events]


def test_importing_the_package_loads_nothing_heavy_until_a_name_is_asked_for():
    code = (
        "import sys, realtime\n"
        f"heavy = {HEAVY!r}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
        "realtime.Phase\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
        "realtime.Detector\n"
        "print(sorted({'torch', 'onnxruntime', 'sounddevice'} & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.splitlines() == ["[]"] * 3, done.stderr


def test_the_package_names_what_it_offers():
    assert set(realtime.__all__) <= set(dir(realtime))
    for name in realtime.__all__:
        assert getattr(realtime, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Detektor'"):
        realtime.Detektor  # noqa: B018


def test_a_file_gives_the_events_of_a_replay(detector, recording, replayed):
    events = list(detector.file(recording))
    assert lines(events) == replayed
    kinds = {type(event) for event in events}
    assert {PhaseEvent, Health} <= kinds


def test_pushed_arrays_give_the_events_of_a_replay(detector, recording, replayed):
    samples, rate_hz = soundfile.read(recording, dtype="float32")
    stream = detector.stream(rate_hz, n_channels=2)
    events = []
    for start in range(0, len(samples), 3001):
        events += stream.push(samples[start : start + 3001])
    assert stream.summary.heard_s > 11
    events += stream.finish()
    assert lines(events) == replayed
    # Finished is as new.
    assert lines([*stream.push(samples), *stream.finish()]) == replayed


def test_finishing_gives_what_the_resampler_held_back(detector, recording):
    samples, rate_hz = soundfile.read(recording, dtype="float32")
    stream = detector.stream(rate_hz, n_channels=2, with_frames=True)
    stream.push(samples)
    (frame,) = stream.finish()
    assert frame.end_sample == 12 * 16_000
    assert stream.finish() == []


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 128_000), max_size=6))
def test_the_cuts_do_not_matter(detector, breathing, cuts):
    whole = detector.stream(16_000, with_frames=True)
    pieces = detector.stream(16_000, with_frames=True)
    heard = [said for piece in np.split(breathing, sorted(cuts)) for said in pieces.push(piece)]
    assert heard == whole.push(breathing)


def test_integers_are_full_scale_at_their_range(detector, breathing):
    as_int16 = np.round(breathing * 32768).astype(np.int16)
    as_floats = as_int16.astype(np.float64) / 32768
    one, other = (detector.stream(16_000, with_frames=True) for _ in range(2))
    said = one.push(as_int16)
    assert said == other.push(as_floats)
    assert said == detector.stream(16_000, with_frames=True).push(as_int16.astype(">i2"))


def test_lost_samples_are_a_gap_in_the_time_of_the_stream(detector, breathing):
    stream = detector.stream(16_000, with_frames=True)
    stream.push(breathing[:32_000])
    said = stream.push(breathing[32_000:64_000], n_lost=8_000)
    (gap,) = [item for item in said if isinstance(item, Gap)]
    assert (gap.from_sample, gap.to_sample) == (32_000, 40_000)
    frames = [item for item in said if isinstance(item, Frame)]
    assert frames[0].end_sample == 40_000 + 16_000
    assert stream.summary.lost_samples == 8_000


def test_reset_forgets(detector, breathing):
    stream = detector.stream(16_000, with_frames=True)
    first = stream.push(breathing)
    stream.reset()
    assert stream.push(breathing) == first


def test_rates_and_counts_may_be_whole_numbers_of_any_kind(detector, breathing):
    streams = [detector.stream(rate_hz) for rate_hz in (16_000, 16_000.0, np.int64(16_000))]
    said = [stream.push(breathing, n_lost=np.int64(7)) for stream in streams]
    assert said[0] == said[1] == said[2]
    assert len({stream.state() for stream in streams}) == 1
    with pytest.raises(ConfigError, match="rate_hz must be a whole number"):
        detector.stream(44_100.5)
    with pytest.raises(ConfigError, match="n_lost must be a whole number"):
        streams[0].push(breathing, n_lost=0.5)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_lengths_that_cannot_be_are_refused(detector, tmp_path, seconds):
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)
    with pytest.raises(ConfigError, match="seconds must be a number above 0"):
        detector.file(tmp_path / "a.wav", seconds=seconds)
    with pytest.raises(ConfigError, match="seconds must be a number above 0"):
        detector.demo(seconds=seconds)


def test_what_only_the_command_line_does_is_refused(tiny_pack):
    with pytest.raises(ConfigError, match=r"settings: events, record can be told to breath-live only"):
        Detector(pack=tiny_pack, settings={"record": "x.wav", "events": "x.jsonl"})


def test_what_is_pushed_and_is_no_sound_is_a_warning_once(detector, caplog):
    stream = detector.stream(16_000)
    with caplog.at_level(logging.WARNING, logger="realtime"):
        for _ in range(2):
            stream.push(np.full(1600, np.nan))
    assert caplog.text.count("1600 samples that were pushed are no finite numbers") == 1


def test_settings_may_be_numbers_of_numpy(tiny_pack):
    with Detector(pack=tiny_pack, hop_s=np.float64(0.2), n_threads=np.int64(1)) as detector:
        assert (detector.config.hop_s, detector.config.n_threads) == (0.2, 1)


def test_seeds_and_kinds_that_cannot_be_are_refused(detector):
    with pytest.raises(ConfigError, match="seed"):
        detector.demo(seed=-1)
    with pytest.raises(ConfigError, match="seed must be a whole number"):
        detector.demo(seed=1.5)
    with pytest.raises(ConfigError, match="takes the class"):
        detector.on("Breath", print)
    with pytest.raises(ConfigError, match="takes a function"):
        detector.on(Frame, None)

    async def later(frame):
        pass

    with pytest.raises(ConfigError, match="would never run"):
        detector.on(Frame, later)


@pytest.mark.parametrize("name", ["seconds", "pace"])
def test_texts_are_no_numbers(detector, tmp_path, name):
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)
    with pytest.raises(ConfigError, match=f"{name} must be a number, not '3'"):
        detector.file(tmp_path / "a.wav", **{name: "3"})
    with pytest.raises(ConfigError, match=f"{name} must be a number, not '3'"):
        detector.demo(**{name: "3"})


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(10, complex), "is no sound"),
        (np.zeros(10, np.uint8), "is no sound"),
        (np.zeros((2, 2, 2)), "is no sound"),
        (np.zeros((10, 2)), "have 2 channels, the stream has 1"),
        ([[1.0], [1.0, 2.0]], "is no sound"),
    ],
)
def test_what_is_no_sound_is_refused(detector, array, words):
    with pytest.raises(ConfigError, match=words):
        detector.stream(16_000).push(array)


def test_no_samples_and_samples_that_are_no_numbers_do_no_harm(detector, breathing):
    stream = detector.stream(16_000, with_frames=True)
    assert stream.push(np.zeros(0)) == []
    bad = breathing.copy()
    bad[100:200] = np.nan
    assert all(np.isfinite(said.prob_exhale) for said in stream.push(bad) if isinstance(said, Frame))


def test_frames_come_before_the_event_they_bring(detector, recording):
    said = list(detector.file(recording, with_frames=True, seconds=8))
    events = [item for item in said if isinstance(item, PhaseEvent)]
    assert events
    for event in events:
        before = [item for item in said[: said.index(event)] if isinstance(item, Frame)][-1]
        assert (before.end_sample, before.phase) == (event.reported_sample, event.phase)
    assert [item for item in said if isinstance(item, Frame)][-1].end_sample == 8 * 16_000


def test_callbacks_are_called_with_their_kind_until_they_are_ended(detector, recording):
    events, frames = [], []
    ends = [detector.on(PhaseEvent, events.append), detector.on(Frame, frames.append)]
    summary = detector.file(recording).run()
    for end in ends:
        end()
        end()
    n_phases = len([event for event in events if event.phase is not Phase.NONE])
    assert n_phases == summary.n_inhalations + summary.n_exhalations > 0
    assert len(frames) == summary.n_windows
    assert events == [item for item in detector.file(recording) if isinstance(item, PhaseEvent)]
    assert len(frames) == summary.n_windows


def test_what_a_callback_raises_reaches_the_caller(detector, recording):
    def fail(event):
        raise LookupError(event.phase)

    end = detector.on(PhaseEvent, fail)
    listening = detector.file(recording)
    with pytest.raises(LookupError):
        listening.run()
    end()


def test_what_a_callback_raises_costs_no_sound(detector, breathing):
    whole = detector.stream(16_000).push(breathing)
    stream = detector.stream(16_000)
    n_called = []

    def fail(event):
        n_called.append(event)
        raise LookupError(event.phase)

    end = detector.on(PhaseEvent, fail)
    with pytest.raises(LookupError):
        stream.push(breathing[:-1_600])
    end()
    assert len(n_called) > 1
    assert stream.push(breathing[-1_600:]) == whole


def test_what_a_callback_raised_does_not_outlive_a_reset(detector, breathing):
    def fail(event):
        raise LookupError(event.phase)

    stream = detector.stream(16_000)
    whole = stream.push(breathing)
    end = detector.on(PhaseEvent, fail)
    # As when the engine fails after it, in the same piece of sound.
    stream._collector.report(whole[0])
    stream.reset()
    stream._collector.report(whole[0])
    with pytest.raises(LookupError):
        stream.finish()
    end()
    assert stream.push(breathing) == whole


def test_an_asynchronous_loop_gets_the_same_and_others_run_meanwhile(detector, recording):
    async def hear():
        ticks = 0
        is_over = False

        async def tick():
            nonlocal ticks
            while not is_over:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        said = [item async for item in detector.file(recording, with_frames=True)]
        is_over = True
        await ticking
        return said, ticks

    said, ticks = asyncio.run(hear())
    assert said == list(detector.file(recording, with_frames=True))
    assert ticks > len(said)


def test_two_can_be_heard_at_the_same_time(detector, recording):
    async def hear():
        return [item async for item in detector.file(recording)]

    async def both():
        return await asyncio.gather(hear(), hear())

    one, other = asyncio.run(both())
    assert one == other == list(detector.file(recording))


@pytest.mark.parametrize("n_listeners", [1, 3])
def test_a_program_ends_while_daemon_threads_listen(tiny_pack, n_listeners):
    code = (
        "import sys, threading, time\n"
        "from realtime import Detector\n"
        "detector = Detector(pack=sys.argv[1])\n"
        "def listen():\n"
        "    for _ in detector.demo(pace=0): pass\n"
        f"for _ in range({n_listeners}): threading.Thread(target=listen, daemon=True).start()\n"
        "time.sleep(1)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_pack)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_one_thread_at_a_time_is_let_into_the_engine_and_none_at_the_end():
    class Slow:
        name = "slow"
        inside = most = 0

        def infer(self, windows):
            self.inside += 1
            self.most = max(self.most, self.inside)
            time.sleep(0.01)
            self.inside -= 1

        def close(self):
            assert not self.inside

    slow = Slow()
    shared = SharedEngine(slow)
    threads = [threading.Thread(target=shared.infer, args=(None,), daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert slow.most == 1
    shared.close()
    shared.bar()
    late = threading.Thread(target=shared.infer, args=(None,), daemon=True)
    late.start()
    late.join(0.2)
    assert late.is_alive()


def test_a_cancelled_task_closes_its_source(detector):
    listening = detector.demo(pace=1.0, with_frames=True)

    async def hear():
        async for _ in listening:
            pass

    async def cancel():
        task = asyncio.create_task(hear())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert listening not in detector._listenings
    assert listening._source.is_closed


@pytest.mark.parametrize("how", ["stop", "close", "break"])
def test_a_listening_can_be_ended_in_the_middle(detector, how):
    listening = detector.demo(pace=0, with_frames=True)
    n_heard = 0
    for _ in listening:
        n_heard += 1
        if how == "break":
            break
        getattr(listening, how)()
    assert n_heard == 1
    assert listening._source.is_closed
    assert detector._listenings == []


def test_a_listening_is_heard_once(detector, recording):
    listening = detector.file(recording, seconds=1)
    list(listening)
    with pytest.raises(ConfigError, match="already"):
        list(listening)


def test_a_detector_closes_what_is_open(tiny_pack, recording):
    with Detector(pack=tiny_pack, n_threads=1) as detector:
        listening = detector.file(recording)
    assert listening._source.is_closed
    detector.close()


def test_a_recording_that_is_cut_off_is_a_warning(detector, recording, tmp_path, caplog):
    cut = tmp_path / "cut.wav"
    cut.write_bytes(recording.read_bytes()[:-200_000])
    with caplog.at_level(logging.WARNING, logger="realtime"):
        assert list(detector.file(cut))
    assert "cut off" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"hop_s": 7.0}, ConfigError, r"Detector\(hop_s=...\): hop_s must be a number from 0.01 to 1 s"),
        ({"engine": "tpu"}, ConfigError, "engine must be one of auto"),
        ({"settings": {"presence.gate_dbfz": -50}}, ConfigError, "did you mean"),
        ({"pack": "nowhere"}, PackError, "no model pack at nowhere"),
        ({"pack": 7}, ConfigError, "pack must be a folder"),
        ({"settings": ["hop_s"]}, ConfigError, "settings must be a dictionary"),
        ({"config_file": "nowhere.toml"}, ConfigError, "nowhere.toml cannot be read"),
    ],
)
def test_a_detector_that_cannot_be_says_why(arguments, error, words, tiny_pack):
    with pytest.raises(error, match=words):
        Detector(**({"pack": tiny_pack} | arguments))


def test_a_file_or_a_rate_that_cannot_be_says_why(detector, tiny_pack, recording):
    with pytest.raises(AudioFileError, match=r"no file none\.wav"):
        detector.file("none.wav")
    for no_path in (None, b"night.wav", "night\0.wav"):
        with pytest.raises(ConfigError):
            detector.file(no_path)
    with pytest.raises(RateUnsupportedError):
        detector.stream(1_000)
    with pytest.raises(ConfigError, match="impossible"):
        detector.stream(16_000, n_channels=0)
    with Detector(pack=tiny_pack, channel=5) as fifth, pytest.raises(ConfigError, match="no channel 5"):
        fifth.file(recording)


def test_a_channel_of_the_file_is_for_sound_of_several(tiny_pack, recording, tmp_path):
    file = tmp_path / "breath.toml"
    file.write_text("channel = 5\n")
    with Detector(pack=tiny_pack, config_file=file) as detector:
        assert list(detector.demo(2.0, pace=0, with_frames=True))
        detector.stream(16_000)
        with pytest.raises(ConfigError, match="no channel 5"):
            detector.stream(16_000, n_channels=2)
        with pytest.raises(ConfigError, match="no channel 5"):
            detector.file(recording)


def test_neither_variables_nor_the_users_file_change_a_program(tiny_pack, clean_environment, monkeypatch):
    (clean_environment / "breath").mkdir(parents=True)
    (clean_environment / "breath" / "breath.toml").write_text("hop_s = 0.7\n")
    monkeypatch.setenv("BREATH_HOP_S", "0.6")
    with Detector(pack=tiny_pack) as detector:
        assert detector.config.hop_s == 0.1
    file = clean_environment / "breath" / "breath.toml"
    with Detector(pack=tiny_pack, config_file=file, settings={"channel": 0}) as detector:
        assert (detector.config.hop_s, detector.config.channel) == (0.7, 0)
    file.write_text('pack = "nowhere"\nengine = "tensorrt"\n')
    with pytest.raises(PackError, match="nowhere"):
        Detector(config_file=file)
    with Detector(pack=tiny_pack, engine="auto", config_file=file) as detector:
        assert (detector.config.pack, detector.config.engine) == (str(tiny_pack), "auto")


def test_events_are_plain_facts(detector, recording):
    event = next(iter(detector.file(recording)))
    assert json.loads(json_from_event(event))["event"] in ("phase", "health", "breath")
    assert event == type(event)(**vars(event))


def test_floats_beyond_our_precision_are_taken_as_zeros(detector, breathing):
    huge, zero = breathing.astype(np.float64), breathing.copy()
    huge[20_000:20_010], zero[20_000:20_010] = 1e300, 0.0
    one, other = (detector.stream(16_000, with_frames=True) for _ in range(2))
    assert one.push(huge[:40_000]) == other.push(zero[:40_000])


def test_a_gap_without_sound_is_told_at_once_and_once(detector, breathing):
    one, other = (detector.stream(16_000, with_frames=True) for _ in range(2))
    said = [*one.push(breathing[:40_000]), *one.push(breathing[:0], n_lost=8_000)]
    (gap,) = [item for item in said if isinstance(item, Gap)]
    assert (gap.from_sample, gap.to_sample) == (40_000, 48_000)
    said += [*one.push(breathing[40_000:90_000]), *one.finish()]
    expected = [*other.push(breathing[:40_000]), *other.push(breathing[40_000:90_000], n_lost=8_000)]
    assert said == [*expected, *other.finish()]
