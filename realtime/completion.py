"""The `completion` command of both programs: a script with which the shell completes their words."""

from typing import Any

import click
from click.shell_completion import get_completion_class

# Where each shell looks for the completions of a program, and how the script gets there.
_PLACES = {
    "bash": "~/.local/share/bash-completion/completions/{program}",
    "zsh": "~/.zfunc/_{program}",
    "fish": "~/.config/fish/completions/{program}.fish",
}
_FURTHER = {
    "bash": "It needs the package bash-completion; without it, write: source FILE into ~/.bashrc.",
    "zsh": "~/.zshrc needs, once: fpath=(~/.zfunc $fpath); autoload -Uz compinit && compinit",
    "fish": "Nothing else is needed.",
}

_EPILOG = """\b
Examples:
  {program} completion bash > completion.bash && . ./completion.bash
  {program} completion zsh > ~/.zfunc/_{program}
  {program} completion fish | source
"""


def completion_command(group: click.Group, program: str) -> click.Command:
    """The command `completion` for the `program` that `group` is; it completes commands, flags and files."""

    @click.command(
        "completion",
        short_help="Write a script that lets the shell complete.",
        help="Write a script to standard output that lets the shell complete commands, flags, their choices, "
        "and files. The script says where it belongs; open a new shell after that.",
        epilog=_EPILOG.format(program=program),
    )
    @click.argument("shell", type=click.Choice(list(_PLACES)))
    def completion(shell: str) -> None:
        click.echo(script(group, program, shell))

    return completion


def script(group: click.Group, program: str, shell: str) -> str:
    """The script that lets `shell` (bash, zsh or fish) complete the `program`."""
    kind: Any = get_completion_class(shell)
    variable = f"_{program.upper().replace('-', '_')}_COMPLETE"
    made = kind(group, {}, program, variable)
    # Not made.source(): that one starts bash, and complains where there is none.
    text = str(made.source_template % made.source_vars()).strip()
    notes = [
        f"Completion of {program}. Belongs into {_PLACES[shell].format(program=program)}",
        _FURTHER[shell],
    ]
    lines = [f"# {note}" for note in notes]
    # zsh wants its own word in the first line.
    head, _, rest = text.partition("\n")
    if head.startswith("#compdef"):
        return "\n".join([head, *lines, rest])
    return "\n".join([*lines, text])
