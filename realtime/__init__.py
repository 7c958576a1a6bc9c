"""The live path: sound in, breath events out.

    from realtime import Detector

    with Detector() as detector:
        for event in detector.microphone():
            print(event)

Names are loaded when they are asked for, so that importing the package costs nothing; see docs/api.md.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engines.errors import BreathError
    from realtime.api.detector import Detector
    from realtime.events import Apnoea, Breath, Condition, Frame, Gap, Health, Phase, PhaseEvent

_HOMES = {
    "Apnoea": "realtime.events",
    "Breath": "realtime.events",
    "BreathError": "engines.errors",
    "Condition": "realtime.events",
    "Detector": "realtime.api.detector",
    "Frame": "realtime.events",
    "Gap": "realtime.events",
    "Health": "realtime.events",
    "Phase": "realtime.events",
    "PhaseEvent": "realtime.events",
}

__all__ = [
    "Apnoea",
    "Breath",
    "BreathError",
    "Condition",
    "Detector",
    "Frame",
    "Gap",
    "Health",
    "Phase",
    "PhaseEvent",
]


def __getattr__(name: str) -> object:
    """Load a public name where it lives (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
