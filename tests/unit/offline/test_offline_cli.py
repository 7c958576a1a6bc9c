import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from engines.errors import AudioFileError, BreathError, ConfigError, EngineMissingError, PackError
from engines.pack import SHIPPED_PACKS
from offline.cli import main
from offline.cli_options import pack_for_clips
from realtime.cli_errors import BreathGroup

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


def run_script(script, *, stdin=None):
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=PROJECT,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_help_names_every_command_and_imports_nothing_heavy():
    script = """
import sys
from offline.cli import main
try:
    main(["--help"])
except SystemExit:
    pass
heavy = {"torch", "soundfile", "sklearn", "matplotlib", "rich", "onnxruntime"} & set(sys.modules)
print("heavy:", sorted(heavy))
"""
    out, _ = run_script(script).communicate(timeout=60)
    for command in ("precompute", "train", "evaluate", "predict", "export"):
        assert f"  {command} " in out
    assert "heavy: []" in out


@pytest.mark.parametrize("command", ["precompute", "train", "evaluate", "predict", "export"])
def test_every_command_explains_itself(run, command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Usage: breath-offline" in result.output


@pytest.mark.parametrize(
    "arguments", [[], ["sing"], ["predict"], ["evaluate", "--data", "x", "--part", "half"]]
)
def test_errors_of_usage_exit_with_2(run, arguments):
    assert run(*arguments).exit_code == 2


def test_evaluate_prints_scores_and_writes_json_and_report(run, clip_folder, toy_pack, tmp_path):
    out, report = tmp_path / "out.json", tmp_path / "report"
    result = run(
        *["evaluate", "--data", clip_folder, "--pack", toy_pack.path, "--draws", 20],
        *["--json", out, "--report", report],
    )
    assert result.exit_code == 0, result.output
    assert "16 clips; days: 1 test, 3 unknown; left out: 2" in result.stdout
    assert "ensemble" in result.stdout
    assert "1.000" in result.stdout
    content = json.loads(out.read_text())
    assert content["signature"]["engine"] == "onnxruntime"
    assert content["signature"]["pack_sha256"] == toy_pack.sha256
    assert (report / "report.html").is_file()


def test_evaluate_writes_nothing_but_json_to_standard_output(run, clip_folder, toy_pack):
    result = run("evaluate", "--data", clip_folder, "--pack", toy_pack.path, "--draws", 5, "--json", "-")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["signature"]["n_clips"] == 16


def test_evaluate_warns_where_it_scores_days_of_training(run, clip_folder, toy_pack):
    result = run("evaluate", "--data", clip_folder, "--pack", toy_pack.path, "--draws", 5, "--part", "all")
    assert result.exit_code == 0, result.output
    assert "warning: 2 of these days were used to train or tune this pack" in result.stderr


def test_predict_writes_either_table(run, clip_folder, toy_pack, tmp_path):
    plain = run("predict", clip_folder / "train", "--csv", "-", "--pack", toy_pack.path)
    assert plain.exit_code == 0, plain.output
    head, first, *_ = plain.stdout.splitlines()
    assert head == "file,prob_exhale,label"
    assert first.startswith(str(clip_folder / "train" / "steth_20190101_09_30_00_000.wav"))
    out = tmp_path / "kaggle.csv"
    kaggle = run("predict", clip_folder, "--csv", out, "--kaggle", "--pack", toy_pack.path)
    assert kaggle.exit_code == 0, kaggle.output
    assert out.read_text().splitlines()[:3] == [
        "ID,Target",
        "steth_20190101_09_30_00_000.wav,E",
        "steth_20190101_09_30_00_001.wav,I",
    ]


def test_predict_stops_at_a_bad_file_and_leaves_the_old_table(run, clip_folder, toy_pack, tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("old")
    (clip_folder / "bad.wav").write_text("no sound")
    result = run("predict", clip_folder, "--csv", out, "--pack", toy_pack.path)
    assert result.exit_code == 3
    assert result.stderr.startswith("breath-offline: error: cannot read ")
    assert out.read_text() == "old"
    result = run("predict", clip_folder, "--csv", out, "--pack", toy_pack.path, "--skip-bad")
    assert result.exit_code == 0
    assert "skipped: cannot read" in result.stderr
    assert len(out.read_text().splitlines()) == 25


def test_precompute_makes_a_store_and_skips_what_is_bad_when_told(run, make_clip_folder, tmp_path):
    folder = make_clip_folder(days=("20190101",), per_day=3)
    next((folder / "train").iterdir()).unlink()
    stopped = run("precompute", "--data", folder, "--out", tmp_path / "s", "--workers", 1)
    assert stopped.exit_code == 5
    assert "no sound file for" in stopped.stderr
    result = run("precompute", "--data", folder, "--out", tmp_path / "s", "--workers", 1, "--skip-bad")
    assert result.exit_code == 0, result.output
    assert "skipped 1 clips" in result.stderr
    assert result.stdout == f"2 clips in {tmp_path / 's'}\n"


def test_a_missing_pack_and_a_missing_clip_set_have_their_exit_codes(run, clip_folder, tmp_path, toy_pack):
    assert run("predict", clip_folder, "--csv", "-", "--pack", tmp_path / "gone").exit_code == 4
    assert run("evaluate", "--data", tmp_path / "gone", "--pack", toy_pack.path).exit_code == 5
    result = run("predict", clip_folder, "--csv", tmp_path / "gone" / "x.csv", "--pack", toy_pack.path)
    assert result.exit_code == 6


@pytest.mark.parametrize("error", [ConfigError, AudioFileError, EngineMissingError, PackError, BreathError])
def test_errors_become_a_line_and_their_exit_code(error):
    @click.group(name="breath-test", cls=BreathGroup)
    def group():
        pass

    @group.command()
    def fail():
        raise error("the thing is broken; mend it")

    result = CliRunner().invoke(group, ["fail"])
    assert result.exit_code == error.exit_code
    assert result.stderr == "breath-test: error: the thing is broken; mend it\n"
    assert result.stdout == ""


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, click.Abort])
def test_interruptions_exit_with_130(interruption):
    @click.group(name="breath-test", cls=BreathGroup)
    def group():
        pass

    @group.command()
    def wait():
        raise interruption

    result = CliRunner().invoke(group, ["wait"])
    assert result.exit_code == 130
    assert result.stderr == "breath-test: interrupted\n"


