"""What the names of clips say: which recording, and which day."""

import re
from dataclasses import dataclass

_STETH = re.compile(r"(?P<recording>steth_(?P<day>\d{8})_\d\d_\d\d_\d\d)_(?:(?P<letter>[EI])_)?(?P<row>\d+)")


@dataclass(frozen=True)
class ClipName:
    """A parsed name. The event's number predicts the label, so it is not kept: nothing may learn from it.

    Attributes:
        recording: name of the recording the clip was cut from.
        day: day of the recording, `YYYYMMDD`; clips of one day stay on one side of a split.
        letter: `E` or `I` where the name carries the label, else None.
        file_stem: name of the sound file without its suffix: the label's letter is not part of it.
    """

    recording: str
    day: str
    letter: str | None
    file_stem: str


def parse_name(stem: str) -> ClipName | None:
    """Read `steth_<day>_<hh>_<mm>_<ss>[_<E|I>]_<n>`; None for a name of any other form."""
    match = _STETH.fullmatch(stem)
    if match is None:
        return None
    recording = match["recording"]
    return ClipName(recording, match["day"], match["letter"], f"{recording}_{match['row']}")
