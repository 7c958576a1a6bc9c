"""The streaming benchmark end to end: tiny streams, a tiny pack, the real live path."""

import json
import os
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from engines.contract import RATE_HZ
from engines.errors import LabelsError
from engines.pack import load_pack
from offline.cli import main
from offline.streams.evaluate import evaluate_streams, evaluation_from_results, result_from_replay
from offline.streams.files import Stream, find_streams, notes_from_streams
from offline.streams.plots import draw_all
from offline.streams.report import page_from_evaluation, write_report
from offline.streams.scores import measures_from_tally, stacked, tally_from_replay, weighted_sum
from realtime.breaths import BreathCounter, BreathSettings
from realtime.engine import open_engine
from realtime.events import Breath, Frame, Phase, PhaseEvent
from realtime.labels import PhaseInterval, csv_from_labels
from realtime.pipeline import Pipeline, PipelineSettings
from realtime.replay import Replay, replay
from realtime.sound.demo import DemoSource
from realtime.sound.sources import ArraySource

FIGURES = {"typical", "worst", "delays", "noise", "days", "reliability"}
NASTY = '<script>alert("1")</script> & $x_{1'


def at(seconds):
    return round(seconds * RATE_HZ)


def write_stream(folder, name, samples, phases, **sidecar):
    soundfile.write(folder / f"{name}.wav", samples, RATE_HZ, subtype="FLOAT")
    (folder / f"{name}.csv").write_text(csv_from_labels(phases))
    if sidecar:
        (folder / f"{name}.json").write_text(json.dumps({**sidecar, "more": {"seed": 1}}))


