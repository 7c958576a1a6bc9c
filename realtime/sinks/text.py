"""Pieces of text for the display: lines that never wrap, and names that cannot command the terminal."""

from rich.text import Text


def line(*parts: Text) -> Text:
    """The parts beside each other, cut off and not wrapped where the terminal ends."""
    whole = Text(no_wrap=True, overflow="crop")
    for part in parts:
        whole.append_text(part)
    return whole


def short(text: str, width: int, style: str = "") -> Text:
    """`text` in at most `width` columns; an ellipsis tells that it goes on."""
    whole = line(Text(text, style=style))
    whole.truncate(width, overflow="ellipsis")
    return whole


def clock_from_seconds(seconds: float) -> str:
    """Minutes and seconds of stream time, such as `12:34`."""
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"


def printable(text: str) -> str:
    """A name of a file or device may hold anything, commands to the terminal too."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
