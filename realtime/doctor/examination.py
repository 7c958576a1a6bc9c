"""Whether everything the live path needs is there and works: groups of checks, each in a process of its own.

Imports only the standard library, and keeps what may be broken out of this process: a library that crashes or
hangs takes its own group of checks with it, and nothing else.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from engines.installing import REINSTALL


class Verdict(StrEnum):
    """What a check says; a note is about something that is not there and not needed."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        subject: what was looked at.
        verdict: see `Verdict`.
        text: what was found, for people.
        mend: what to do about it; empty: nothing.
        exit_code: of the error that the live path would end with; 0 unless it failed.
        measures: the same in numbers, with the unit in the name; for programs.
    """

    subject: str
    verdict: Verdict
    text: str
    mend: str = ""
    exit_code: int = 0
    measures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """Checks that share a process.

    Attributes:
        name: of the function in `realtime.doctor.checks`.
        limit_s: it is given up after so long, seconds.
        exit_code: if the process itself breaks.
    """

    name: str
    limit_s: float
    exit_code: int


GROUPS = (
    Group("machine", 30, 4),
    Group("settings", 30, 2),
    Group("pack", 60, 4),
    Group("engines", 120, 4),
    Group("latency", 180, 4),
    Group("sound", 60, 3),
)

# A setting that cannot be used stops everything, an engine all that is heard, a microphone only itself.
_WORST_FIRST = (2, 4, 3)

_PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]); from realtime.doctor.checks import main; main(sys.argv[2])"
)


def examine(params: Mapping[str, Any], groups: Iterable[Group] = GROUPS) -> Iterator[Finding]:
    """Run every group, and give the findings as they come.

    Args:
        params: flags of `breath-live doctor`, as `resolved_from_params` takes them; must fit into JSON.
        groups: what to check.
    """
    for group in groups:
        yield from _isolated(group, json.dumps(dict(params)))


def exit_code_from_findings(findings: Iterable[Finding]) -> int:
    """0 if the live path can work, else the code of the worst problem, as in `engines.errors`."""
    codes = {finding.exit_code for finding in findings if finding.verdict is Verdict.FAILED}
    return next((code for code in _WORST_FIRST if code in codes), max(codes, default=0))


def line_from_finding(finding: Finding) -> str:
    """One line of JSON, the form in which a process hands a finding over."""
    return json.dumps(vars(finding) | {"measures": dict(finding.measures)}, allow_nan=False)


def finding_from_line(line: str) -> Finding | None:
    """The finding in a line; None if the line is something else, such as a library's chatter."""
    try:
        content = json.loads(line)
        return Finding(**content | {"verdict": Verdict(content["verdict"])})
    except (ValueError, TypeError, KeyError):
        return None


def _isolated(group: Group, params: str) -> Iterator[Finding]:
    # -P: what lies in the current folder is not taken for a library.
    command = [sys.executable, "-P", "-c", _PROGRAM, str(Path(__file__).parents[2]), group.name]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                encoding="utf-8",
                errors="replace",
                env=os.environ | {"PYTHONIOENCODING": "utf-8"},
            )
        except OSError as error:
            yield _broken(group, f"no process could be started for it ({error.strerror or error})")
            return
        has_timed_out = threading.Event()

        def give_up() -> None:
            has_timed_out.set()
            child.kill()

        alarm = threading.Timer(group.limit_s, give_up)
        alarm.start()
        try:
            yield from _findings_of(child, params)
        finally:
            alarm.cancel()
            child.kill()
            child.wait()
        if has_timed_out.is_set():
            yield _broken(group, f"it hung and was given up after {group.limit_s:g} s")
        elif child.returncode != 0:
            said.seek(0)
            last_words = (said.read().strip().splitlines() or ["it said nothing"])[-1]
            yield _broken(group, f"its process ended with {_ending(child.returncode)} ({last_words[:300]})")


def _findings_of(child: "subprocess.Popen[str]", params: str) -> Iterator[Finding]:
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdout:
        try:
            child.stdin.write(params)
            child.stdin.close()
        except OSError:
            # It has died already; its exit status tells.
            pass
        for line in child.stdout:
            finding = finding_from_line(line)
            if finding is not None:
                yield finding
    child.wait()


def _broken(group: Group, text: str) -> Finding:
    return Finding(
        group.name,
        Verdict.FAILED,
        f"this check could not be finished: {text}",
        f"install again: {REINSTALL}; if it stays, report it with this output",
        group.exit_code,
    )


def _ending(code: int) -> str:
    if code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code}"
