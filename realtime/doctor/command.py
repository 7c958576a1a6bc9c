"""`breath-live doctor`: from the flags to the findings, for people or as JSON. Imports nothing heavy."""

import json
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import click

from realtime.cli_options import config_option, microphone_options, pack_option, threads_option
from realtime.doctor.examination import Finding, Verdict, examine, exit_code_from_findings
from realtime.telling import counted, lines_of_words

_COLOURS = {Verdict.OK: "green", Verdict.NOTE: "cyan", Verdict.WARNING: "yellow", Verdict.FAILED: "red"}
_WIDEST = 100

_EPILOG = """\b
Examples:
  breath-live doctor                       look at everything
  breath-live doctor --device USB          with that microphone
  breath-live doctor --json | jq .exit_code

\b
Exit codes; of several problems the first of these:
  0    the live path can work; there may be warnings
  2    a flag, a variable or the configuration file cannot be used
  4    the engine, the model pack, or a package that everything needs
  3    no microphone that can be heard; recordings and the demo still work
"""


@click.command(short_help="Check whether everything is there and works.", epilog=_EPILOG)
@microphone_options
@click.option("--hop", "hop_s", metavar="S", help="Seconds from one answer to the next, 0.01 to 1.  [0.1]")
@click.option("--engine", metavar="NAME", help="What runs the networks; see breath-live --help.  [auto]")
@pack_option
@threads_option
@config_option
@click.option("--json", "is_json", is_flag=True, help="Write one JSON object for programs instead.")
@click.pass_context
def doctor(ctx: click.Context, /, is_json: bool, **params: Any) -> None:
    """Check whether everything is there and works, and say how to mend what does not.

    Looks at Python and its packages, the processor, the settings, the model pack, the engines, the latency of
    some forty windows, PortAudio, the microphones, and a second of sound. A note is about something that is
    missing and not needed. Each group of checks runs in a process of its own, so that a library that crashes
    or hangs is found out too; all take some ten seconds.
    """
    findings: list[Finding] = []
    for finding in examine({"assignments": [], **params}):
        findings.append(finding)
        if not is_json:
            for line in lines_from_finding(finding, min(_WIDEST, shutil.get_terminal_size().columns)):
                click.echo(line)
    code = exit_code_from_findings(findings)
    click.echo(
        json.dumps(_report(findings, code), indent=2) if is_json else f"\n{_conclusion(findings, code)}"
    )
    ctx.exit(code)


def lines_from_finding(finding: Finding, width: int) -> Iterator[str]:
    """For people: verdict, subject and text, wrapped to `width` columns; then the mend."""
    verdict = click.style(f"{finding.verdict:8}", fg=_COLOURS[finding.verdict])
    words = f"{finding.subject}: {finding.text}"
    if finding.mend:
        words += f"\n-> {finding.mend}"
    lines = [part for line in words.splitlines() for part in lines_of_words(line, width - 8)]
    for number, line in enumerate(lines):
        yield f"{verdict if number == 0 else ' ' * 8}{line}"


def _conclusion(findings: Sequence[Finding], code: int) -> str:
    n_warnings = sum(finding.verdict is Verdict.WARNING for finding in findings)
    if code == 0:
        warnings = f", with {counted(n_warnings, 'warning')}" if n_warnings else ""
        return f"The live path can work here{warnings}. Begin with: breath-live"
    subjects = [finding.subject for finding in findings if finding.verdict is Verdict.FAILED]
    only_sound = " Recordings and the demo can be heard." if code == 3 else ""
    return f"The live path cannot work yet: {', '.join(dict.fromkeys(subjects))}.{only_sound}"


def _report(findings: Sequence[Finding], code: int) -> dict[str, Any]:
    worst = [v for v in (Verdict.FAILED, Verdict.WARNING) if any(f.verdict is v for f in findings)]
    return {
        "verdict": worst[0] if worst else Verdict.OK,
        "exit_code": code,
        "findings": [vars(finding) for finding in findings],
    }
