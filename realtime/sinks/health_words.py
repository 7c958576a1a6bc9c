"""Health for people: a few words for the display, a sentence with its mend for those who read lines."""

from realtime.clock import seconds_from_samples
from realtime.events import Apnoea, Condition, Health
from realtime.health import SILENCE_DBFS
from realtime.sinks.text import clock_from_seconds

# What is wrong, and what to do about it where it is live.
_SENTENCES = {
    Condition.STALLED: ("no sound is coming", ""),
    Condition.OVERRUNS: (
        "{value:.0f} samples were lost, because this machine was too busy to fetch them",
        "close other programs if this goes on",
    ),
    Condition.CLIPPING: (
        "too loud: {value:.1f} % of the samples are at full scale",
        "turn the microphone down, or move it away",
    ),
    Condition.TOO_QUIET: ("too quiet ({value:.0f} dB)", "turn the microphone up, or bring it closer"),
    Condition.DC_OFFSET: (
        "the sound is off its zero line by {value:.0f} % of full scale (DC offset)",
        "another input, cable or adapter may be without",
    ),
    Condition.HUM_50_HZ: (
        "mains hum at 50 Hz, {value:.0f} dB above its surroundings",
        "move cables away from power supplies, or run on battery",
    ),
    Condition.HUM_60_HZ: (
        "mains hum at 60 Hz, {value:.0f} dB above its surroundings",
        "move cables away from power supplies, or run on battery",
    ),
}
_MUTED = (
    "complete silence",
    "a microphone may be muted or switched off, or withheld from this program (see the privacy settings of "
    "the system)",
)
_LABELS = {
    Condition.STALLED: "no sound",
    Condition.OVERRUNS: "{value:.0f} samples lost",
    Condition.CLIPPING: "clipping {value:.1f} %",
    Condition.TOO_QUIET: "too quiet {value:.0f} dB",
    Condition.DC_OFFSET: "DC offset {value:.0f} %",
    Condition.HUM_50_HZ: "hum 50 Hz +{value:.0f} dB",
    Condition.HUM_60_HZ: "hum 60 Hz +{value:.0f} dB",
}


def sentence_from_health(event: Health, *, is_live: bool = True) -> str:
    """What is wrong, in one sentence; of live sound also what to do."""
    what, mend = _MUTED if _is_muted(event) else _SENTENCES[event.condition]
    what = what.format(value=event.value)
    if not is_live:
        return f"{what}, in this recording"
    return f"{what}; {mend}" if mend else what


def label_from_health(event: Health) -> str:
    """What is wrong, in a few words."""
    return "muted?" if _is_muted(event) else _LABELS[event.condition].format(value=event.value)


def label_from_apnoea(event: Apnoea, now_s: float) -> str:
    """Since when there has been no breath, and how long that is by `now_s`, stream seconds."""
    onset_s = seconds_from_samples(event.onset_sample)
    return f"no breath since {clock_from_seconds(onset_s)}, {now_s - onset_s:.0f} s"


def _is_muted(event: Health) -> bool:
    return event.condition is Condition.TOO_QUIET and event.value <= SILENCE_DBFS
