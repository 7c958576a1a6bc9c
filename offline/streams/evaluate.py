"""The streaming benchmark: labelled streams through the live path, scored overall and slice by slice."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray

from engines.contract import contract_hash
from engines.pack import Pack
from offline.evaluate import PACKAGES, part_of_days
from offline.metrics import drawn_days, interval_95
from offline.predict import Progress
from offline.streams import scores as stream_scores
from offline.streams.breath_agreement import breath_agreement
from offline.streams.chance import chance_level
from offline.streams.files import SNR_CLASSES, Stream, fingerprint
from offline.streams.replays import Replayer
from offline.streams.result import OVERALL, SliceScore, StreamEvaluation, StreamResult, StreamSignature
from offline.versions import software_versions
from realtime.clock import samples_from_seconds
from realtime.decision import DecisionState
from realtime.pipeline import PipelineSettings
from realtime.replay import Replay


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
            for among, one, setting in zip(results, heard, every, strict=True):
                among.append(result_from_replay(stream, one, _ahead_samples(setting)))
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


def result_from_replay(stream: Stream, heard: Replay, ahead_samples: int = 0) -> StreamResult:
    """Score one replayed stream, whose answers are each about `ahead_samples` before they were given."""
    # Of a sound that is cut off only what is there can be judged; a notice has told of it.
    n_samples = heard.n_samples
    truth = (
        replace(phase, end_sample=min(phase.end_sample, n_samples))
        for phase in stream.truth
        if phase.start_sample < n_samples
    )
    stream = replace(stream, truth=tuple(truth))
    tally, delays_s = stream_scores.tally_from_replay(heard, stream.truth, ahead_samples)
    return StreamResult(stream, heard, tally, delays_s, stream_scores.all_measures(tally, delays_s))


def evaluation_from_results(signature: StreamSignature, results: Sequence[StreamResult]) -> StreamEvaluation:
    """Add up the counts of all streams and of each slice."""
    breathing = [result for result in results if result.stream.truth]

    def sliced(among: Sequence[StreamResult], key: Callable[[Stream], str | None]) -> dict[str, SliceScore]:
        return {name: _score(group, signature) for name, group in _grouped(among, key).items()}

    by_kind = _grouped(breathing, lambda stream: stream.kind)
    by_snr = sliced(breathing, lambda stream: stream.snr_class)
    return StreamEvaluation(
        signature,
        overall=_score(breathing, signature),
        by_kind=sliced(results, lambda stream: stream.kind),
        by_snr={name: by_snr[name] for name in SNR_CLASSES if name in by_snr},
        by_day=sliced(breathing, lambda stream: stream.day),
        by_lookahead={},
        chance=chance_level([(one.stream, one.replay.n_samples) for one in results]),
        breaths={
            name: breath_agreement((one.stream.truth, one.replay.breaths) for one in among)
            for name, among in {OVERALL: breathing, **by_kind}.items()
        },
        n_labels=sum(len(one.stream.truth) for one in breathing),
        n_labels_as_shown=sum(map(_n_as_shown, breathing)),
        streams=tuple(results),
    )


def _grouped(
    among: Sequence[StreamResult], key: Callable[[Stream], str | None]
) -> dict[str, list[StreamResult]]:
    """Results by a fact of their streams, in its order; those of which it is not known are left out."""
    names = sorted({name for result in among if (name := key(result.stream)) is not None})
    return {name: [one for one in among if key(one.stream) == name] for name in names}


def _n_as_shown(result: StreamResult) -> int:
    shown = {(event.phase, event.onset_sample) for event in result.replay.events}
    return sum((one.phase, one.start_sample) in shown for one in result.stream.truth)


def _score(results: Sequence[StreamResult], signature: StreamSignature) -> SliceScore:
    if not results:
        return SliceScore(0, 0, 0.0, 0.0, {}, {})
    stack = stream_scores.stacked([result.tally for result in results])
    delays_s = np.concatenate([result.delays_s for result in results])
    total = stream_scores.weighted_sum(stack, np.ones(len(results)))
    groups, group_of = np.unique([result.stream.group for result in results], return_inverse=True)
    measures = stream_scores.all_measures(total, delays_s)
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


def _ahead_samples(settings: PipelineSettings) -> int:
    """The lookahead as it is run, in whole hops."""
    hop_samples = samples_from_seconds(settings.hop_s)
    return DecisionState.initial(settings.decision, hop_samples, settings.lookahead_s).n_ahead * hop_samples
