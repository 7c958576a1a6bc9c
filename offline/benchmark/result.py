"""What a benchmark found, and its JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from engines.errors import ConfigError
from offline.benchmark.idle import IdleCost
from offline.benchmark.machine import Conditions, Machine
from offline.benchmark.statistics import Distribution
from offline.benchmark.streams import StreamTrial
from offline.benchmark.warnings import TRUSTED_SECONDS, TRUSTED_WINDOWS

SCHEMA_VERSION = 1
AUTO = "auto"


@dataclass(frozen=True)
class BenchmarkSettings:
    """What is measured.

    Attributes:
        engines: names of back ends, side by side in one run.
        is_against_reference: the published pipeline's shape runs beside them.
        streams: number of streams to carry together; `auto`: find the most; None: leave that out.
        hop_s: seconds between windows.
        n_windows: windows of every engine, at least.
        seconds: measured time of every engine, at least.
        n_threads: of one inference; None: each back end's own choice.
        n_warm_up: windows of every engine that are not counted, before the others.
        seed: of the order in which the engines take turns.
        idle_s: seconds of real time over which the cost of a live session is measured; 0: leave that out.
        stream_s: seconds of real time of each trial with a number of streams.

    Raises:
        ConfigError: a value that cannot be used.
    """

    engines: tuple[str, ...] = (AUTO,)
    is_against_reference: bool = False
    streams: int | Literal["auto"] | None = None
    hop_s: float = 0.1
    n_windows: int = TRUSTED_WINDOWS
    seconds: float = TRUSTED_SECONDS
    n_threads: int | None = None
    n_warm_up: int = 32
    seed: int = 0
    idle_s: float = 10.0
    stream_s: float = 3.0

    def __post_init__(self) -> None:
        if not 0.01 <= self.hop_s <= 1.0:
            raise ConfigError(f"a hop of {self.hop_s} s is impossible; choose one between 0.01 and 1 s")
        if self.n_windows < 1 or self.n_warm_up < 1:
            raise ConfigError("a benchmark needs a window and one to warm up with, at least")


@dataclass(frozen=True)
class EngineResult:
    """What was measured of one engine.

    Attributes:
        name: of the back end, or `reference`.
        reason: why this one.
        hop: of the whole hop, from the block that completes a window to the decision.
        stages: of each stage of it, in order of execution.
        hops_s: every duration of a whole hop, seconds, in order.
        idle: cost of a live session; None: not measured.
        streams: trials with several streams, the one that counts last; empty: none.
        speedup: median hop of the reference over that of this engine; None: there was no reference.
        warnings: why its numbers may not be trusted.
    """

    name: str
    reason: str
    hop: Distribution
    stages: dict[str, Distribution]
    hops_s: Sequence[float]
    idle: IdleCost | None = None
    streams: list[StreamTrial] = field(default_factory=list)
    speedup: float | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def n_streams(self) -> int | None:
        """Live streams that one machine carries; None: not known, fewer were not tried."""
        if not self.streams:
            return None
        last = self.streams[-1]
        if last.is_carried:
            return last.n_streams
        return 0 if last.n_streams == 1 else None

    def to_json(self) -> dict[str, Any]:
        """The same by name; what was not measured is left out."""
        content: dict[str, Any] = {
            "reason": self.reason,
            "windows": self.hop.n,
            "hop_ms": self.hop.to_json(),
            "stages_ms": {name: stage.to_json() for name, stage in self.stages.items()},
            "warnings": self.warnings,
        }
        if self.idle is not None:
            content["idle"] = self.idle.to_json()
        if self.streams:
            content["streams"] = {
                "carried": self.n_streams,
                **self.streams[-1].to_json(),
                "trials": [trial.to_json() for trial in self.streams[:-1]],
            }
        if self.speedup is not None:
            content["speedup_vs_reference"] = self.speedup
        return content


@dataclass(frozen=True)
class BenchmarkResult:
    """A whole run.

    Attributes:
        made_at: when, ISO 8601 in UTC.
        pack: its name, hash and the precision of its graphs.
        engines: by name, the one asked for first comes first.
        reference: the published pipeline's shape; None: it was not asked for.
        warnings: of the whole run.
    """

    made_at: str
    machine: Machine
    conditions: Conditions
    versions: dict[str, str]
    pack: dict[str, str]
    settings: BenchmarkSettings
    engines: dict[str, EngineResult]
    reference: EngineResult | None
    warnings: list[str]

    @property
    def first(self) -> EngineResult:
        """The engine that was asked for first."""
        return next(iter(self.engines.values()))

    def to_json(self) -> dict[str, Any]:
        """Everything but the single durations; durations are in milliseconds."""
        content: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "made_at": self.made_at,
            "machine": asdict(self.machine),
            "conditions": self.conditions.to_json(),
            "versions": self.versions,
            "pack": self.pack,
            "settings": asdict(self.settings) | {"engines": list(self.settings.engines)},
            "engines": {name: result.to_json() for name, result in self.engines.items()},
            "warnings": self.warnings,
        }
        if self.reference is not None:
            content["reference"] = self.reference.to_json()
            content["speedup_vs_reference"] = self.first.speedup
        return content
