import json
from dataclasses import replace

import numpy as np
import pytest

from engines.errors import LabelsError
from engines.manifest import SplitDays
from offline import cli
from offline.clips import ClipSet
from offline.evaluate import PARTS, choose_clips, evaluate, part_of
from offline.metrics import binary_metrics

SPLIT = SplitDays(
    train=("20190101", "20190102", "20190103"), validation=("20190104",), test=("20190105", "20190106")
)


def days_of(clips):
    return sorted(set(clips.days))


def test_the_default_is_the_days_that_the_pack_has_not_seen(clips):
    assert days_of(choose_clips(clips, SPLIT, "unseen")) == ["20190105", "20190106"]
    elsewhere = SplitDays(train=("20180101",), validation=("20180102",), test=("20180103",))
    assert days_of(choose_clips(clips, elsewhere, "unseen")) == days_of(clips)
    some = SplitDays(train=("20190101",), validation=("20190102",), test=("20190103",))
    assert days_of(choose_clips(clips, some, "unseen")) == ["20190103", "20190104", "20190105", "20190106"]


def test_parts_are_the_days_of_the_split(clips):
    assert days_of(choose_clips(clips, SPLIT, "train")) == list(SPLIT.train)
    assert days_of(choose_clips(clips, SPLIT, "validation")) == list(SPLIT.validation)
    assert days_of(choose_clips(clips, SPLIT, "test")) == list(SPLIT.test)
    assert days_of(choose_clips(clips, SPLIT, "all")) == days_of(clips)


def test_seen_days_are_not_scored_unless_asked_for(clips):
    all_seen = SplitDays(train=tuple(days_of(clips)))
    with pytest.raises(LabelsError, match="no clip of a day that is unseen to this pack; its days are train"):
        choose_clips(clips, all_seen, "unseen")
    with pytest.raises(LabelsError, match="no clip of a day that is test"):
        choose_clips(clips, all_seen, "test")


def test_another_grouping_does_not_make_a_seen_day_unseen(clips):
    seen = replace(clips.clips[0], day="patient 7")
    assert part_of(seen, SPLIT) == "train"
    assert part_of(replace(clips.clips[0], day="20190105"), SPLIT) == "train"


def test_every_network_and_the_ensemble_are_scored(make_clip_folder, make_pack, loudness_engine):
    clips = ClipSet.read(make_clip_folder(per_day=10, wrong_every=5))
    result = evaluate(make_pack(SPLIT), clips, engine=loudness_engine, n_draws=50)
    assert list(result.scores) == ["cnn8", "vgg", "ensemble"]
    assert result.signature.n_clips == len(result.labels) == 20
    assert result.signature.days_by_part == {"test": 2}
    assert result.signature.n_days_left_out == 4
    assert result.signature.n_seen_days == 0
    for name, score in result.scores.items():
        assert score.metrics == binary_metrics(result.labels, result.probs[name])
        assert score.metrics.accuracy == pytest.approx(0.8)
        low, high = score.intervals["accuracy"]
        assert low <= 0.8 <= high
    doubtful, sure = result.scores["vgg"].metrics, result.scores["cnn8"].metrics
    assert doubtful.brier != sure.brier
    assert sum(n_clips for _, n_clips in result.accuracy_by_day.values()) == 20


def test_the_result_is_json_with_its_signature(clips, make_pack, loudness_engine):
    result = evaluate(make_pack(SPLIT), clips, "all", engine=loudness_engine, n_draws=20, seed=4)
    content = json.loads(json.dumps(result.to_json(), allow_nan=False))
    signature = content["signature"]
    assert signature["part"] == "all"
    assert signature["days_by_part"] == {"test": 2, "train": 3, "validation": 1}
    assert result.signature.n_seen_days == 4
    assert (signature["n_draws"], signature["seed"], signature["engine"]) == (20, 4, "loudness")
    assert signature["clips"] == clips.fingerprint
    assert signature["pack_sha256"] == "0" * 64
    assert {"python", "numpy", "scikit-learn"} <= set(signature["versions"])
    assert content["scores"]["ensemble"]["accuracy"] == 1.0
    assert content["scores"]["ensemble"]["interval_95"]["accuracy"] == [1.0, 1.0]
    assert content["days"]["20190101"] == {"n": 4, "accuracy": 1.0}


def test_one_day_of_one_class_has_nulls_and_no_numbers_made_up(clips, make_pack, loudness_engine):
    one = replace(clips, clips=tuple(clip for clip in clips.clips[:4] if clip.label))
    content = evaluate(make_pack(SPLIT), one, "train", engine=loudness_engine).to_json()
    assert content["scores"]["ensemble"]["auc"] is None
    assert content["scores"]["ensemble"]["interval_95"]["accuracy"] is None
    json.dumps(content, allow_nan=False)


def test_the_same_evaluation_twice_is_the_same(clips, make_pack, loudness_engine):
    once, again = (evaluate(make_pack(SPLIT), clips, engine=loudness_engine, n_draws=30) for _ in range(2))
    assert once.to_json() == again.to_json()
    np.testing.assert_array_equal(once.probs["ensemble"], again.probs["ensemble"])


def test_the_command_offers_every_part():
    option = next(option for option in cli.evaluate.params if option.name == "part")
    assert tuple(option.type.choices) == PARTS
