"""What a server needs to receive its clients."""

from dataclasses import dataclass

from realtime.controls import Controls
from realtime.serve.desk import Desk
from realtime.serve.doorkeeper import Doorkeeper
from realtime.serve.hub import Hub


@dataclass(frozen=True)
class Host:
    """Made once for a run.

    Attributes:
        hub: hands out what the live path says.
        doorkeeper: decides who may come in.
        desk: takes the microphones of browsers; None: the run listens to something else.
        listens_to: what, for people.
        controls: of the run.
    """

    hub: Hub
    doorkeeper: Doorkeeper
    desk: Desk | None
    listens_to: str
    controls: Controls
