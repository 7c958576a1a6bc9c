"""The streaming benchmark: labelled streams through the live path, scored overall and slice by slice."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.contract import contract_hash
from engines.pack import Pack
from offline import stream_scores
from offline.evaluate import PACKAGES, part_of_days
from offline.metrics import Interval, drawn_days, interval_95
from offline.predict import Progress
from offline.stream_files import SNR_CLASSES, Stream, fingerprint
from offline.stream_replays import Replayer
from offline.stream_scores import Tally
from offline.versions import software_versions
from realtime.pipeline import PipelineSettings
from realtime.replay import Replay

OVERALL = "overall"
LONG_PAUSES = "pauses of 3 s and more between breaths"
LONG_PAUSES = "pauses of 3 s and more between breaths"


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
        streams: one result each, in order of name.
    """

    signature: StreamSignature
    overall: SliceScore
    by_kind: dict[str, SliceScore]
    by_snr: dict[str, SliceScore]
    by_day: dict[str, SliceScore]
    by_lookahead: dict[str, SliceScore]
    streams: tuple[StreamResult, ...]

    @property
    def by_breathing_kind(self) -> dict[str, SliceScore]:
        """Of `by_kind` those in which somebody breathes."""
        kinds = {result.stream.kind for result in self.streams if result.stream.truth}
        return {kind: score for kind, score in self.by_kind.items() if kind in kinds}

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


def evaluate_streams(
    pack: Pack,
    streams: Sequence[Stream],
    settings: PipelineSettings,
    *,
    lookaheads_s: Sequence[float] = (),
    engine: str = "auto",
    jobs: int = 1,
    n_draws: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
    tell: Callable[[str], None] = lambda _text: None,
) -> StreamEvaluation:
    """Replay labelled streams and score what was shown.

    Args:
        pack: what is scored.
        streams: at least one, see `find_streams`.
        settings: of the live path.
        lookaheads_s: others to try beside that of the settings, seconds.
        engine: `auto` or the name of a back end.
        jobs: processes that replay at the same time, each with an engine of its own.
        n_draws: draws of the bootstrap.
        seed: of the bootstrap.
        progress: called with streams done and streams in all.
        tell: called with what a person should know, such as that a file is cut off.

    Raises:
        AudioError: a stream cannot be heard.
        ConfigError: a setting or the name of the engine cannot be used.
        EngineError: the engine failed, or cannot run here.
    """
    every = (settings, *(replace(settings, lookahead_s=lookahead_s) for lookahead_s in lookaheads_s))
    results: list[list[StreamResult]] = [[] for _ in every]
    with Replayer(pack, every, engine, jobs) as replayer:
        tell(f"engine {replayer.choice.name}: {replayer.choice.reason}")
        for stream, heard in zip(streams, replayer.replays([one.sound for one in streams]), strict=True):
            for notice in heard[0].notices:
                tell(notice)
            for among, one in zip(results, heard, strict=True):
                among.append(result_from_replay(stream, one))
            if progress:
                progress(len(results[0]), len(streams))
    days = {
        (stream.day, part_of_days((stream.day,), pack.manifest.split)) for stream in streams if stream.day
    }
    parts = [part for _, part in sorted(days)]
    signature = StreamSignature(
        contract=contract_hash(),
        pack=pack.manifest.name,
        pack_sha256=pack.sha256,
        streams=fingerprint(streams),
        n_streams=len(streams),
        n_spliced=sum(stream.is_spliced for stream in streams),
        seconds=float(sum(result.tally.seconds for result in results[0])),
        days_by_part={part: parts.count(part) for part in sorted(set(parts))},
        settings=asdict(settings),
        rules=stream_scores.RULES,
        engine=replayer.choice.name,
        n_draws=n_draws,
        seed=seed,
        versions=software_versions(PACKAGES),
    )
    evaluation = evaluation_from_results(signature, results[0])
    by_lookahead = {
        f"{one.lookahead_s:g}": _score([result for result in among if result.stream.truth], signature)
        for one, among in zip(every, results, strict=True)
    }
    return replace(evaluation, by_lookahead=by_lookahead)


def result_from_replay(stream: Stream, heard: Replay) -> StreamResult:
    """Score one replayed stream."""
    tally, delays_s = stream_scores.tally_from_replay(heard, stream.truth)
    return StreamResult(stream, heard, tally, delays_s, _measures(tally, delays_s))


def evaluation_from_results(signature: StreamSignature, results: Sequence[StreamResult]) -> StreamEvaluation:
    """Add up the counts of all streams and of each slice."""
    breathing = [result for result in results if result.stream.truth]

    def sliced(among: Sequence[StreamResult], key: Callable[[Stream], str | None]) -> dict[str, SliceScore]:
        names = sorted({name for result in among if (name := key(result.stream)) is not None})
        return {name: _score([one for one in among if key(one.stream) == name], signature) for name in names}

    by_snr = sliced(breathing, lambda stream: stream.snr_class)
    return StreamEvaluation(
        signature,
        overall=_score(breathing, signature),
        by_kind=sliced(results, lambda stream: stream.kind),
        by_snr={name: by_snr[name] for name in SNR_CLASSES if name in by_snr},
        by_day=sliced(breathing, lambda stream: stream.day),
        by_lookahead={},
        streams=tuple(results),
    )


def plain_measures(measures: dict[str, float]) -> dict[str, float | None]:
    """None in place of NaN, which JSON does not know."""
    return {name: None if np.isnan(value) else value for name, value in measures.items()}


def _score(results: Sequence[StreamResult], signature: StreamSignature) -> SliceScore:
    if not results:
        return SliceScore(0, 0, 0.0, 0.0, {}, {})
    stack = stream_scores.stacked([result.tally for result in results])
    delays_s = np.concatenate([result.delays_s for result in results])
    total = stream_scores.weighted_sum(stack, np.ones(len(results)))
    groups, group_of = np.unique([result.stream.group for result in results], return_inverse=True)
    measures = _measures(total, delays_s)
    intervals = dict.fromkeys(measures, (float("nan"), float("nan")))
    if len(groups) > 1:
        drawn = drawn_days(len(groups), signature.n_draws, signature.seed)
        occurrences = np.stack([np.bincount(row, minlength=len(groups)) for row in drawn])
        times: NDArray[np.float64] = occurrences[:, group_of].astype(np.float64)
        draws = stream_scores.measures_from_tally(stream_scores.weighted_sum(stack, times))
        stream_of_delay = np.repeat(np.arange(len(results)), [len(result.delays_s) for result in results])
        delay_draws = [
            stream_scores.delay_measures(np.repeat(delays_s, row[stream_of_delay].astype(int)))
            for row in times
        ]
        draws |= {name: np.array([one[name] for one in delay_draws]) for name in delay_draws[0]}
        intervals = {name: interval_95(draws[name]) for name in measures}
    return SliceScore(
        len(results), len(groups), float(total.seconds), float(total.false[2]), measures, intervals
    )


def _measures(tally: Tally, delays_s: NDArray[np.float64]) -> dict[str, float]:
    single = {name: float(value) for name, value in stream_scores.measures_from_tally(tally).items()}
    return single | stream_scores.delay_measures(delays_s)
