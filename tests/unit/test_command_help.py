"""Help and completion of both programs: every command explains itself, and the tab key knows it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from offline.cli import main as offline
from realtime.cli import cli as live

PROJECT = Path(__file__).resolve().parents[2]
PROGRAMS = {"breath-live": live, "breath-offline": offline}
COMMANDS = [(name, command) for name, group in PROGRAMS.items() for command in sorted(group.commands)]


def help_of(program, *command):
    result = CliRunner().invoke(PROGRAMS[program], [*command, "--help"], prog_name=program, terminal_width=80)
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize(("program", "command"), COMMANDS)
def test_every_command_has_examples_and_fits_into_80_columns(program, command):
    text = help_of(program, command)
    assert [line for line in text.splitlines() if len(line) > 80] == []
    examples = text.partition("  Examples:\n")[2].splitlines()
    assert any(line.strip().startswith((program, "torchrun")) for line in examples)


@pytest.mark.parametrize(("program", "command"), COMMANDS)
def test_every_option_is_explained_and_every_example_uses_options_that_exist(program, command):
    parameters = PROGRAMS[program].commands[command].params
    assert [p.name for p in parameters if p.param_type_name == "option" and not p.help] == []
    known = {flag for p in parameters for flag in (*p.opts, *p.secondary_opts)} | {"--help"}
    for line in help_of(program, command).partition("  Examples:\n")[2].splitlines():
        words = line.split()
        if words[:2] == [program, command]:
            used = {word for word in words if word.startswith("--")}
            assert used <= known, line


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_programs_tell_their_exit_codes(program):
    text = help_of(program)
    assert [line for line in text.splitlines() if len(line) > 80] == []
    for line in ("Exit codes:", "130  interrupted"):
        assert line in text
    assert ("143  terminated" in text) == (program == "breath-live")


def completed(program, args, incomplete):
    items = ShellComplete(PROGRAMS[program], {}, program, "_X").get_completions(args, incomplete)
    return {item.value if item.type == "plain" else item.type for item in items}


def test_the_tab_key_knows_commands_flags_choices_and_files():
    assert {"replay", "doctor", "listen"} <= completed("breath-live", [], "")
    assert completed("breath-live", [], "re") == {"replay"}
    assert completed("breath-live", [], "--eng") == {"--engine"}
    assert "--version" in completed("breath-live", [], "--")
    assert "--channel" in completed("breath-live", ["--device", "USB"], "--")
    assert {"auto", "torch"} <= completed("breath-live", ["--engine"], "")
    assert completed("breath-live", ["replay"], "ni") == {"file"}
    assert completed("breath-live", ["replay", "--pack"], "ni") == {"file"}
    assert completed("breath-live", ["--events"], "ni") == {"file"}
    assert {"train", "evaluate"} <= completed("breath-offline", [], "")
    assert completed("breath-offline", ["train", "--data"], "cl") == {"file"}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_says_where_it_belongs(program, shell):
    result = CliRunner().invoke(PROGRAMS[program], ["completion", shell])
    assert result.exit_code == 0
    assert f"Belongs into ~/.{'zfunc' if shell == 'zsh' else ''}" in result.stdout
    assert f"{program.upper().replace('-', '_')}_COMPLETE={shell}_complete" in result.stdout
    if shell == "zsh":
        assert result.stdout.startswith(f"#compdef {program}\n")
    if shutil.which(shell):
        subprocess.run([shell, "-n", "-c", result.stdout], check=True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_with_the_script(tmp_path):
    program = tmp_path / "breath-live"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from realtime.cli import main; main()"\n')
    program.chmod(0o755)
    script = tmp_path / "script"
    script.write_text(CliRunner().invoke(live, ["completion", "bash"]).stdout)
    commands = (
        f". {script}; COMP_WORDS=(breath-live rep); COMP_CWORD=1; "
        "_breath_live_completion breath-live; echo ${COMPREPLY[@]}"
    )
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", commands],
        env=os.environ | {"PATH": path, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "replay"
