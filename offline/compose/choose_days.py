"""Which days streams may be spliced from: those of one part of a split."""

from collections.abc import Collection

from engines.errors import ConfigError
from engines.manifest import SplitDays
from offline.clips import ClipSet
from offline.split import PARTS, Split


def clips_of_part(
    clips: ClipSet, part: str, split: Split | SplitDays | None, days: Collection[str] = ()
) -> ClipSet:
    """The clips of one part's days, or of some of them.

    Args:
        clips: all there are.
        part: `train`, `validation`, `test` or `all`.
        split: says which days belong to the part; needed for each but `all`.
        days: only these, if any are given.

    Raises:
        ConfigError: a day has no clips or belongs to another part, or nothing is left.
    """
    known = set(clips.days)
    unknown = sorted(set(days) - known)
    if unknown:
        raise ConfigError(f"no clips of the day {', '.join(unknown)} in {clips.root}")
    if part == "all":
        allowed = known
    elif split is None:
        raise ConfigError(f"which days belong to the part {part}, only a split says: give a pack or a seed")
    else:
        parts = {name: set(getattr(split, name)) for name in PARTS}
        allowed = known & parts[part]
        foreign = sorted(set(days) - allowed)
        if foreign:
            theirs = next((name for name, names in parts.items() if foreign[0] in names), "no part")
            raise ConfigError(f"the day {foreign[0]} belongs to {theirs}, not to {part}; give another --part")
        if not allowed:
            raise ConfigError(
                f"none of the {len(known)} days in {clips.root} belongs to the part {part} of this split; "
                "give the pack that was trained on these clips, or --part all"
            )
    return clips.of_days(set(days) or allowed)
