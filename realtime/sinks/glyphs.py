"""Large words and shapes made of blocks: a phase is told by its form, and by colour only in addition."""

import functools

from realtime.events import Phase

ROWS = 5
BIG_WORDS = {Phase.INHALE: "INHALE", Phase.EXHALE: "EXHALE", Phase.NONE: "NO BREATH"}
# Full and empty, as the lungs are going to be.
MARKS = {Phase.INHALE: "●", Phase.EXHALE: "○", Phase.NONE: "-"}
STRIP_MARKS = {Phase.INHALE: "█", Phase.EXHALE: "░", Phase.NONE: "·"}

_LETTERS = {
    "A": (" ### ", "#   #", "#####", "#   #", "#   #"),
    "B": ("#### ", "#   #", "#### ", "#   #", "#### "),
    "E": ("#####", "#    ", "#### ", "#    ", "#####"),
    "H": ("#   #", "#   #", "#####", "#   #", "#   #"),
    "I": ("###", " # ", " # ", " # ", "###"),
    "L": ("#    ", "#    ", "#    ", "#    ", "#####"),
    "N": ("#   #", "##  #", "# # #", "#  ##", "#   #"),
    "O": (" ### ", "#   #", "#   #", "#   #", " ### "),
    "R": ("#### ", "#   #", "#### ", "#  # ", "#   #"),
    "T": ("#####", "  #  ", "  #  ", "  #  ", "  #  "),
    "X": ("#   #", " # # ", "  #  ", " # # ", "#   #"),
    " ": ("  ", "  ", "  ", "  ", "  "),
}

_SHAPES = {
    Phase.INHALE: ("  #####  ", " ####### ", "#########", " ####### ", "  #####  "),
    Phase.EXHALE: ("  #####  ", " ##   ## ", "##     ##", " ##   ## ", "  #####  "),
    Phase.NONE: ("         ", "         ", "#########", "         ", "         "),
}


@functools.cache
def big_rows(phase: Phase, scale: int = 1) -> tuple[str, ...]:
    """The shape and the word of `phase`, 5 * `scale` rows of equal width."""
    letters = [_SHAPES[phase], ("   ",) * ROWS, *(_LETTERS[letter] for letter in BIG_WORDS[phase])]
    rows = []
    for row in range(ROWS):
        line = " ".join(letter[row] for letter in letters).replace("#", "█")
        rows += ["".join(cell * scale for cell in line)] * scale
    return tuple(rows)


@functools.cache
def big_width(scale: int = 1) -> int:
    """Columns that the widest of all phases takes."""
    return max(len(big_rows(phase, scale)[0]) for phase in Phase)
