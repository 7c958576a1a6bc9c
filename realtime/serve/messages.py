"""What clients are sent: JSON texts, made on the live path's thread and never changed afterwards.

Events have the forms of `realtime.wire`. Beside them there are, each an object with its kind as `event`:

- `hello`: the first message; version, source, settings, what is wrong with the sound now, and the events of
  this session so far;
- `session`: a session `begins` (with its facts) or `ends`;
- `frame`: one answer, see `frame_message`;
- `advice`: what to do about a condition, in words;  `notice`: a warning in words;
- `dropped`: messages that this client missed, as it was too slow;
- `microphone`: what became of a browser's microphone;
- `alive`: nothing else was said for ten seconds;
- `end`: the server ends, and why.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime.clock import seconds_from_samples
from realtime.events import Health, PhaseEvent, Report
from realtime.facts import Facts
from realtime.pipeline import Step
from realtime.serve import bands
from realtime.sinks.base import Status
from realtime.sinks.health_words import sentence_from_health
from realtime.wire import StartMessage, json_from_event, json_from_message

PROTOCOL = 1


@dataclass(frozen=True)
class Message:
    """One text for every client.

    Attributes:
        text: JSON.
        is_frame: may be left out where a client is behind; the next one replaces it.
        is_event: one of `realtime.wire`.
        is_kept: told to those who come later.
        begins_session: what was kept before is forgotten.
        plain: the same without waveform and spectrum; empty: `text` has none.
    """

    text: str
    is_frame: bool = False
    is_event: bool = False
    is_kept: bool = False
    begins_session: bool = False
    plain: str = ""


def frame_message(
    step: Step, status: Status, newest: NDArray[np.float32], levels: NDArray[np.int16]
) -> Message:
    """One answer.

    `time_s`, `prob_exhale`, `phase` as in the rows of --frames; `confidence` 0-1; `level_dbfs`;
    `rate_per_min` or null; `latency_ms` of this answer, `latency_p50_ms` and `latency_p99_ms` of all;
    `skipped_windows` and `lost_samples` so far; `wave`, the `wave_s` seconds before `time_s`, see
    `bands.pairs_from_samples`; `spectrum`, see `bands.advance`.

    Args:
        step: the answer.
        status: of the session.
        newest: (n,) float32, the sound since the frame before.
        levels: (64,), of `bands.advance`.
    """
    frame = step.frame
    content: dict[str, Any] = {
        "event": "frame",
        "time_s": seconds_from_samples(frame.end_sample),
        "prob_exhale": round(frame.prob_exhale, 4),
        "phase": frame.phase.value,
        "confidence": round(frame.confidence, 4),
        "level_dbfs": round(frame.level_dbfs, 1),
        "rate_per_min": None if status.breaths_per_min is None else round(status.breaths_per_min, 2),
        "latency_ms": round(1000 * step.latency_s, 2),
        "latency_p50_ms": round(status.latency_p50_ms, 2),
        "latency_p99_ms": round(status.latency_p99_ms, 2),
        "skipped_windows": status.skipped_windows,
        "lost_samples": status.lost_samples,
    }
    plain = text_from_content(content)
    content["wave"] = bands.pairs_from_samples(newest)
    content["wave_s"] = seconds_from_samples(len(newest))
    content["spectrum"] = levels.tolist()
    return Message(text_from_content(content), is_frame=True, plain=plain)


def event_message(event: PhaseEvent | Report, session: int | None = None) -> Message:
    """An event in the form of `realtime.wire`."""
    return Message(json_from_event(event, session=session), is_event=True, is_kept=True)


def start_message(start: StartMessage, session: int | None = None) -> Message:
    """What is heard, and since when."""
    return Message(json_from_message(start, session=session), is_event=True, is_kept=True)


def advice_message(event: Health, *, is_live: bool = True) -> Message:
    """What a condition that begins means, and, of live sound, what to do."""
    text = sentence_from_health(event, is_live=is_live)
    return Message(
        text_from_content({"event": "advice", "condition": event.condition.value, "text": text}), is_kept=True
    )


def notice_message(text: str) -> Message:
    """A warning for people."""
    return Message(text_from_content({"event": "notice", "text": text}), is_kept=True)


def session_message(state: str, facts: dict[str, Any]) -> Message:
    """A session begins or ends."""
    is_beginning = state == "begins"
    text = text_from_content({"event": "session", "state": state, **facts})
    return Message(text, is_kept=True, begins_session=is_beginning)


def content_from_facts(facts: Facts) -> dict[str, Any]:
    """What clients learn of a session; its number only where there may be several."""
    numbered = {} if facts.session is None else {"session": facts.session}
    return {
        **numbered,
        "source": facts.source,
        "engine": facts.engine,
        "engine_reason": facts.engine_reason,
        "pack": facts.pack,
        "hop_s": seconds_from_samples(facts.hop_samples),
        "is_live": facts.is_live,
    }


def text_from_content(content: dict[str, Any]) -> str:
    """JSON. Names of files that are no text are mended, as a WebSocket carries nothing else."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode("utf-8")
