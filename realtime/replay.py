"""A recording through the live path, and everything it showed."""

from dataclasses import dataclass
from os import PathLike

from engines.backend import Engine
from engines.manifest import Manifest
from realtime.events import Breath, Frame, PhaseEvent, Report
from realtime.evidence import Observation
from realtime.pipeline import Pipeline, PipelineSettings, Step
from realtime.session import Session
from realtime.sinks.base import Sink, Status
from realtime.sound.files import FileSource


@dataclass(frozen=True)
class Replay:
    """What the live path showed of a recording.

    Attributes:
        frames: one a hop, oldest first.
        events: one a change of the shown phase, oldest first.
        n_samples: length of the recording, samples at 16 kHz.
        notices: what the source had to say, such as that the file is cut off.
        breaths: complete ones, oldest first.
        observations: `Step.observation` of each frame.
        logits: `Step.logits` of each frame.
    """

    frames: tuple[Frame, ...]
    events: tuple[PhaseEvent, ...]
    n_samples: int
    notices: tuple[str, ...] = ()
    breaths: tuple[Breath, ...] = ()
    observations: tuple[Observation, ...] = ()
    logits: tuple[tuple[float, ...], ...] = ()


class _Notebook(Sink):
    """A sink that keeps what it is shown."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.events: list[PhaseEvent] = []
        self.breaths: list[Breath] = []
        self.observations: list[Observation] = []
        self.logits: list[tuple[float, ...]] = []
        self.notices: list[str] = []

    def show(self, step: Step, status: Status) -> None:
        self.frames.append(step.frame)
        self.observations.append(step.observation)
        self.logits.append(step.logits)
        if step.event is not None:
            self.events.append(step.event)

    def report(self, event: Report) -> None:
        if isinstance(event, Breath):
            self.breaths.append(event)

    def notice(self, text: str) -> None:
        self.notices.append(text)


def replay(
    path: str | PathLike[str], engine: Engine, manifest: Manifest, settings: PipelineSettings
) -> Replay:
    """Hear a recording from its start to its end, exactly as `breath-live replay` does.

    Args:
        path: anything libsndfile reads.
        engine: runs the networks; it is used and not closed.
        manifest: of the pack that the engine runs.
        settings: of the live path.

    Raises:
        AudioError: the file is missing, or holds no sound.
        ConfigError: a setting cannot be used.
        EngineError: the engine failed.
    """
    notebook = _Notebook()
    with FileSource(path) as source:
        pipeline = Pipeline(source, engine, manifest, settings)
        Session(source, pipeline, [notebook]).run()
    return Replay(
        tuple(notebook.frames),
        tuple(notebook.events),
        pipeline.heard_samples,
        tuple(notebook.notices),
        tuple(notebook.breaths),
        tuple(notebook.observations),
        tuple(notebook.logits),
    )
