import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from engines.errors import OutputError
from engines.manifest import SplitDays
from offline.clips import ClipSet
from offline.evaluate import evaluate
from offline.plots import draw_all
from offline.report import page_from_evaluation, write_report

FIGURES = {"roc", "reliability", "confusion", "probabilities", "days"}
NASTY = '<script>alert("1")</script> & $x_{1'


@pytest.fixture
def evaluation(make_clip_folder, make_pack, loudness_engine):
    clips = ClipSet.read(make_clip_folder(per_day=10, wrong_every=7))
    return evaluate(make_pack(SplitDays()), clips, engine=loudness_engine, n_draws=20)


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.images = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attributes)["src"])

    def handle_data(self, text):
        self.words.append(text)


def test_the_folder_holds_the_figures_and_a_page_that_needs_nothing_else(evaluation, tmp_path):
    page = write_report(evaluation, tmp_path / "new" / "report")
    assert {path.stem for path in page.parent.glob("*.png")} == FIGURES
    text = page.read_text(encoding="utf-8")
    parsed = Page(text)
    assert len(parsed.images) == len(FIGURES)
    for source, name in zip(parsed.images, draw_all(evaluation), strict=True):
        prefix, content = source.split(",")
        assert prefix == "data:image/png;base64"
        assert base64.b64decode(content) == (page.parent / f"{name}.png").read_bytes()
    assert not re.search(r'(src|href)="(?!data:)', text)


def test_the_table_holds_the_scores_and_their_intervals(evaluation):
    words = " ".join(Page(page_from_evaluation(evaluation, {})).words)
    for score in evaluation.scores.values():
        low, high = score.intervals["accuracy"]
        assert f"{score.metrics.accuracy:.3f}" in words
        assert f"{low:.3f} to {high:.3f}" in words
    assert evaluation.signature.clips in words
    assert "used to train" not in words


def test_days_that_were_trained_on_are_declared(evaluation):
    seen = replace(evaluation.signature, days_by_part={"train": 5, "test": 1})
    words = " ".join(Page(page_from_evaluation(replace(evaluation, signature=seen), {})).words)
    assert "5 of these days were used to train or tune this pack" in words


def test_names_are_words_and_never_markup(evaluation, tmp_path):
    nasty = replace(
        evaluation,
        signature=replace(evaluation.signature, pack=NASTY, engine=NASTY, versions={NASTY: NASTY}),
        scores={NASTY: evaluation.scores["cnn8"], "ensemble": evaluation.scores["ensemble"]},
        probs={NASTY: evaluation.probs["cnn8"], "ensemble": evaluation.probs["ensemble"]},
        days=np.array([NASTY + day for day in evaluation.days]),
    )
    text = write_report(nasty, tmp_path).read_text(encoding="utf-8")
    parsed = Page(text)
    assert "script" not in parsed.tags
    assert any(NASTY in words for words in parsed.words)


@pytest.mark.parametrize(("n_clips", "is_auc_known"), [(1, False), (2, True)])
def test_hardly_any_clips_still_make_figures(clips, make_pack, loudness_engine, n_clips, is_auc_known):
    few = replace(clips, clips=clips.clips[:n_clips])
    evaluation = evaluate(make_pack(SplitDays()), few, engine=loudness_engine, n_draws=5)
    images = draw_all(evaluation)
    assert set(images) == FIGURES
    assert all(image.startswith(b"\x89PNG") for image in images.values())
    assert ("<td>-</td>" not in page_from_evaluation(evaluation, images)) == is_auc_known


def test_a_folder_that_cannot_be_written(evaluation, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write the report"):
        write_report(evaluation, tmp_path / "file")
