"""What stays the same during a session, for whoever shows it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """What stays the same during a session.

    Attributes:
        source: what is listened to.
        engine: name of the back end; `engine_reason`: why it was chosen.
        pack: name of the model pack.
        hop_samples: distance of two answers, samples at 16 kHz.
        is_live: whether the sound comes as fast as time passes.
        session: which of several this is, counted from 1; None: it is the only one, or a recording.
    """

    source: str
    engine: str
    engine_reason: str
    pack: str
    hop_samples: int
    is_live: bool
    session: int | None = None
