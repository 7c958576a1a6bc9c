"""breath-live doctor: what it finds, in words and codes, and that nothing broken breaks it."""

import importlib.util
import json
import re
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from realtime.doctor import checks as doctor_checks
from realtime.doctor import command as doctor_command
from realtime.doctor import examination as doctor
from realtime.doctor.checks import BASE, EXTRAS, ON_LINUX, machine
from realtime.doctor.examination import Finding, Group, Verdict, examine, exit_code_from_findings
from realtime.doctor.sound_checks import finding_from_capture

PROJECT = Path(__file__).resolve().parents[4]
PARAMS = {"assignments": [], "config_file": None}
GROUPS = {group.name: group for group in doctor.GROUPS}


@pytest.fixture(autouse=True)
def _settings(clean_environment, monkeypatch, tiny_pack):
    monkeypatch.setenv("BREATH_PACK", str(tiny_pack))


@pytest.fixture
def libraries(tmp_path, monkeypatch):
    """A folder whose modules take the place of the installed ones, in processes that are started."""
    folder = tmp_path / "libraries"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def findings(*names, **params):
    return list(examine(PARAMS | params, [GROUPS[name] for name in names]))


def failed(found):
    return [finding for finding in found if finding.verdict is Verdict.FAILED]


def by_subject(found):
    return {finding.subject: finding for finding in found}


def test_the_tables_of_packages_are_those_of_the_project():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    on_linux = {line for line in project["dependencies"] if "sys_platform == 'linux'" in line}
    assert set(BASE) == {_name(line) for line in set(project["dependencies"]) - on_linux}
    assert set(ON_LINUX) == {_name(line) for line in on_linux}
    extras = {
        extra: {_name(line) for line in lines} for extra, lines in project["optional-dependencies"].items()
    }
    assert set(EXTRAS) == set(extras) - {"test"}
    for extra, (gift, names) in EXTRAS.items():
        assert gift
        assert set(names) <= extras[extra]


def _name(requirement):
    return re.match(r"[A-Za-z0-9-]+", requirement).group()


def test_this_machine_is_described():
    found = by_subject(machine())
    assert found["python"].verdict is Verdict.OK
    assert found["packages"].measures["numpy"] == np.__version__
    assert found["processor"].measures["n_threads"] >= 1
    assert not failed(found.values())


def test_another_package_of_one_of_our_names_is_a_warning(monkeypatch):
    version = doctor_checks._version
    monkeypatch.setattr(
        doctor_checks, "_version", lambda name: "2.34.1" if name == "realtime" else version(name)
    )
    found = [finding for finding in machine() if finding.subject == "packages"]
    (warning,) = [finding for finding in found if finding.verdict is Verdict.WARNING]
    assert "realtime 2.34.1 is somebody else's" in warning.text
    assert "pip uninstall realtime" in warning.mend


def test_settings_and_pack_are_found_well(clean_environment, monkeypatch, tiny_pack):
    monkeypatch.setenv("BREATH_HOP_S", "0.2")
    found = by_subject(findings("settings", "pack"))
    assert "hop_s (BREATH_HOP_S)" in found["settings"].text
    assert found["settings"].measures["file"] is None
    assert found["pack"].measures["name"] == "tiny"
    assert not failed(found.values())


def test_the_engines_say_why_not(tiny_pack):
    found = by_subject(findings("engines"))
    assert found["engine onnxruntime"].verdict is Verdict.OK
    assert found["engine torch"].verdict is Verdict.NOTE
    assert "no weights for torch" in found["engine torch"].text
    assert found["engine"].measures == {"engine": "onnxruntime"}


@pytest.mark.parametrize("has_tiles", [True, False])
def test_the_engine_that_is_taken_is_the_one_that_will_run(clean_environment, monkeypatch, has_tiles):
    monkeypatch.setattr("engines.processor.has_int8_tiles", lambda: has_tiles)
    has_openvino = importlib.util.find_spec("openvino") is not None
    expected = "openvino" if has_tiles and has_openvino else "onnxruntime"
    # In this process, where the processor can be made up.
    found = by_subject(doctor_checks.engines(PARAMS | {"pack": "default"}))
    assert found["engine"].measures == {"engine": expected}


def test_an_engine_that_was_asked_for_and_cannot_run_is_a_failure():
    (failure,) = failed(findings("engines", engine="torch"))
    assert failure.exit_code == 4
    assert "no weights for torch" in failure.text


def test_latency_is_held_against_the_hop():
    (found,) = findings("latency", hop_s="0.5")
    assert found.measures["n_windows"] == 40
    assert 0 < found.measures["p50_ms"] <= found.measures["p99_ms"]
    is_slow = found.measures["p99_ms"] >= found.measures["hop_ms"] == 500
    assert found.verdict is (Verdict.WARNING if is_slow else Verdict.OK)
    assert bool(found.mend) == is_slow


