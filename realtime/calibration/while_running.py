"""Calibration while a session runs: who looks at the screen is guided, and the pipeline's gate is set."""

from collections.abc import Callable

from engines.errors import AudioError
from realtime.calibration.measurement import BREATH_WORDS, QUIET_WORDS, RunningCalibration, advance
from realtime.events import Frame
from realtime.pipeline import Pipeline


class Calibrating:
    """From its creation on, ten seconds; the session hears and answers meanwhile as before.

    What is found holds until the session ends; `breath-live calibrate` keeps it for the next ones.

    Args:
        pipeline: its gate is set.
        name: of the source, for people.
        tell: called with what to do, at the moment to do it, and with what came of it.
    """

    def __init__(self, pipeline: Pipeline, name: str, tell: Callable[[str], None]) -> None:
        self._pipeline = pipeline
        self._name = name
        self._tell = tell
        self._state = RunningCalibration.initial(pipeline.heard_samples)
        tell(QUIET_WORDS)

    def goes_on_after(self, frame: Frame) -> bool:
        """Take in a frame; False once it is over, with or without success."""
        was_breathing = self._state.is_breathing
        try:
            self._state, found = advance(self._state, frame.end_sample, frame.level_dbfs, self._name)
        except AudioError as error:
            self._tell(f"the gate stays at {self._pipeline.gate_dbfs:.1f} dB: {error}")
            return False
        if found is not None:
            self._pipeline.set_gate(found.gate_dbfs, found.noise_dbfs)
            self._tell(
                f"quiet {found.noise_dbfs:.1f} dB, breath {found.breath_dbfs:.1f} dB: the gate is "
                f"{found.gate_dbfs:.1f} dB until this ends; breath-live calibrate keeps one"
            )
            return False
        if self._state.is_breathing and not was_breathing:
            self._tell(BREATH_WORDS)
        return True

    def break_off(self) -> None:
        """Sound is missing: it would have to begin again."""
        self._tell("the calibration was broken off, because sound is missing; ask for it again (key c)")
