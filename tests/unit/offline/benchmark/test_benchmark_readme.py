"""The script that makes the README's performance section, run as a program."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[4]
SCRIPT = PROJECT / "tests" / "bench" / "readme_performance.py"
BEGIN = "<!-- performance: begin; made by tests/bench/readme_performance.py -->"
END = "<!-- performance: end -->"


def distribution(p50, n=1100):
    return {"n": n, "min": p50, "mean": p50, "p50": p50, "p90": p50, "p95": p50, "p99": 2 * p50, "max": p50,
            "cv": 0.05, "per_s": 1e3 / p50}  # fmt: skip


@pytest.fixture
def content():
    """What the benchmark writes, made up."""
    stages = {"window": 0.05, "features": 2.5, "cnn8": 2.0, "vgg": 3.0, "fusion": 0.02, "decision": 0.1}
    engine = {
        "reason": "as asked for",
        "windows": 1100,
        "hop_ms": distribution(8.25),
        "stages_ms": {name: distribution(ms) for name, ms in stages.items()},
        "warnings": [],
        "speedup_vs_reference": 11.04,
        "idle": {
            "hop_ms": distribution(10.5, 100),
            "cpu_s_per_s": 0.123,
            "cpu_s_per_s_between_hops": 0.01,
            "resident_mb": 131.4,
        },
        "streams": {"is_carried": True, "streams": 12, "batch_ms": distribution(70.0)},
    }
    reference = {
        "hop_ms": distribution(91.0, 128),
        "stages_ms": {"features": distribution(60.0)},
        "warnings": [],
    }
    return {
        "made_at": "2026-01-02T03:04:05+00:00",
        "machine": {"cpu": "Test CPU", "cores": 2, "usable_cores": 2, "gpu": None},
        "versions": {"python": "3.11", "onnxruntime": "1.2.3"},
        "pack": {"name": "clips", "sha256": "0123456789abcdef" * 4, "graph_precision": "int8"},
        "settings": {"engines": ["onnxruntime"], "is_against_reference": True, "streams": "auto",
                     "hop_s": 0.1, "n_threads": None},
        "engines": {"onnxruntime": engine},
        "reference": reference,
        "warnings": [],
    }  # fmt: skip


@pytest.fixture
def make(tmp_path):
    readme, result = tmp_path / "README.md", tmp_path / "result.json"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")

    def run(content):
        result.write_text(json.dumps(content), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, SCRIPT, result, "--readme", readme], capture_output=True, text=True, check=False
        )
        return done.returncode, done.stderr, readme.read_text(encoding="utf-8")

    run.readme = readme
    return run


def test_what_stands_between_the_marks_is_replaced(make, content):
    code, err, text = make(content)
    assert (code, err) == (0, "")
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"\n{END}\nafter\n")
    assert "old" not in text
    flat = " ".join(text.split())
    for part in (
        "Test CPU, 2 cores; onnxruntime 1.2.3; pack clips (`0123456789ab`, int8)",
        "`breath-offline benchmark --engine onnxruntime --against reference --streams auto --json FILE.json`",
        "| | median | p90 | p99 | window | features | cnn8 | vgg | fusion | decision | windows |",
        "| onnxruntime | 8.2 | 8.2 | 16.5 | 0.05 | 2.5 | 2.0 | 3.0 | 0.02 | 0.10 | 1,100 |",
        "| reference | 91.0 | 91.0 | 182 | | 60.0 | | | | | 128 |",
        "**11.0 times** as fast",
        "answers in 10.5 ms (median; p90 10.5) and takes 12 % of one core and 131 MB of memory",
        "12 live streams at a hop of 0.1 s ran on this machine together, without a dropped window",
        "140 ms at p99",
        "2026-01-02",
    ):
        assert part in flat, part
    assert max(map(len, text.splitlines())) <= 120
    assert "What the benchmark says" not in text


def test_made_again_it_is_the_same(make, content):
    assert make(content) == make(content)


def test_warnings_are_quoted_with_the_figures(make, content):
    content["warnings"] = ["the clock varied"]
    content["reference"]["warnings"] = ["only 128 windows"]
    _, _, text = make(content)
    assert "What the benchmark says of this run" in text
    assert "- the clock varied\n- reference: only 128 windows" in text


def test_too_few_windows_are_not_quoted(make, content):
    content["engines"]["onnxruntime"]["hop_ms"]["n"] = 100
    code, err, text = make(content)
    assert code == 1
    assert "too few to quote" in err
    assert "old" in text


@pytest.mark.parametrize("text", ["no marks", f"{END}\n{BEGIN}", f"{BEGIN}\n{BEGIN}\n{END}"])
def test_a_readme_without_the_marks_is_left_alone(make, content, text):
    make.readme.write_text(text, encoding="utf-8")
    code, err, after = make(content)
    assert code == 1
    assert "performance: begin" in err
    assert after == text


def test_something_else_than_a_benchmark_is_refused(make):
    code, err, _ = make({"engines": {}})
    assert code == 1
    assert "has no" in err


def test_the_readme_has_the_marks():
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