def test_the_channel_of_a_microphone_is_none_of_the_demo():
    assert not failed(findings("latency", hop_s="0.05", channel="1"))


def test_a_setting_that_cannot_be_used_is_a_failure_and_the_rest_goes_on():
    found = findings("settings", "pack", hop_s="7")
    (failure,) = failed(found)
    assert (failure.subject, failure.exit_code) == ("settings", 2)
    assert "--hop" in failure.text
    assert by_subject(found)["pack"].verdict is Verdict.OK


def test_a_damaged_pack_is_a_failure(tiny_pack, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(tiny_pack, damaged)
    (damaged / "vgg.onnx").write_bytes(b"damaged")
    (failure,) = failed(findings("pack", pack=str(damaged)))
    assert failure.exit_code == 4
    assert "vgg.onnx is damaged" in failure.text


def test_a_library_that_ends_its_process_is_found_out(libraries):
    (libraries / "onnxruntime.py").write_text(
        "import os, sys\nprint('illegal instruction', file=sys.stderr)\nsys.stderr.flush()\nos.abort()\n"
    )
    (failure,) = findings("latency")
    assert (failure.subject, failure.exit_code) == ("latency", 4)
    assert "SIGABRT" in failure.text
    assert "illegal instruction" in failure.text


def test_a_library_that_cannot_be_imported_is_found_out(libraries):
    (libraries / "numpy.py").write_text("raise ImportError('numpy is broken')\n")
    found = findings("machine", "pack")
    assert "numpy is broken" in failed(found)[0].text
    assert by_subject(found)["python"].verdict is Verdict.OK


def test_a_library_that_hangs_is_given_up(libraries):
    (libraries / "sounddevice.py").write_text("import time\ntime.sleep(600)\n")
    (failure,) = examine(PARAMS, [Group("sound", 4, 3)])
    assert failure.exit_code == 3
    assert "given up after 4 s" in failure.text


def test_without_portaudio_it_says_what_to_install(libraries):
    (libraries / "sounddevice.py").write_text("raise OSError('PortAudio library not found')\n")
    (failure,) = findings("sound")
    assert (failure.subject, failure.exit_code) == ("portaudio", 3)
    assert "portaudio" in failure.text.lower()
    assert "breath-live replay" in failure.mend


def test_chatter_of_libraries_is_no_finding(libraries):
    (libraries / "sitecustomize.py").write_text("print('hello'); print('{}')\n")
    assert not failed(findings("settings"))


@pytest.mark.parametrize(("codes", "worst"), [([], 0), ([3], 3), ([3, 4], 4), ([4, 2, 3], 2), ([1], 1)])
def test_the_worst_problem_decides_the_exit_code(codes, worst):
    found = [Finding("x", Verdict.FAILED, "", exit_code=code) for code in codes]
    fine = [Finding("x", Verdict.OK, ""), Finding("x", Verdict.WARNING, "", "do")]
    assert exit_code_from_findings([*found, *fine]) == worst


SINE = np.sin(np.arange(16_000) / 5)[:, None].astype(np.float32)


@pytest.mark.parametrize(
    ("samples", "n_lost", "words"),
    [
        (0.1 * SINE, 0, ""),
        (0.0 * SINE, 0, "unmute"),
        (np.clip(3 * SINE, -1, 1), 0, "turn down"),
        (0.1 * SINE + 0.2, 0, "off zero"),
        (0.1 * SINE, 100, "100 samples were lost"),
    ],
)
def test_a_second_of_sound_tells_about_its_microphone(samples, n_lost, words):
    found = finding_from_capture(samples.astype(np.float32), 16_000, 1, n_lost, "USB")
    assert words in found.mend
    assert found.verdict is (Verdict.WARNING if words else Verdict.OK)
    json.dumps(found.measures)


def test_lines_are_wrapped_under_each_other():
    finding = Finding("latency", Verdict.WARNING, "word " * 30, "mend it")
    lines = list(doctor_command.lines_from_finding(finding, 60))
    assert all(len(line) <= 60 or "\x1b" in line for line in lines)
    assert all(line.startswith(" " * 8) for line in lines[1:])
    assert lines[-1].strip() == "-> mend it"


@pytest.mark.parametrize("is_json", [False, True])
def test_the_command_reports_and_ends_with_the_code(monkeypatch, is_json):
    monkeypatch.setattr(doctor.examine, "__defaults__", ([GROUPS["settings"], GROUPS["pack"]],))
    arguments = ["--pack", "nowhere", *(["--json"] if is_json else [])]
    result = CliRunner().invoke(doctor_command.doctor, arguments)
    assert result.exit_code == 4
    if is_json:
        report = json.loads(result.stdout)
        assert (report["verdict"], report["exit_code"]) == ("failed", 4)
        assert [finding["subject"] for finding in report["findings"]] == ["settings", "pack"]
    else:
        assert "failed  pack: no model pack at nowhere" in result.stdout
        assert "cannot work yet: pack" in result.stdout
