"""The measures of the streaming benchmark for people: what each is called, and what it means."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from offline.metrics import Interval

__all__ = ["BREATH_MEASURES", "DAY_MEASURES", "FALSE_MEASURES", "HEADLINES", "LOOKAHEAD_MEASURES", "Measure"]


@dataclass(frozen=True)
class Measure:
    """One measure.

    Attributes:
        name: its key among the measures.
        label: for the head of a table.
        meaning: one or two sentences.
        digits: behind the point.
        unit: after the number, with its space.
    """

    name: str
    label: str
    meaning: str
    digits: int = 3
    unit: str = ""

    def text(self, value: float) -> str:
        """The value with its unit; a dash where there is none."""
        return "-" if np.isnan(value) else f"{self._rounded(value)}{self.unit}"

    def interval_text(self, interval: Interval) -> str:
        """`low to high`, or nothing."""
        low, high = interval
        return "" if np.isnan(low) else f"{self._rounded(low)} to {self._rounded(high)}"

    def chance_text(self, chance: Mapping[str, float]) -> str:
        """`chance` and what chance reaches, of measures by their names; nothing if this is not among them."""
        return f"chance {self.text(chance[self.name])}" if self.name in chance else ""

    def _rounded(self, value: float) -> str:
        # Adding zero takes the sign off a zero.
        return f"{round(value, self.digits) + 0.0:.{self.digits}f}"


HEADLINES: tuple[Measure, ...] = (
    Measure(
        "macro_f1_live",
        "macro-F1 live",
        "What is shown against the truth at every 10 ms; mean of the F1 of none, inhale and exhale. No delay "
        "is forgiven, nor is the first second, in which nothing can be shown.",
    ),
    Measure(
        "onset_f1",
        "onset F1",
        "A phase counts as found if it is shown, as what it is, between 0.3 s before and 1.0 s after it "
        "begins; one to one.",
    ),
    Measure(
        "onset_delay_p50_s",
        "onset delay, median",
        "From a true onset to the moment its phase was shown, of the onsets found; negative is early.",
        unit=" s",
        digits=2,
    ),
    Measure(
        "onset_delay_p90_s", "onset delay, p90", "Nine of ten are shown within this.", unit=" s", digits=2
    ),
    Measure(
        "phases_per_true", "phases shown per true one", "Above 1 the display flickers, below 1 it misses.", 2
    ),
    Measure(
        "phase_calibration_error",
        "calibration error of P(exhale)",
        "Mean distance of probability and truth within true phases, in 15 bins of confidence (Guo et al. "
        "2017).",
    ),
)

# Of what is on the screen; the calibration is that of the networks.
DAY_MEASURES: tuple[Measure, ...] = HEADLINES[:5]

LOOKAHEAD_MEASURES: tuple[Measure, ...] = (
    HEADLINES[0],
    Measure(
        "macro_f1_forgiven",
        "macro-F1, lookahead forgiven",
        "As macro-F1 live, with each answer held against the moment that it is about, the lookahead before "
        "it was given: whether what is decided later is more often right. Macro-F1 live says whether that is "
        "worth its delay.",
    ),
    *HEADLINES[1:5],
)

BREATH_MEASURES: tuple[Measure, ...] = (
    *HEADLINES,
    Measure("f1_live_none", "F1 live, none", "The class none of macro-F1 live."),
    Measure("f1_live_inhale", "F1 live, inhale", "The class inhale of macro-F1 live."),
    Measure("f1_live_exhale", "F1 live, exhale", "The class exhale of macro-F1 live."),
    Measure(
        "segment_f1_inhale",
        "segment F1, inhale",
        "In segments of 0.1 s, each active if the phase touches it (Mesaros et al. 2016, as sed_eval).",
    ),
    Measure("segment_f1_exhale", "segment F1, exhale", "Likewise."),
    Measure(
        "onset_precision", "onset precision", "Of the phases shown, those that were matched in onset F1."
    ),
    Measure("onset_recall", "onset recall", "Of the true phases, those that were matched in onset F1."),
    Measure(
        "onset_f1_200ms_inhale", "onset F1 ±0.2 s, inhale", "Shown at most 0.2 s before or after the onset."
    ),
    Measure("onset_f1_200ms_exhale", "onset F1 ±0.2 s, exhale", "Likewise."),
    Measure("onset_f1_500ms_inhale", "onset F1 ±0.5 s, inhale", "At most 0.5 s before or after."),
    Measure("onset_f1_500ms_exhale", "onset F1 ±0.5 s, exhale", "Likewise."),
    Measure("onset_delay_mean_s", "onset delay, mean", "Of the onsets found.", unit=" s", digits=2),
    Measure(
        "rate_error_per_min",
        "breathing-rate error",
        "Mean over the streams of |shown - true| rate, each the inverse of the mean cycle of its complete "
        "breaths, in breaths per minute; no complete breath shown is a rate of zero.",
        2,
        " /min",
    ),
    Measure("phase_brier", "Brier score of P(exhale)", "Mean squared error within true phases."),
    Measure(
        "shown_calibration_error",
        "calibration error of what is shown",
        "Likewise of the shown phase, none included, and its confidence, at all times.",
    ),
)

FALSE_MEASURES: tuple[Measure, ...] = (
    Measure(
        "false_phases_per_min",
        "false phases per minute (inhalations and exhalations)",
        "Whatever is shown where nobody breathes, per minute of it: inhalations and exhalations.",
        2,
    ),
    Measure(
        "false_breaths_per_min",
        "false breaths per minute (inhalations only)",
        "Of these the inhalations, each of which looks like a breath. Exhalations that flicker alone are in "
        "the false phases and not here.",
        2,
    ),
)