def test_a_bug_of_ours_keeps_its_traceback():
    @click.group(cls=BreathGroup)
    def group():
        pass

    @group.command()
    def fail():
        raise ZeroDivisionError

    assert isinstance(CliRunner().invoke(group, ["fail"]).exception, ZeroDivisionError)


SCRIPT = """
import os, signal, sys
import click
from realtime.cli_errors import BreathGroup

@click.group(name="breath-test", cls=BreathGroup)
def group():
    pass

@group.command()
def work():
    {work}

group(["work"])
"""


def test_a_reader_that_has_left_ends_the_command_quietly():
    work = "sys.stdin.read(); print('x' * 10); sys.stdout.flush(); print('y' * 100_000)"
    process = run_script(SCRIPT.format(work=work), stdin=subprocess.PIPE)
    process.stdout.close()
    process.stdin.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_exits_with_130_and_without_a_traceback():
    process = run_script(SCRIPT.format(work="os.kill(os.getpid(), signal.SIGINT); signal.pause()"))
    _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert error == "breath-test: interrupted\n"


def test_where_clips_are_judged_the_default_is_the_pack_for_clips_by_path_too(tmp_path):
    assert pack_for_clips("default") == "clips"
    assert pack_for_clips(str(SHIPPED_PACKS["default"])) == "clips"
    assert pack_for_clips(str(tmp_path)) == str(tmp_path)
    assert pack_for_clips("clips") == "clips"
