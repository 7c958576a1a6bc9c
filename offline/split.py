"""Days into training, validation and test: never one day on two sides."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engines.errors import LabelsError
from engines.manifest import SplitDays

if TYPE_CHECKING:
    # Reading clips imports the library of sound files, which the settings of a training do not need.
    from offline.clips import Clip

PARTS: tuple[str, ...] = ("train", "validation", "test")
DEFAULT_FRACTIONS: tuple[float, float, float] = (0.72, 0.13, 0.15)


@dataclass(frozen=True)
class Split:
    """Which days belong to which part; days are sorted.

    Attributes:
        train: the networks learn from these.
        validation: early stopping, the ensemble's weights and the temperature come from these.
        test: nothing was fitted to these.
        fractions: wanted share of the clips, in the order of `PARTS`.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    fractions: tuple[float, float, float]

    def __post_init__(self) -> None:
        days = self.train + self.validation + self.test
        if len(days) != len(set(days)):
            twice = ", ".join(day for day, count in sorted(Counter(days).items()) if count > 1)
            raise LabelsError(f"the split has days on two sides: {twice}; make it again")

    def days_of(self, part: str) -> tuple[str, ...]:
        """The days of one of `PARTS`."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[part]


def split_by_day(
    clips: Iterable["Clip"], seed: int = 0, fractions: tuple[float, float, float] = DEFAULT_FRACTIONS
) -> Split:
    """Deal whole days out to the parts, so that each gets its share of the clips and holds both classes.

    Large days are dealt first, each to the part that lacks most of its share; days of like size come in an
    order that the seed alone decides. The order of the clips does not matter.

    Args:
        clips: every clip to be split.
        seed: another seed, another split.
        fractions: share of the clips for `PARTS`, in order; they add up to 1, and 0 leaves a part empty.

    Raises:
        LabelsError: the fractions are no shares, or there are too few days for both classes in every part.
    """
    if any(fraction < 0 for fraction in fractions) or abs(sum(fractions) - 1) > 1e-6:
        raise LabelsError(f"the shares of a split must be 0 or more and add up to 1, not {fractions}")
    wanted = [part for part, fraction in zip(PARTS, fractions, strict=True) if fraction > 0]
    counts: dict[str, Counter[int]] = {}
    for clip in clips:
        counts.setdefault(clip.day, Counter())[clip.label] += 1
    for label, name in ((1, "exhalations"), (0, "inhalations")):
        n_days = sum(1 for count in counts.values() if count[label])
        if n_days < len(wanted):
            raise LabelsError(
                f"only {n_days} of {len(counts)} days hold {name}; {len(wanted)} parts need one each: "
                "add recordings of other days"
            )
    shares = dict(zip(PARTS, fractions, strict=True))
    parts = _deal(counts, {part: shares[part] for part in wanted}, seed)
    _give_both_classes(parts, counts)
    days = {part: tuple(sorted(parts.get(part, ()))) for part in PARTS}
    return Split(days["train"], days["validation"], days["test"], fractions)


def with_known_days(split: Split, known: SplitDays, clips: Iterable["Clip"]) -> Split:
    """The split of a training that goes on from a pack: the days that the pack knows stay on their side.

    Days of the pack without clips here are kept too, so that whatever goes on from there knows them.

    Args:
        split: of the clips, as it was dealt; only the days that the pack does not know stay where they are.
        known: the split of the pack.
        clips: those of this training.

    Raises:
        LabelsError: a part is left without clips of both phases.
    """
    of_pack = {part: set(getattr(known, part)) for part in PARTS}
    seen = set().union(*of_pack.values())
    days = {part: of_pack[part] | set(split.days_of(part)) - seen for part in PARTS}
    for part in PARTS:
        labels = {clip.label for clip in clips if clip.day in days[part]}
        if len(labels) < 2:
            raise LabelsError(
                "the days that the pack to go on from was trained and judged on leave no clips of both "
                f"phases for {part}; add clips of other days, or begin without --from"
            )
    train, validation, test = (tuple(sorted(days[part])) for part in PARTS)
    return Split(train, validation, test, split.fractions)


def with_smaller_validation(split: Split, clips: Iterable["Clip"], share: float) -> Split:
    """Keep days with about `share` of the clips, and both classes, for validation; training gets the others.

    For a last training, when everything has been chosen on the whole validation part: more days make better
    networks, and nothing is left to be chosen by them. The test days stay the same.

    Args:
        split: as `split_by_day` made it.
        clips: those it was made of.
        share: of all clips, less than validation has now.

    Raises:
        LabelsError: validation has no such share to give away.
    """
    train, validation, test = split.fractions
    if not 0 < share < validation:
        raise LabelsError(
            f"validation has a share of {validation:g} of the clips and cannot keep {share:g}; give less, "
            "and more than 0"
        )
    counts: dict[str, Counter[int]] = {}
    n_clips = 0
    for clip in clips:
        n_clips += 1
        if clip.day in split.validation:
            counts.setdefault(clip.day, Counter())[clip.label] += 1
    kept: set[str] = set()
    held: Counter[int] = Counter()
    # The largest stay: it is days that training lacks.
    for day in sorted(counts, key=lambda day: (-counts[day].total(), day)):
        if held.total() >= share * n_clips and len(held) == 2:
            break
        kept.add(day)
        held += counts[day]
    # Days without clips here, which only the pack to go on from knows, stay where they were.
    given = set(counts) - kept
    days = (
        tuple(sorted({*split.train, *given})),
        tuple(sorted(set(split.validation) - given)),
        split.test,
    )
    return Split(*days, (train + validation - share, share, test))


def _deal(counts: Mapping[str, Counter[int]], shares: Mapping[str, float], seed: int) -> dict[str, set[str]]:
    def deal_order(day: str) -> tuple[int, str]:
        # A power of two is "like size": coarse enough to leave the seed a say, and the smallest days,
        # which settle the shares, still come last.
        likeness = counts[day].total().bit_length()
        return -likeness, hashlib.sha256(f"{seed}:{day}".encode()).hexdigest()

    n_clips = sum(count.total() for count in counts.values())
    parts: dict[str, set[str]] = {part: set() for part in shares}
    filled = dict.fromkeys(shares, 0)
    for day in sorted(counts, key=deal_order):
        neediest = max(shares, key=lambda part: 1 - filled[part] / (shares[part] * n_clips))
        parts[neediest].add(day)
        filled[neediest] += counts[day].total()
    return parts


def _give_both_classes(parts: dict[str, set[str]], counts: Mapping[str, Counter[int]]) -> None:
    """Move the smallest day that its part can spare to each part that lacks a class.

    With as many days of each class as there are parts, one move is always possible: the days of the lacking
    class lie in fewer parts than there are such days, so some part has two, and can spare one of them.
    """
    for days in parts.values():
        for label in (0, 1):
            if any(counts[day][label] for day in days):
                continue
            spare = [
                (counts[day].total(), day, donor)
                for donor in parts
                for day in parts[donor]
                if counts[day][label] and _covers(parts[donor] - {day}, parts[donor], counts)
            ]
            _, day, donor = min(spare)
            parts[donor].remove(day)
            days.add(day)


def _covers(days: set[str], as_before: set[str], counts: Mapping[str, Counter[int]]) -> bool:
    """Whether `days` hold every class that `as_before` held."""
    classes = {label for day in as_before for label in (0, 1) if counts[day][label]}
    return all(any(counts[day][label] for day in days) for label in classes)