def breathing(seed, seconds=8.0):
    source = DemoSource(seconds, seed=seed, pace=None)
    samples = np.concatenate([block.samples[:, 0] for block in source.blocks()])
    phases = [one for one in source.phases if one.phase is not Phase.NONE]
    return samples, [PhaseInterval(one.start_sample, one.end_sample, one.phase) for one in phases]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three streams with breath, of two days; noise that comes and goes; silence; a sound without labels."""
    folder = tmp_path_factory.mktemp("streams")
    for number, (kind, day, snr_db) in enumerate(
        [("slow", "20190101", None), ("slow", "20190102", 30.0), ("fast", "20190102", 6)]
    ):
        samples, phases = breathing(number)
        write_stream(folder, f"breath{number}", samples, phases, kind=kind, day=day, snr_db=snr_db)
    noise = 0.05 * np.random.default_rng(0).standard_normal(at(4))
    noise[at(2.5) :] = 0
    write_stream(folder, "noise", noise, [], kind="negative")
    write_stream(folder, "quiet", np.zeros(at(3)), [], kind="silence")
    soundfile.write(folder / "unlabelled.wav", noise, RATE_HZ)
    return folder


@pytest.fixture(scope="module")
def pack(tiny_pack):
    return load_pack(tiny_pack)


@pytest.fixture(scope="module")
def evaluation(folder, pack):
    return evaluate_streams(pack, find_streams(folder), PipelineSettings(), n_draws=50)


def test_streams_are_found_with_what_their_sidecars_say(folder):
    streams = {stream.name: stream for stream in find_streams(folder)}
    assert list(streams) == ["breath0", "breath1", "breath2", "noise", "quiet"]
    assert [stream.kind for stream in streams.values()] == ["slow", "slow", "fast", "negative", "silence"]
    assert streams["breath1"].day == streams["breath1"].group == "20190102"
    assert streams["noise"].day is None
    assert streams["noise"].group != streams["quiet"].group
    assert streams["breath0"].truth[0].phase is Phase.INHALE
    assert streams["noise"].truth == ()
    classes = [stream.snr_class for stream in streams.values()]
    assert classes[:3] == ["clean, or not stated", "25 dB and more", "below 7.5 dB"]


@pytest.mark.parametrize(
    ("snr_db", "name"),
    [(7.5, "7.5 to 15 dB"), (14.9, "7.5 to 15 dB"), (15, "15 to 25 dB"), (25, "25 dB and more")],
)
def test_classes_of_noise_hold_their_lower_limit(tmp_path, snr_db, name):
    assert Stream("a", tmp_path / "a.wav", (), snr_db=snr_db).snr_class == name


def test_a_stream_needs_no_sidecar(tmp_path):
    write_stream(tmp_path, "plain", np.zeros(100), [])
    (stream,) = find_streams(tmp_path)
    assert (stream.kind, stream.day, stream.snr_db) == ("unknown", None, None)
    assert not stream.is_spliced


def test_what_was_corrected_in_audacity_is_the_truth(tmp_path):
    write_stream(tmp_path, "night", np.zeros(40_000), [PhaseInterval(0, 16_000, Phase.INHALE)])
    table = tmp_path / "night.csv"
    (tmp_path / "night.txt").write_text("0.0\t1.0\tinhale\n")
    (same,) = find_streams(tmp_path)
    assert not same.is_disputed
    assert notes_from_streams([same]) == []
    (tmp_path / "night.txt").write_text("0.0\t1.0\texhale\n")
    (corrected,) = find_streams(tmp_path)
    assert [phase.phase for phase in corrected.truth] == [Phase.EXHALE]
    assert corrected.checksum != same.checksum
    (note,) = notes_from_streams([corrected])
    assert "labels of the .txt, not of the .csv that differs: night" in note
    later_s = (tmp_path / "night.txt").stat().st_mtime + 60
    os.utime(table, (later_s, later_s))
    with pytest.raises(LabelsError, match=r"night\.csv differs from night\.txt and is the newer"):
        find_streams(tmp_path)
    (tmp_path / "night.txt").write_text("slept badly; the window was open\n")
    (noted,) = find_streams(tmp_path)
    assert [phase.phase for phase in noted.truth] == [Phase.INHALE]
    assert notes_from_streams([noted]) == ["labels of the .csv, as the .txt holds none: night"]
    (tmp_path / "night.txt").write_text("0.0\t1.0\texhale\n")
    table.unlink()
    (alone,) = find_streams(tmp_path)
    assert [phase.phase for phase in alone.truth] == [Phase.EXHALE]


def test_labels_that_go_on_after_the_sound_are_refused(tmp_path):
    write_stream(tmp_path, "night", np.zeros(16_000), [PhaseInterval(0, 31_000, Phase.INHALE)])
    assert len(find_streams(tmp_path)) == 1
    write_stream(tmp_path, "night", np.zeros(16_000), [PhaseInterval(0, 33_000, Phase.INHALE)])
    with pytest.raises(LabelsError, match=r"night\.csv goes on to 2\.06 s, but night\.wav ends at 1\.00 s"):
        find_streams(tmp_path)


def test_a_recording_counts_once(tmp_path):
    write_stream(tmp_path, "night", np.zeros(16_000), [])
    soundfile.write(tmp_path / "night.flac", np.zeros(16_000), RATE_HZ)
    soundfile.write(tmp_path / "night.mic.wav", np.zeros(16_000), RATE_HZ)
    with pytest.raises(LabelsError, match=r"night lie beside night\.flac and night\.wav"):
        find_streams(tmp_path)
    (tmp_path / "night.csv").unlink()
    with pytest.raises(LabelsError, match="no labelled stream"):
        find_streams(tmp_path)


def test_of_a_sound_that_is_cut_off_only_what_is_there_is_judged(evaluation):
    result = evaluation.streams[0]
    beyond = at(8)
    truth = (*result.stream.truth, PhaseInterval(beyond - at(0.1), beyond + at(1), Phase.EXHALE))
    truth = (*truth, PhaseInterval(beyond + at(1), beyond + at(2), Phase.INHALE))
    before = [phase for phase in truth if phase.start_sample < beyond]
    longer = result_from_replay(replace(result.stream, truth=truth), result.replay)
    assert len(longer.stream.truth) == len(before)
    assert longer.stream.truth[-1].end_sample == beyond


def test_labels_that_are_the_detectors_own_answers_are_told_of(evaluation):
    assert evaluation.n_labels_as_shown < 0.2 * evaluation.n_labels
    assert evaluation.warning == ""
    own = []
    for result in evaluation.streams:
        truth = tuple(
            PhaseInterval(event.onset_sample, event.onset_sample + 1, event.phase)
            for event in result.replay.events
            if event.phase is not Phase.NONE
        )
        own.append(result_from_replay(replace(result.stream, truth=truth), result.replay))
    scored = evaluation_from_results(evaluation.signature, own)
    assert scored.n_labels_as_shown == scored.n_labels > 5
    assert f"{scored.n_labels} of {scored.n_labels} labels begin at the very sample" in scored.warning
    assert scored.warning in " ".join(Page(page_from_evaluation(scored, {})).words)
    assert scored.to_json()["labels"] == {"n": scored.n_labels, "n_as_shown": scored.n_labels}


def test_what_cannot_be_used_is_named(folder, tmp_path):
    with pytest.raises(LabelsError, match="no such folder"):
        find_streams(tmp_path / "gone")
    soundfile.write(tmp_path / "bare.wav", np.zeros(100), RATE_HZ)
    with pytest.raises(LabelsError, match="holds no labelled stream"):
        find_streams(tmp_path)
    (tmp_path / "bare.csv").write_text("start_s,end_s,phase\n0,1,sneeze\n")
    with pytest.raises(LabelsError, match=r"bare\.csv, line 2"):
        find_streams(tmp_path)
    shutil.copy(folder / "quiet.csv", tmp_path / "bare.csv")
    (tmp_path / "bare.json").write_text('{"snr_db": "loud"}')
    with pytest.raises(LabelsError, match=r"bare\.json cannot be read"):
        find_streams(tmp_path)


def test_a_replay_is_what_the_pipeline_shows(folder, pack):
    samples, _ = soundfile.read(folder / "breath0.wav", dtype="float32")
    settings = PipelineSettings(hop_s=0.2)
    engine, _ = open_engine(pack, n_threads=1)
    with engine:
        heard = replay(folder / "breath0.wav", engine, pack.manifest, settings)
        source = ArraySource(samples, RATE_HZ)
        pipeline = Pipeline(source, engine, pack.manifest, settings)
        steps = [step for block in source.blocks() for step in pipeline.push(block)] + list(pipeline.finish())
    assert heard.frames == tuple(step.frame for step in steps)
    assert heard.events == tuple(step.event for step in steps if step.event)
    assert heard.n_samples == len(samples)
    assert heard.notices == ()


def shown_by(rows, n_samples, delay_s=0.0):
    """A replay that shows each (start, end, phase) `delay_s` late, with a frame every 10 ms, always sure."""
    events = []
    for start_s, end_s, phase in rows:
        events.append(PhaseEvent(phase, at(start_s), at(start_s + delay_s), 1.0))
        events.append(PhaseEvent(Phase.NONE, at(end_s), at(end_s + delay_s), 1.0))
    frames, shown = [], Phase.NONE
    waiting = list(events)
    for end_sample in range(160, n_samples + 1, 160):
        # The frame that brings a phase still ends in what was before.
        prob_exhale = float(shown is Phase.EXHALE)
        while waiting and waiting[0].reported_sample <= end_sample:
            shown = waiting.pop(0).phase
        frames.append(Frame(end_sample, prob_exhale, shown, 1.0, -30.0))
    rows = BreathCounter(BreathSettings()).push(*events)
    breaths = tuple(row for row in rows if isinstance(row, Breath))
    return Replay(tuple(frames), tuple(events), n_samples, breaths=breaths)


ROWS = [
    (1.0, 2.0, Phase.INHALE),
    (2.5, 4.0, Phase.EXHALE),
    (5.0, 6.0, Phase.INHALE),
    (6.5, 8.0, Phase.EXHALE),
]
TRUTH = [PhaseInterval(at(start_s), at(end_s), phase) for start_s, end_s, phase in ROWS]


def test_measures_of_a_perfect_stream():
    tally, delays_s = tally_from_replay(shown_by(ROWS, at(9)), TRUTH)
    measures = measures_from_tally(tally)
    for name, value in measures.items():
        if name.startswith(("macro", "f1", "segment", "onset")):
            assert value == 1.0, name
    assert delays_s.tolist() == [0.0] * 4
    assert measures["phases_per_true"] == 1.0
    assert measures["rate_error_per_min"] == 0.0
    assert measures["phase_calibration_error"] == measures["phase_brier"] == 0.0
    # No pause is as long as 3 s.
    assert np.isnan(measures["false_phases_per_min"])


def test_measures_of_a_stream_that_is_late():
    tally, delays_s = tally_from_replay(shown_by(ROWS, at(9), delay_s=0.25), TRUTH)
    measures = measures_from_tally(tally)
    assert delays_s.tolist() == [0.25] * 4
    assert measures["onset_f1"] == measures["onset_f1_500ms"] == 1.0
    assert measures["onset_f1_200ms"] == measures["onset_f1_200ms_inhale"] == 0.0
    # Of 100 instants of each inhalation the last 75 are shown, and 25 after it.
    assert measures["f1_live_inhale"] == pytest.approx(0.75)
    assert measures["f1_live_exhale"] == pytest.approx(1.25 / 1.5)
    assert measures["rate_error_per_min"] == 0.0


def test_a_lookahead_is_forgiven_by_holding_each_answer_against_what_it_is_about():
    late = shown_by(ROWS, at(9), delay_s=0.25)
    tally, _ = tally_from_replay(late, TRUTH, at(0.25))
    measures = measures_from_tally(tally)
    assert measures["macro_f1_forgiven"] == 1.0 > measures["macro_f1_live"]
    # Of the last quarter of a second nothing was said.
    assert tally.forgiven.sum() == 875 == tally.confusion.sum() - 25
    unforgiven = measures_from_tally(tally_from_replay(late, TRUTH)[0])
    assert unforgiven["macro_f1_forgiven"] == unforgiven["macro_f1_live"] == measures["macro_f1_live"]


def test_nothing_is_forgiven_before_the_first_window_is_complete():
    frames = tuple(Frame(at(end_s), 1.0, Phase.EXHALE, 1.0, -30.0) for end_s in (1.0, 1.1, 1.2, 1.3))
    events = (PhaseEvent(Phase.EXHALE, at(1.0), at(1.0), 1.0),)
    truth = [PhaseInterval(0, at(1.4), Phase.EXHALE)]
    tally, _ = tally_from_replay(Replay(frames, events, at(1.4)), truth, at(0.2))
    # 1.4 s less the lookahead, of which the first second is none.
    assert tally.forgiven[2].tolist() == [100, 0, 20]


def test_a_phase_shown_as_the_other_is_no_match():
    wrong = [(2.5, 4.0, Phase.INHALE), *ROWS[2:]]
    tally, _ = tally_from_replay(shown_by(wrong, at(9)), TRUTH)
    measures = measures_from_tally(tally)
    # Found are one inhalation and one exhalation of two each; one inhalation is false.
    assert measures["onset_recall"] == pytest.approx(2 / 4)
    assert measures["onset_precision"] == pytest.approx(2 / 3)
    assert measures["onset_f1_inhale"] == pytest.approx(1 / 2)
    assert measures["onset_f1_exhale"] == pytest.approx(2 / 3)
    assert measures["phases_per_true"] == pytest.approx(3 / 4)
    # True: one breath of 4 s. Shown: none that is complete.
    assert measures["rate_error_per_min"] == pytest.approx(60 / 4)


def test_the_rate_is_that_of_the_complete_breaths_of_either_side():
    # The second breath is shown a second early, the third not at all: 3 s a breath, not 9 s in two.
    shown = [*ROWS[:2], (4.0, 5.0, Phase.INHALE)]
    truth = [*TRUTH, PhaseInterval(at(10.0), at(11.0), Phase.INHALE)]
    tally, _ = tally_from_replay(shown_by(shown, at(12)), truth)
    assert tally.rate.tolist() == pytest.approx([60 / 3 - 60 / 4.5, 1])
    alone, _ = tally_from_replay(shown_by(shown, at(12)), TRUTH[:1])
    assert alone.rate.tolist() == [0, 0], "a truth without a breath has no rate"


def test_false_phases_are_those_of_long_pauses_and_of_streams_without_breath():
    truth = [PhaseInterval(0, at(1), Phase.INHALE), PhaseInterval(at(6), at(7), Phase.EXHALE)]
    # The pause counts from 2.0 to 5.7 s.
    shown = [
        (1.8, 1.9, Phase.INHALE),
        (2.5, 2.6, Phase.EXHALE),
        (3.0, 3.1, Phase.INHALE),
        (5.8, 7.0, Phase.EXHALE),
    ]
    tally, _ = tally_from_replay(shown_by(shown, at(8)), truth)
    assert tally.false.tolist() == pytest.approx([2, 1, 3.7])
    tally, _ = tally_from_replay(shown_by(shown, at(8)), [])
    assert tally.false.tolist() == [4, 2, 8]
    assert measures_from_tally(tally)["false_phases_per_min"] == pytest.approx(30)


def test_counts_of_streams_add_up():
    one, _ = tally_from_replay(shown_by(ROWS, at(9)), TRUTH)
    other, _ = tally_from_replay(shown_by([], at(9)), TRUTH)
    total = weighted_sum(stacked([one, other]), np.array([1.0, 1.0]))
    assert measures_from_tally(total)["onset_recall"] == pytest.approx(1 / 2)
    assert total.seconds == pytest.approx(18)
    draws = weighted_sum(stacked([one, other]), np.array([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0]]))
    np.testing.assert_allclose(measures_from_tally(draws)["onset_recall"], [1, 0, 1 / 2])


def test_every_slice_is_scored_and_the_result_is_json(evaluation, pack):
    content = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    assert content["overall"]["n_streams"] == 3
    assert content["overall"]["n_days"] == 2
    assert set(content["by_kind"]) == {"fast", "slow", "negative", "silence"}
    assert set(content["by_day"]) == {"20190101", "20190102"}
    assert list(content["by_snr"]) == ["below 7.5 dB", "25 dB and more", "clean, or not stated"]
    assert [stream["name"] for stream in content["streams"]] == [
        "breath0",
        "breath1",
        "breath2",
        "noise",
        "quiet",
    ]
    assert set(content["breaths"]) == {"overall", "fast", "slow"}
    assert content["breaths"]["overall"]["n_true"] > 0
    signature = content["signature"]
    assert (signature["n_streams"], signature["seconds"]) == (5, 31.0)
    assert signature["pack_sha256"] == pack.sha256
    assert signature["settings"]["hop_s"] == 0.1
    assert signature["days_by_part"] == {"unknown": 2}
    assert "interval_95" in content["by_kind"]["slow"]


def test_the_tiny_pack_follows_the_demo_and_is_quiet_in_silence(evaluation):
    clean = evaluation.streams[0].measures
    assert clean["macro_f1_live"] > 0.6
    assert clean["onset_recall"] > 0.6
    assert evaluation.by_kind["silence"].measures["false_phases_per_min"] == 0
    assert evaluation.by_kind["negative"].measures["false_phases_per_min"] > 0
    low, high = evaluation.overall.intervals["macro_f1_live"]
    assert low <= evaluation.overall.measures["macro_f1_live"] <= high


def test_overall_pools_the_streams_with_breath(evaluation):
    breathing_streams = [result for result in evaluation.streams if result.stream.truth]
    confusion = sum(result.tally.confusion for result in breathing_streams)
    f1 = 2 * np.diag(confusion) / (confusion.sum(axis=0) + confusion.sum(axis=1))
    assert evaluation.overall.measures["macro_f1_live"] == pytest.approx(f1.mean())
    delays_s = np.concatenate([result.delays_s for result in breathing_streams])
    assert evaluation.overall.measures["onset_delay_p50_s"] == pytest.approx(np.median(delays_s))
    assert evaluation.overall.seconds == 24.0


def test_several_processes_give_what_one_gives(evaluation, folder, pack):
    streams = find_streams(folder)
    again = evaluate_streams(pack, streams, PipelineSettings(), jobs=2, n_draws=50)
    assert again.to_json() == evaluation.to_json()
    assert [result.replay for result in again.streams] == [result.replay for result in evaluation.streams]


def test_lookaheads_inferred_together_are_those_heard_alone(evaluation, folder, pack):
    streams = find_streams(folder)
    together = evaluate_streams(pack, streams, PipelineSettings(), lookaheads_s=(0.3,), n_draws=50)
    alone = evaluate_streams(pack, streams, PipelineSettings(lookahead_s=0.3), n_draws=50)
    assert list(together.by_lookahead) == ["0", "0.3"]
    assert not evaluation.has_lookahead
    assert together.has_lookahead
    causal, later = (score.to_json() for score in together.by_lookahead.values())
    assert causal == together.overall.to_json() == evaluation.overall.to_json()
    assert later == alone.overall.to_json() != causal
    assert causal["macro_f1_forgiven"] == causal["macro_f1_live"]
    assert later["macro_f1_forgiven"] > later["macro_f1_live"]
    assert together.chance == evaluation.chance == alone.chance


def test_days_of_training_are_counted(evaluation, folder, pack):
    seen = replace(evaluation.signature, days_by_part={"train": 1, "unknown": 1})
    words = " ".join(Page(page_from_evaluation(replace(evaluation, signature=seen), {})).words)
    assert "1 of these days were used to train or tune this pack" in words


@pytest.mark.parametrize(
    ("n_spliced", "counted"),
    [(0, "5 streams"), (2, "5 streams, 2 of them spliced"), (5, "5 spliced streams")],
)
def test_what_is_spliced_is_called_so(evaluation, n_spliced, counted):
    signature = replace(evaluation.signature, n_spliced=n_spliced)
    words = " ".join(Page(page_from_evaluation(replace(evaluation, signature=signature), {})).words)
    assert f": {counted}, 0.5 minutes" in words
    assert ("an order and with pauses that are made up" in words) == (n_spliced > 0)
    assert "continuous" not in words


def test_several_lookaheads_are_rows_of_the_page(evaluation):
    assert list(evaluation.by_lookahead) == ["0"]
    alone = " ".join(Page(page_from_evaluation(evaluation, {})).words)
    assert "By lookahead" not in alone
    both = replace(evaluation, by_lookahead={"0": evaluation.overall, "0.3": evaluation.by_kind["fast"]})
    words = " ".join(Page(page_from_evaluation(both, {})).words)
    after = words[words.index("By lookahead") :]
    assert after.index("0 s") < after.index("0.3 s")
    assert f"{evaluation.by_kind['fast'].measures['onset_f1']:.3f}" in after
    assert "lookahead forgiven" in after


def test_a_lookahead_alone_is_a_row_of_the_page_if_it_is_one(evaluation):
    later = replace(evaluation, by_lookahead={"0.3": evaluation.overall})
    assert "By lookahead" in " ".join(Page(page_from_evaluation(later, {})).words)


def test_chance_stands_beside_the_figures_of_all_streams_and_of_each_kind(evaluation):
    assert set(evaluation.breathing_columns) == {"overall", *evaluation.chance.by_kind}
    content = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))["chance"]
    words = " ".join(Page(page_from_evaluation(evaluation, {})).words)
    for chance in (content["overall"], content["by_kind"]["fast"], content["by_kind"]["slow"]):
        assert f"chance {chance['onset_f1']:.3f}" in words
        assert f"chance {chance['onset_delay_p90_s']:.2f} s" in words
        assert 0 < chance["onset_f1"] < 1
    assert f"shows {100 * content['overall']['onset_recall']:.0f} of 100 phases as what they are" in words
    assert f"fast: inhalation {content['lengths_s']['fast']['inhale_s']:.2f} s" in words


def test_chance_is_the_same_at_every_run(evaluation):
    assert evaluation_from_results(evaluation.signature, evaluation.streams).chance == evaluation.chance


class Page(HTMLParser):
    VOID = ("meta", "img")

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.images, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(dict(attributes)["src"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.words.append(text)


def test_the_page_needs_nothing_else_and_says_what_was_measured(evaluation, tmp_path):
    page = write_report(evaluation, tmp_path / "new" / "report")
    assert {path.stem for path in page.parent.glob("*.png")} == FIGURES
    text = page.read_text(encoding="utf-8")
    parsed = Page(text)
    assert parsed.open == []
    assert len(parsed.images) == len(FIGURES)
    assert all(source.startswith("data:image/png;base64,") for source in parsed.images)
    assert not re.search(r'(src|href)="(?!data:)', text)
    words = " ".join(parsed.words)
    assert f"{evaluation.overall.measures['macro_f1_live']:.3f}" in words
    low, high = evaluation.overall.intervals["onset_f1"]
    assert f"{low:.3f} to {high:.3f}" in words
    overall = evaluation.overall.measures
    assert f"Of 100 inhalations and exhalations, {100 * overall['onset_recall']:.0f} are shown" in words
    assert f"within {overall['onset_delay_p90_s']:.2f} s. Of 100 that are shown" in words
    for expected in ("negative", "silence", "20190102", "25 dB and more", evaluation.signature.streams):
        assert expected in words
    assert "nan" not in text.lower().split("signature")[0].split("base64")[0]


@pytest.mark.parametrize(("seconds", "has_row"), [(0.0, False), (3.0, True)])
def test_long_pauses_are_a_row_where_there_are_any(evaluation, seconds, has_row):
    overall = replace(evaluation.overall, seconds_without_breath=seconds)
    words = " ".join(Page(page_from_evaluation(replace(evaluation, overall=overall), {})).words)
    assert ("pauses of 3 s and more" in words) == has_row


def test_where_nothing_was_found_no_sentence_says_how_late(evaluation):
    mute = {**evaluation.overall.measures, "onset_delay_p50_s": float("nan")}
    page = page_from_evaluation(replace(evaluation, overall=replace(evaluation.overall, measures=mute)), {})
    words = " ".join(Page(page).words)
    assert "Of 100" not in words
    assert "macro-F1 live" in words


def test_names_are_words_and_never_markup(evaluation, tmp_path):
    def renamed(result):
        stream = replace(result.stream, name=NASTY, kind=NASTY, day=NASTY)
        return result_from_replay(stream, result.replay)

    signature = replace(evaluation.signature, pack=NASTY, engine=NASTY)
    nasty = evaluation_from_results(signature, [renamed(result) for result in evaluation.streams])
    parsed = Page(write_report(nasty, tmp_path).read_text(encoding="utf-8"))
    assert "script" not in parsed.tags
    assert any(NASTY in words for words in parsed.words)


@pytest.mark.parametrize(
    ("chosen", "figures"),
    [(["noise", "quiet"], set()), (["breath0"], FIGURES - {"worst"})],
)
def test_few_streams_still_make_a_page(evaluation, chosen, figures):
    some = [result for result in evaluation.streams if result.stream.name in chosen]
    few = evaluation_from_results(evaluation.signature, some)
    images = draw_all(few)
    assert set(images) == figures
    assert all(image.startswith(b"\x89PNG") for image in images.values())
    assert Page(page_from_evaluation(few, images)).open == []
    json.dumps(few.to_json(), allow_nan=False)


@pytest.fixture
def run(clean_environment):
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_command_prints_and_writes(run, folder, pack, tmp_path):
    (tmp_path / "breath.toml").write_text("[presence]\ngate_dbfs = -50\n")
    result = run(
        *["evaluate", "--streams", folder, "--pack", pack.path, "--hop", 0.2, "--draws", 20],
        *[
            "--config",
            tmp_path / "breath.toml",
            "--json",
            tmp_path / "o.json",
            "--report",
            tmp_path / "report",
        ],
    )
    assert result.exit_code == 0, result.output
    assert "5 streams, 0.5 min; days: 2 unknown" in result.stdout
    for words in ("macro-F1 live", "onset F1", "negative", "silence", "25 dB and more", "inhalation (Ti)"):
        assert words in result.stdout
    assert "seconds looked ahead" not in result.stdout
    assert "hop_s is set by --hop" in result.stderr
    assert "presence.gate_dbfs is set by" in result.stderr
    settings = json.loads((tmp_path / "o.json").read_text())["signature"]["settings"]
    assert (settings["hop_s"], settings["presence"]["gate_dbfs"]) == (0.2, -50.0)
    assert (tmp_path / "report" / "report.html").is_file()


def test_the_terminal_has_rows_for_each_day_and_lookahead_and_says_chance_and_what_is_false(
    run, folder, pack, tmp_path, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "200")
    arguments = ["--streams", folder, "--pack", pack.path, "--draws", 5, "--lookahead", "0.3"]
    result = run("evaluate", *arguments, "--json", tmp_path / "o.json")
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "o.json").read_text())
    lines = [line.strip("│").split("│") for line in result.stdout.splitlines() if line.startswith("│")]
    rows = {name.strip(): [cell.strip() for cell in cells] for name, *cells in lines}
    for day, n_streams in (("20190101", 1), ("20190102", 2)):
        score = content["by_day"][day]
        scores = [f"{score[name]:.3f}" for name in ("macro_f1_live", "onset_f1")]
        delays = [f"{score[name]:.2f} s" for name in ("onset_delay_p50_s", "onset_delay_p90_s")]
        assert rows[day] == [str(n_streams), *scores, *delays, f"{score['phases_per_true']:.2f}"]
    overall = content["overall"]
    assert rows["0.3"][:2] == [f"{overall[name]:.3f}" for name in ("macro_f1_live", "macro_f1_forgiven")]
    for chance in (content["chance"]["overall"], *content["chance"]["by_kind"].values()):
        assert f"chance {chance['onset_f1']:.3f}" in result.stdout
    false = content["by_kind"]["negative"]
    false_texts = [f"{false[name]:.2f}" for name in ("false_phases_per_min", "false_breaths_per_min")]
    assert rows["negative"] == ["0.1", *false_texts]
    for words in ("false phases per minute (inhalations and exhalations)", "(inhalations only)"):
        assert words in result.stdout


def test_the_command_writes_nothing_but_json_to_standard_output(run, folder, pack):
    result = run("evaluate", "--streams", folder, "--pack", pack.path, "--draws", 5, "--json", "-")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["signature"]["n_streams"] == 5


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--data", "x", "--streams", "y"],
        ["--data", "x", "--hop", "0.1"],
        ["--data", "x", "--jobs", "2"],
        ["--streams", "x", "--part", "test"],
        ["--streams", "x", "--skip-bad"],
    ],
)
def test_flags_that_do_not_go_together_are_errors_of_usage(run, flags):
    assert run("evaluate", *flags).exit_code == 2


def test_a_folder_without_streams_and_a_hop_that_cannot_be(run, folder, pack, tmp_path):
    assert run("evaluate", "--streams", tmp_path, "--pack", pack.path).exit_code == 5
    assert run("evaluate", "--streams", folder, "--pack", pack.path, "--hop", 5).exit_code == 2
