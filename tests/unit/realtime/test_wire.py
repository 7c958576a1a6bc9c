"""The published schema: it is the one of the code, it knows every event, and real output obeys it."""

import json
import typing
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from realtime import wire
from realtime.cli import cli
from realtime.events import Apnoea, Breath, Condition, Gap, Health, Mark, Phase, PhaseEvent, Report
from realtime.sound.demo import DemoSource

PUBLISHED = Path(__file__).resolve().parents[3] / "docs" / "events.schema.json"
EXAMPLES = [
    PhaseEvent(Phase.INHALE, 19_200, 24_000, 0.93),
    Breath(1, 16_000, 32_000, 40_000, 80_000, 96_000, 97_600, 12.0, None, None),
    Breath(2, 96_000, 112_000, 112_000, 150_000, 160_000, 161_600, 13.3, 0.7071, 1.0, 0.9),
    Apnoea(True, 160_000, 320_000),
    Apnoea(False, 160_000, 400_000),
    Health(Condition.CLIPPING, True, 48_000, 3.14159, "%"),
    Gap(16_000, 24_000, "device lost"),
    Mark(1, 48_000),
]


START = wire.StartMessage(
    source="USB microphone",
    started_at="2026-11-28T22:15:03.120Z",
    pack="default",
    pack_sha256="0" * 64,
    engine="onnxruntime",
    hop_s=0.1,
    lookahead_s=0.0,
)


@pytest.fixture(scope="module")
def validator():
    published = json.loads(PUBLISHED.read_text())
    jsonschema.Draft202012Validator.check_schema(published)
    return jsonschema.Draft202012Validator(published)


def keys_of(published, kind):
    (form,) = [
        form for form in published["$defs"].values()
        if form.get("properties", {}).get("event", {}).get("enum") == [kind]
    ]  # fmt: skip
    return set(form["properties"]), set(form["required"])


def test_what_is_published_is_made_from_the_code():
    mend = f"run python -m realtime.wire > {PUBLISHED.name}, and see whether the version has to change"
    assert PUBLISHED.read_text() == wire.text_from_schema(), mend


def test_the_schema_has_a_name_of_its_own_and_a_version():
    published = json.loads(PUBLISHED.read_text())
    major = published["version"].partition(".")[0]
    assert published["$id"] == f"urn:breath:events:{major}"
    assert published["$schema"].endswith("2020-12/schema")


def test_every_event_has_a_message_and_an_example():
    """A new kind of event fails here until `realtime.wire`, the schema and this file know it."""
    kinds = {PhaseEvent, *typing.get_args(Report)}
    assert {type(example) for example in EXAMPLES} == kinds
    named = {json.loads(wire.json_from_event(example))["event"] for example in EXAMPLES}
    assert named == {
        message.__struct_config__.tag
        for message in typing.get_args(wire.AnyMessage)
        if message is not wire.StartMessage
    }


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)
@pytest.mark.parametrize("file", [None, "a.wav"])
def test_every_event_obeys_the_schema_with_no_key_too_many(validator, example, file):
    said = json.loads(wire.json_from_event(example, file))
    validator.validate(said)
    allowed, required = keys_of(validator.schema, said["event"])
    assert required <= set(said) <= allowed
    assert ("file" in said) == (file is not None)


def test_the_start_of_a_microphone_obeys_the_schema(validator):
    said = json.loads(wire.json_from_message(START, session=1))
    validator.validate(said)
    allowed, required = keys_of(validator.schema, "start")
    assert required <= set(said) <= allowed


def test_of_several_sessions_every_line_tells_its_own(validator):
    for example in EXAMPLES:
        said = json.loads(wire.json_from_event(example, session=2))
        validator.validate(said)
        assert said["session"] == 2
        assert not validator.is_valid({**said, "session": 0})
        assert "session" not in json.loads(wire.json_from_event(example))


@pytest.mark.parametrize(
    "said",
    [
        {"event": "phase", "phase": "inhale", "onset_s": 1.0, "reported_s": 1.5, "confidence": 1.2},
        {"event": "phase", "phase": "sideways", "onset_s": 1.0, "reported_s": 1.5, "confidence": 0.9},
        {"event": "phase", "phase": "inhale", "reported_s": 1.5, "confidence": 0.9},
        {"event": "mark", "number": 0, "time_s": 1.0},
        {"event": "apnoea", "state": "goes on", "onset_s": 1.0, "time_s": 2.0, "duration_s": 1.0},
        {"event": "gap", "from_s": 1.0, "to_s": "late", "reason": "x"},
        {"event": "something else"},
    ],
)
def test_the_schema_refuses_what_is_wrong(validator, said):
    assert not validator.is_valid(said)


def test_a_breath_is_exactly_the_promised_line():
    assert wire.json_from_event(EXAMPLES[1]) == (
        '{"event":"breath","number":1,"inhale_onset_s":1.0,"exhale_onset_s":2.5,"end_s":6.0,"reported_s":6.1,'
        '"inhale_s":1.0,"inhale_pause_s":0.5,"exhale_s":2.5,"exhale_pause_s":1.0,"cycle_s":5.0,"ie_ratio":0.4,'
        '"rate_per_min":12.0,"minute_rate_per_min":12.0,"sdbb_s":null,"rmssd_s":null,"confidence":null}'
    )


def test_what_a_replay_writes_obeys_the_schema(clean_environment, tiny_pack, tmp_path, validator):
    """Breathing, a pause that is too long, breathing again, and clipping."""
    breathing = np.concatenate([block.samples[:, 0] for block in DemoSource(16.0, pace=0).blocks()])
    hush = np.random.default_rng(1).standard_normal(8 * 16_000).astype(np.float32) * 1e-4
    path = tmp_path / "breath.wav"
    loud = np.where(np.arange(len(breathing)) < 4 * 16_000, breathing * 1e4, breathing).clip(-1, 1)
    soundfile.write(path, np.concatenate([breathing, hush, loud]), 16_000, subtype="FLOAT")
    result = CliRunner().invoke(
        cli,
        ["replay", str(path), "--pack", str(tiny_pack), "--events", "-", "--set", "breathing.apnoea_s=3"],
    )
    assert result.exit_code == 0, result.stderr
    said = [json.loads(line) for line in result.stdout.splitlines()]
    for event in said:
        validator.validate(event)
        allowed, required = keys_of(validator.schema, event["event"])
        assert required <= set(event) <= allowed
    assert {event["event"] for event in said} >= {"phase", "breath", "apnoea", "health"}
    pauses = [event for event in said if event["event"] == "apnoea"]
    assert [pause["state"] for pause in pauses[:2]] == ["begins", "ends"]
    assert pauses[0]["duration_s"] >= 3.0
