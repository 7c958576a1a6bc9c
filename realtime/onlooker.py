"""Who looks on at a run beside the terminal and the outlets: a server, with clients of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from realtime.controls import Controls
from realtime.facts import Facts
from realtime.sinks.base import Sink
from realtime.sinks.beginning import Beginning


def _no_sinks(facts: Facts, beginning: Beginning | None) -> Sequence[Sink]:
    return ()


@dataclass(frozen=True)
class Onlooker:
    """What a run is given by whoever looks on; without arguments nobody does.

    Attributes:
        sinks: called at the beginning of each session, with what its events begin with, if anything; its
            sinks take in that session.
        controls: where pausing, marking and ending are asked for.
        brings_sound: the sources come from the onlooker, some time: the engine does not wait for the first.
    """

    sinks: Callable[[Facts, Beginning | None], Sequence[Sink]] = _no_sinks
    controls: Controls = field(default_factory=Controls)
    brings_sound: bool = False
