"""The result of the streaming benchmark: what the figures depend on, overall, and slice by slice."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline.evaluate import words_of_seen_days
from offline.metrics import Interval
from offline.streams.breath_agreement import BreathAgreement
from offline.streams.chance import Chance
from offline.streams.files import Stream
from offline.streams.scores import Tally, plain_measures
from realtime.replay import Replay

OVERALL = "overall"
LONG_PAUSES = "pauses of 3 s and more between breaths"
# By accident it is one label in 1,600.
_OWN_SHARE = 0.5


@dataclass(frozen=True)
class StreamSignature:
    """Everything the figures depend on: figures with another signature are not comparable.

    Attributes:
        contract: hash of the feature contract.
        pack: the pack's name.
        pack_sha256: hash of its manifest.
        streams: fingerprint of the sounds and labels.
        n_streams: streams replayed.
        n_spliced: of these, put together from pieces.
        seconds: their length, s.
        days_by_part: days of the streams, by the part of the pack's split they belong to, `unknown` for none.
        settings: of the live path, as it was run.
        rules: what the measures are made with, s.
        engine: name of the back end.
        n_draws: draws of the bootstrap.
        seed: of the bootstrap.
        versions: of the software.
    """

    contract: str
    pack: str
    pack_sha256: str
    streams: str
    n_streams: int
    n_spliced: int
    seconds: float
    days_by_part: dict[str, int]
    settings: dict[str, Any]
    rules: dict[str, float]
    engine: str
    n_draws: int
    seed: int
    versions: dict[str, str]

    @property
    def n_seen_days(self) -> int:
        """Days that the pack was trained or tuned on: figures that hold any say little about new sound."""
        return self.days_by_part.get("train", 0) + self.days_by_part.get("validation", 0)


@dataclass(frozen=True, eq=False)
class StreamResult:
    """One stream: what was shown, what was counted, and the measures of it alone; delays in seconds."""

    stream: Stream
    replay: Replay
    tally: Tally
    delays_s: NDArray[np.float64]
    measures: dict[str, float]


@dataclass(frozen=True)
class SliceScore:
    """Measures over some of the streams, their counts added; and 95 % intervals over days, by name.

    Attributes:
        n_streams: how many.
        n_days: groups that the bootstrap drew from: days, and each stream of no known day.
        seconds: their length, s.
        seconds_without_breath: part of it in which false phases are counted, s.
        measures: NaN where one does not exist.
        intervals: (NaN, NaN) where there is only one day.
    """

    n_streams: int
    n_days: int
    seconds: float
    seconds_without_breath: float
    measures: dict[str, float]
    intervals: dict[str, Interval]

    def to_json(self) -> dict[str, Any]:
        """Plain numbers; null where a figure does not exist."""
        return {
            "n_streams": self.n_streams,
            "n_days": self.n_days,
            "seconds": self.seconds,
            "seconds_without_breath": self.seconds_without_breath,
            **plain_measures(self.measures),
            "interval_95": {
                name: None if np.isnan(low) else [low, high] for name, (low, high) in self.intervals.items()
            },
        }


@dataclass(frozen=True)
class StreamEvaluation:
    """The result of `evaluate_streams`.

    Attributes:
        signature: what the figures depend on.
        overall: every stream that holds breath; by kind, day and class of noise also only those.
        by_kind: kinds of the streams, those without breath too.
        by_snr: from noisy to clean.
        by_day: days in order; streams of no known day are left out.
        by_lookahead: every stream that holds breath, by the lookahead in seconds; the first is `overall`.
        chance: what a metronome that hears nothing scores on the same streams.
        breaths: rows of breaths against the truth, of all streams that hold breath (`OVERALL`) and by kind.
        n_labels: true phases.
        n_labels_as_shown: of these, begun at the very sample at which they were shown to begin.
        streams: one result each, in order of name.
    """

    signature: StreamSignature
    overall: SliceScore
    by_kind: dict[str, SliceScore]
    by_snr: dict[str, SliceScore]
    by_day: dict[str, SliceScore]
    by_lookahead: dict[str, SliceScore]
    chance: Chance
    breaths: dict[str, BreathAgreement]
    n_labels: int
    n_labels_as_shown: int
    streams: tuple[StreamResult, ...]

    @property
    def by_breathing_kind(self) -> dict[str, SliceScore]:
        """Of `by_kind` those in which somebody breathes."""
        kinds = {result.stream.kind for result in self.streams if result.stream.truth}
        return {kind: score for kind, score in self.by_kind.items() if kind in kinds}

    @property
    def breathing_columns(self) -> dict[str, SliceScore]:
        """What stands side by side: every stream that holds breath, and each kind if there are several."""
        by_kind = self.by_breathing_kind
        return {OVERALL: self.overall, **(by_kind if len(by_kind) > 1 else {})}

    def chance_of(self, column: str) -> dict[str, float]:
        """What chance reaches in one of the `breathing_columns`."""
        return self.chance.overall if column == OVERALL else self.chance.by_kind.get(column, {})

    @property
    def warning(self) -> str:
        """What may make the figures worthless, for people; empty: nothing that is known of."""
        words = [words_of_seen_days(self.signature.n_seen_days)]
        if self.n_labels_as_shown > _OWN_SHARE * self.n_labels:
            words.append(
                f"{self.n_labels_as_shown} of {self.n_labels} labels begin at the very sample at which this "
                "detector shows them: they seem to be its own answers, and it is always right by those; have "
                "the phases labelled by somebody who does not see them"
            )
        return "; ".join(filter(None, words))

    @property
    def has_lookahead(self) -> bool:
        """Whether there is more to say of lookaheads than that nothing was decided later."""
        return any(float(lookahead_s) for lookahead_s in self.by_lookahead)

    @property
    def without_breath(self) -> dict[str, SliceScore]:
        """The other kinds, and the long pauses between breaths; never empty."""
        breathing = self.by_breathing_kind
        found = {kind: score for kind, score in self.by_kind.items() if kind not in breathing}
        if self.overall.seconds_without_breath or not found:
            found[LONG_PAUSES] = self.overall
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and strings; null where a figure does not exist."""
        slices = {
            "by_kind": self.by_kind,
            "by_snr": self.by_snr,
            "by_day": self.by_day,
            "by_lookahead": self.by_lookahead,
        }
        return {
            "signature": asdict(self.signature),
            OVERALL: self.overall.to_json(),
            **{name: {key: one.to_json() for key, one in part.items()} for name, part in slices.items()},
            "chance": self.chance.to_json(),
            "breaths": {name: one.to_json() for name, one in self.breaths.items()},
            "labels": {"n": self.n_labels, "n_as_shown": self.n_labels_as_shown},
            "streams": [
                {
                    "name": result.stream.name,
                    "kind": result.stream.kind,
                    "day": result.stream.day,
                    "snr_db": result.stream.snr_db,
                    "seconds": float(result.tally.seconds),
                    **plain_measures(result.measures),
                }
                for result in self.streams
            ],
        }
