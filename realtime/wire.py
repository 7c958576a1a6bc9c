"""Events as other programs read them: one message a kind, times in stream seconds, and their JSON Schema.

The schema is `docs/events.schema.json`; docs/events.md explains it. `python -m realtime.wire` prints it anew.
"""

import inspect
import json
import sys
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from realtime.clock import seconds_from_samples
from realtime.events import Apnoea, Breath, Condition, Gap, Health, Mark, Phase, PhaseEvent, Report

# The first number changes when readers have to change, the second when keys or events are added.
SCHEMA_VERSION = "1.3"
SCHEMA_ID = "urn:breath:events:1"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"

Seconds = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0)]
Number = Annotated[int, Meta(ge=1)]
State = Literal["begins", "ends"]


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """What every message may hold, where there are several recordings or sessions: which it is from.

    `file` names the recording; `session` counts from 1, and the times of each begin at 0.
    """

    file: str | UnsetType = UNSET
    session: Number | UnsetType = UNSET


class StartMessage(Message, frozen=True, kw_only=True, tag="start"):
    """A microphone is heard: which, when its first sample was (RFC 3339, UTC), and how it is listened to.

    `pack_sha256` is the hash of the pack's manifest, and by that of everything in it.
    """

    source: str
    started_at: str
    pack: str
    pack_sha256: str
    engine: str
    hop_s: Positive
    lookahead_s: Seconds


class PhaseMessage(Message, frozen=True, kw_only=True, tag="phase"):
    """The shown phase changes: which begins, where, when that was reported, and how sure it is (0-1)."""

    phase: Phase
    onset_s: Seconds
    reported_s: Seconds
    confidence: Share


class BreathMessage(Message, frozen=True, kw_only=True, tag="breath"):
    """A breath is complete. Onsets and end are stream times, the others durations; see docs/events.md."""

    number: Number
    inhale_onset_s: Seconds
    exhale_onset_s: Seconds
    end_s: Seconds
    reported_s: Seconds
    inhale_s: Positive
    inhale_pause_s: Seconds
    exhale_s: Positive
    exhale_pause_s: Seconds
    cycle_s: Positive
    ie_ratio: Positive
    rate_per_min: Positive
    minute_rate_per_min: Positive
    sdbb_s: Seconds | None
    rmssd_s: Seconds | None
    confidence: Share | UnsetType | None = UNSET


class ApnoeaMessage(Message, frozen=True, kw_only=True, tag="apnoea"):
    """No breath has been heard since `onset_s` for the chosen time, or it is back, or the sound was lost."""

    state: State
    onset_s: Seconds
    time_s: Seconds
    duration_s: Seconds


class HealthMessage(Message, frozen=True, kw_only=True, tag="health"):
    """Something is wrong with the sound, or right again: which condition, and what was measured."""

    condition: Condition
    state: State
    time_s: Seconds
    value: float
    unit: str


class GapMessage(Message, frozen=True, kw_only=True, tag="gap"):
    """Sound is missing between two stream times."""

    from_s: Seconds
    to_s: Seconds
    reason: str


class MarkMessage(Message, frozen=True, kw_only=True, tag="mark"):
    """Somebody marked a moment."""

    number: Number
    time_s: Seconds


AnyMessage = (
    StartMessage | PhaseMessage | BreathMessage | ApnoeaMessage | HealthMessage | GapMessage | MarkMessage
)


def json_from_event(event: PhaseEvent | Report, file: str | None = None, session: int | None = None) -> str:
    """One line of JSON, without its end; `file` and `session` are added unless they are None."""
    return json_from_message(message_from_event(event), file, session)


def json_from_message(message: AnyMessage, file: str | None = None, session: int | None = None) -> str:
    """As `json_from_event`."""
    content = msgspec.to_builtins(message)
    if file is not None:
        content["file"] = file
    if session is not None:
        content["session"] = session
    # Of json and not of msgspec: a name of a file may hold bytes that are no text.
    return json.dumps(content, separators=(",", ":"), allow_nan=False)


def message_from_event(event: PhaseEvent | Report) -> AnyMessage:
    """The message that tells of `event`."""
    match event:
        case PhaseEvent():
            return PhaseMessage(
                phase=event.phase,
                onset_s=seconds_from_samples(event.onset_sample),
                reported_s=seconds_from_samples(event.reported_sample),
                confidence=round(event.confidence, 4),
            )
        case Breath():
            return _from_breath(event)
        case Apnoea():
            return ApnoeaMessage(
                state=_state(event.is_beginning),
                onset_s=seconds_from_samples(event.onset_sample),
                time_s=seconds_from_samples(event.sample),
                duration_s=event.duration_s,
            )
        case Health():
            return HealthMessage(
                condition=event.condition,
                state=_state(event.is_beginning),
                time_s=seconds_from_samples(event.sample),
                value=round(event.value, 4),
                unit=event.unit,
            )
        case Gap():
            return GapMessage(
                from_s=seconds_from_samples(event.from_sample),
                to_s=seconds_from_samples(event.to_sample),
                reason=event.reason,
            )
        case Mark():
            return MarkMessage(number=event.number, time_s=seconds_from_samples(event.sample))


def _from_breath(breath: Breath) -> BreathMessage:
    return BreathMessage(
        number=breath.number,
        inhale_onset_s=seconds_from_samples(breath.inhale_onset_sample),
        exhale_onset_s=seconds_from_samples(breath.exhale_onset_sample),
        end_s=seconds_from_samples(breath.end_sample),
        reported_s=seconds_from_samples(breath.reported_sample),
        inhale_s=breath.inhale_s,
        inhale_pause_s=breath.inhale_pause_s,
        exhale_s=breath.exhale_s,
        exhale_pause_s=breath.exhale_pause_s,
        cycle_s=breath.cycle_s,
        ie_ratio=round(breath.ie_ratio, 4),
        rate_per_min=round(breath.rate_per_min, 3),
        minute_rate_per_min=round(breath.minute_rate_per_min, 3),
        sdbb_s=None if breath.sdbb_s is None else round(breath.sdbb_s, 4),
        rmssd_s=None if breath.rmssd_s is None else round(breath.rmssd_s, 4),
        confidence=None if breath.confidence is None else round(breath.confidence, 4),
    )


def _state(is_beginning: bool) -> State:
    return "begins" if is_beginning else "ends"


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of one line of the events.

    Keys that it does not name are allowed: a reader must pass over those that a later version adds.
    """
    (form,), definitions = msgspec.json.schema_components([AnyMessage], ref_template="#/$defs/{name}")
    for definition in definitions.values():
        # Which is the docstring, indented or not, as the version of msgspec has it.
        definition["description"] = inspect.cleandoc(definition["description"])
    # Of OpenAPI; a validator of JSON Schema finds the message by its constant `event`.
    form.pop("discriminator", None)
    head = {
        "$schema": _DIALECT,
        "$id": SCHEMA_ID,
        "version": SCHEMA_VERSION,
        "title": "Events of breath-live",
    }
    return head | form | {"$defs": definitions}


def text_from_schema() -> str:
    """The schema as it is published."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text_from_schema())
