"""What the parity gate hears: edge cases, clips, and cuts of streams with what goes on at their end."""

import json

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from engines.errors import LabelsError
from engines.pack import load_pack
from offline.cli import main
from offline.graphs.build_cpu import build_on_cpu
from offline.graphs.probes import MAX_CUTS, Windows, edge_cases, gate_windows
from offline.streams.files import find_streams
from realtime.events import Phase
from realtime.sound.demo import DemoSource

N_EDGES = len(edge_cases())


def write_stream(folder, name, seconds=6.0, rate_hz=16_000, loud_exhalations=False):
    """Inhalations in odd seconds from 1 on, exhalations in even ones from 2 on, the first second nobody."""
    folder.mkdir(exist_ok=True)
    noise = 0.01 * np.random.default_rng(7).standard_normal(round(seconds * rate_hz))
    phases = [(second, "inhale" if second % 2 else "exhale") for second in range(1, int(seconds))]
    if loud_exhalations:
        for second, phase in phases:
            if phase == "exhale":
                noise[second * rate_hz : (second + 1) * rate_hz] *= 10
    soundfile.write(folder / f"{name}.wav", noise, rate_hz)
    rows = [f"{second},{second + 1},{phase}\n" for second, phase in phases]
    (folder / f"{name}.csv").write_text("start_s,end_s,phase\n" + "".join(rows))
    (folder / f"{name}.json").write_text(json.dumps({"kind": "slow", "is_spliced": True}))
    return folder


@pytest.fixture(scope="module")
def demo_streams(tmp_path_factory):
    """Two streams of the demo breather, whose phases are known."""
    folder = tmp_path_factory.mktemp("streams")
    for seed in (0, 1):
        source = DemoSource(20.0, seed=seed, pace=None)
        sound = np.concatenate([block.samples.reshape(-1) for block in source.blocks()])
        soundfile.write(folder / f"demo-{seed}.wav", sound, 16_000)
        rows = [
            f"{phase.start_sample / 16e3},{min(phase.end_sample, len(sound)) / 16e3},{phase.phase.value}\n"
            for phase in source.phases
            if phase.phase is not Phase.NONE and phase.start_sample < len(sound)
        ]
        (folder / f"demo-{seed}.csv").write_text("start_s,end_s,phase\n" + "".join(rows))
    return folder


def test_alone_the_edge_cases_are_called_made_up():
    windows = gate_windows()
    assert len(windows.samples) == N_EDGES
    assert set(windows.labels) == {-1}
    assert windows.n_made_up == N_EDGES
    assert windows.words == "7 made-up edge cases and no real sound (--data or --streams give some)"


def test_clips_come_with_their_labels(clips):
    windows = gate_windows(clips)
    assert len(windows.labels) == len(windows.samples) == N_EDGES + len(clips)
    assert list(windows.labels[N_EDGES:]) == [clip.label for clip in clips]
    assert windows.words == f"{len(clips)} clips"


def test_cuts_of_a_stream_have_the_phase_at_their_end(tmp_path):
    streams = find_streams(write_stream(tmp_path / "streams", "one"))
    windows = gate_windows(streams=streams)
    assert windows.samples.shape == (N_EDGES + MAX_CUTS, 16_000)
    assert windows.samples.dtype == np.float32
    assert windows.words == "256 windows of 1 spliced stream"
    sound, _ = soundfile.read(streams[0].sound, dtype="float32")
    for number in (0, 100, 255):
        end = 16_000 + round((len(sound) - 16_000) * (number + 0.5) / MAX_CUTS)
        np.testing.assert_array_equal(windows.samples[N_EDGES + number], sound[end - 16_000 : end])
        assert windows.labels[N_EDGES + number] == (0 if (end - 1) // 16_000 % 2 else 1)


def test_where_nobody_breathes_there_is_no_label(tmp_path):
    folder = write_stream(tmp_path / "streams", "one")
    (folder / "one.csv").write_text("start_s,end_s,phase\n2,3,exhale\n")
    labels = gate_windows(streams=find_streams(folder)).labels[N_EDGES:]
    assert set(labels) == {-1, 1}
    assert np.mean(labels == 1) == pytest.approx(1 / 5, abs=0.01)


def test_all_streams_are_cut_and_at_any_rate(tmp_path):
    for number, rate_hz in enumerate((16_000, 44_100, 48_000)):
        write_stream(tmp_path / "streams", f"stream-{number}", rate_hz=rate_hz)
    windows = gate_windows(streams=find_streams(tmp_path / "streams"))
    n_each = MAX_CUTS // 3
    assert len(windows.labels) == N_EDGES + 3 * n_each
    parts = windows.labels[N_EDGES:].reshape(3, n_each)
    # A recording at another rate may end a sample sooner or later.
    assert np.mean(parts == parts[0]) > 0.98


def test_with_streams_clips_are_heard_but_not_asked_for_their_phase(clips, tmp_path):
    streams = find_streams(write_stream(tmp_path / "streams", "one"))
    windows = gate_windows(clips, streams)
    assert set(windows.labels[N_EDGES : N_EDGES + len(clips)]) == {-1}
    assert set(windows.labels[N_EDGES + len(clips) :]) == {0, 1}
    assert windows.words == f"{len(clips)} clips and 256 windows of 1 spliced stream"


def test_streams_shorter_than_a_window_are_passed_over(tmp_path):
    folder = write_stream(tmp_path / "streams", "short", seconds=0.5)
    with pytest.raises(LabelsError, match="none of these streams lasts a second"):
        gate_windows(streams=find_streams(folder))
    write_stream(folder, "whole")
    assert gate_windows(streams=find_streams(folder)).words.endswith("128 windows of 1 spliced stream")


def test_the_gate_judges_a_live_pack_on_streams(demo_streams):
    some = gate_windows(streams=find_streams(demo_streams))
    few = Windows(some.samples[N_EDGES::8], some.labels[N_EDGES::8], some.words)
    assert set(few.labels) >= {0, 1}
    (parity,) = build_on_cpu(load_pack(), "onnxruntime", few).parities
    assert parity.verdict == "passed"
    assert parity.auc_lost is not None
    assert 0 < parity.mean < 0.02
    assert ", on 256 windows of 2 streams: P differs by" in str(parity)


def test_the_command_takes_streams(demo_streams, monkeypatch):
    monkeypatch.setattr("offline.graphs.probes.MAX_CUTS", 6)
    done = CliRunner().invoke(main, ["build", "--engine", "onnxruntime", "--streams", str(demo_streams)])
    assert done.exit_code == 0, done.output
    assert ", on 6 windows of 2 streams (and 7 made-up edge cases pass): P differs by " in done.stdout
    assert "AUC lost" in done.stdout


def test_a_folder_without_streams_is_refused_before_anything_is_built(tmp_path):
    done = CliRunner().invoke(main, ["build", "--engine", "tensorrt-rtx", "--streams", str(tmp_path)])
    assert done.exit_code == 5
    assert "holds no labelled stream" in done.stderr
