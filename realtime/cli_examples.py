"""What stands below the help of each command: examples that can be typed as they are."""

from collections.abc import Mapping

import click

LIVE_EXAMPLES = {
    "listen": """
  breath-live listen                       the system's default microphone
  breath-live listen --device USB --channel 1 --events breath.jsonl
  breath-live listen --seconds 600 --record sessions/ --breaths breaths.csv
""",
    "replay": """
  breath-live replay night.wav --frames night-frames.csv --events night.jsonl
  breath-live replay ward/*.flac --events - | jq .event
  breath-live replay night.wav --pace 1    in real time, on the display
""",
    "demo": """
  breath-live demo --seconds 30
  breath-live demo --pace 0 --seconds 600 --breaths breaths.csv
  breath-live demo --seed 7                another breather
""",
    "calibrate": """
  breath-live calibrate                    the system's default microphone
  breath-live calibrate --device USB       another one; each has its profile
  breath-live --no-profile                 listen without it
""",
    "devices": """
  breath-live devices
  breath-live devices | cut -f 1,2         for programs: columns between tabs
""",
    "serve": """
  breath-live serve                        then open the printed address
  breath-live serve --source demo --port 0
  breath-live serve --source browser --host 0.0.0.0
""",
}

# A paragraph behind this mark is printed as it stands.
_VERBATIM = "\b\n"


def add_examples(group: click.Group, examples: Mapping[str, str]) -> None:
    """Put examples below the help of the commands of `group`, by name; in front of what stands there.

    Args:
        group: the program; it may lack some of the commands.
        examples: lines that begin with two blanks, at most 76 columns each.
    """
    for name, lines in examples.items():
        command = group.commands.get(name)
        if command is not None:
            rest = f"\n\n{command.epilog}" if command.epilog else ""
            command.epilog = f"{_VERBATIM}Examples:\n{lines.strip(chr(10))}{rest}"
