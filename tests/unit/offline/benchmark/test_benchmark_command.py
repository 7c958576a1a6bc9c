"""`breath-offline benchmark` from flags to files, with a tiny pack and few windows."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from offline.benchmark import measurement as running
from offline.benchmark.result import BenchmarkResult, BenchmarkSettings
from offline.benchmark.text import EXPLANATION, WHOLE
from offline.cli import main

# The first call of librosa compiles for long, on a busy machine for minutes.
pytestmark = pytest.mark.timeout(900)

PNG = b"\x89PNG\r\n"
FEW = {"n_windows": 12, "seconds": 0.0, "n_warm_up": 1, "idle_s": 0.4, "stream_s": 0.2}
PERCENTILES = {"min", "mean", "p50", "p90", "p95", "p99", "max", "cv", "n", "per_s"}
STAGES = ["window", "features", "cnn8", "vgg", "fusion", "decision"]


@pytest.fixture
def few_windows(monkeypatch):
    """The command as it is, but for the numbers that make it take long; what was asked for is kept."""
    asked = []
    whole = running.run_benchmark

    def run_benchmark(pack, settings, progress, machine=None):
        asked.append(settings)
        return whole(pack, replace(settings, **FEW), progress, machine)

    monkeypatch.setattr(running, "run_benchmark", run_benchmark)
    return asked


def run(*flags):
    return CliRunner().invoke(main, ["benchmark", *map(str, flags)])


@pytest.fixture(scope="module")
def result(tiny_pack):
    """One run with everything but a GPU in it."""
    from contextlib import nullcontext

    from engines.pack import load_pack

    settings = BenchmarkSettings(
        ("onnxruntime", "auto"), is_against_reference=True, streams=2, n_threads=1, **FEW
    )
    show = nullcontext(lambda _n_done, _n_all: None)
    return running.run_benchmark(load_pack(tiny_pack), settings, lambda _what: show)


@pytest.mark.usefixtures("one_thread")
def test_a_run_against_the_reference_holds_every_figure(result: BenchmarkResult, tiny_pack):
    content = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert set(content["engines"]) == {"onnxruntime"}, "auto is the same one, and runs once"
    engine = content["engines"]["onnxruntime"]
    assert set(engine["hop_ms"]) == PERCENTILES
    assert engine["windows"] == engine["hop_ms"]["n"] == 12
    assert list(engine["stages_ms"]) == STAGES
    assert all(set(stage) == PERCENTILES for stage in engine["stages_ms"].values())
    assert content["reference"]["windows"] == 2
    assert list(content["reference"]["stages_ms"]) == STAGES
    ratio = content["reference"]["hop_ms"]["p50"] / engine["hop_ms"]["p50"]
    assert engine["speedup_vs_reference"] == content["speedup_vs_reference"] == pytest.approx(ratio)
    assert engine["streams"]["streams"] == 2
    assert engine["streams"]["carried"] in (0, 2)
    assert engine["idle"]["hop_ms"]["n"] >= 1
    assert 0 <= engine["idle"]["cpu_s_per_s_between_hops"] <= engine["idle"]["cpu_s_per_s"]
    assert content["pack"]["name"] == "tiny"
    assert len(content["pack"]["sha256"]) == 64
    assert content["settings"]["hop_s"] == 0.1
    assert content["machine"]["cpu"]
    assert {"python", "numpy", "onnxruntime", "torch"} <= set(content["versions"])


def test_few_windows_are_warned_of(result):
    texts = [*result.first.warnings, *result.reference.warnings]
    assert any("only 12 windows" in text for text in texts)
    assert any("only 2 windows" in text for text in texts)


def test_the_figure_is_a_png(result):
    from offline.benchmark.plot import png_from_result

    assert png_from_result(result).startswith(PNG)


@pytest.mark.usefixtures("clean_environment")
def test_the_command_prints_tables_and_writes_both_files(few_windows, tiny_pack, tmp_path):
    paths = tmp_path / "b.json", tmp_path / "b.png"
    flags = ("--pack", tiny_pack, "--engine", "onnxruntime", "--threads", 1, "--streams", "auto")
    shown = run(*flags, "--hop", 0.02, "--json", paths[0], "--plot", paths[1], "--explain")
    assert shown.exit_code == 0, shown.output
    for text in ("onnxruntime", WHOLE, "median", *STAGES, "live session", "live streams", EXPLANATION[:20]):
        assert text in shown.output
    content = json.loads(paths[0].read_text(encoding="utf-8"))
    assert content["settings"]["hop_s"] == 0.02
    assert "speedup_vs_reference" not in content
    assert content["engines"]["onnxruntime"]["streams"]["trials"]
    assert paths[1].read_bytes().startswith(PNG)
    (asked,) = few_windows
    assert (asked.n_windows, asked.seconds, asked.streams, asked.n_threads) == (1024, 10.0, "auto", 1)


@pytest.mark.usefixtures("few_windows", "clean_environment")
def test_standard_output_holds_the_json_and_nothing_else(tiny_pack):
    shown = run("--pack", tiny_pack, "--json", "-")
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["engines"]["onnxruntime"]["hop_ms"]["n"] == 12
    assert WHOLE in shown.stderr


@pytest.mark.parametrize(
    "flags",
    [
        ("--windows", 1023),
        ("--seconds", 9.9),
        ("--hop", 0),
        ("--hop", 1.5),
        ("--streams", 0),
        ("--streams", "many"),
        ("--threads", 0),
        ("--engine", "abacus"),
        ("--against", "everybody"),
    ],
)
def test_flags_that_make_no_sense_are_errors_of_usage(flags):
    shown = run(*flags)
    assert shown.exit_code == 2
    assert str(flags[1]) in shown.output


def test_an_engine_that_cannot_run_here_and_a_pack_that_is_none_end_with_4(tiny_pack, tmp_path):
    shown = run("--pack", tiny_pack, "--engine", "torch")
    assert shown.exit_code == 4
    assert "--engine onnxruntime" in shown.output
    assert run("--pack", tmp_path).exit_code == 4


@pytest.mark.parametrize("flag", ["--json", "--plot"])
def test_a_file_that_cannot_be_written_is_told_of_before_anything_is_measured(flag, tiny_pack, tmp_path):
    place = tmp_path / "nowhere" / "file"
    shown = run("--pack", tiny_pack, flag, place)
    assert shown.exit_code == 6
    assert f"cannot write {place}" in shown.output
    assert not place.parent.exists()


def test_help_names_what_is_measured():
    shown = run("--help")
    assert shown.exit_code == 0
    for flag in (
        "--against",
        "--streams",
        "--hop",
        "--windows",
        "--seconds",
        "--threads",
        "--plot",
        "--explain",
    ):
        assert flag in shown.output


@pytest.mark.parametrize("flag", ["--json", "--plot"])
def test_labels_and_sounds_are_not_overwritten(flag, tiny_pack, tmp_path):
    table = tmp_path / "train.csv"
    table.write_text("file_name,label\na.wav,E\n")
    shown = run("--pack", tiny_pack, flag, table)
    assert shown.exit_code == 2
    assert f"{table} holds labels" in shown.output
    assert table.read_text().endswith("a.wav,E\n")
