"""The checks of `breath-live doctor`, but for those of the sound system: groups that yield findings."""

import json
import math
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from engines.errors import BreathError
from engines.installing import REINSTALL, install_extra
from engines.paths import is_there, path_from_text
from engines.threads import n_cores
from realtime.doctor.examination import Finding, Verdict, line_from_finding

if TYPE_CHECKING:
    from engines.pack import Pack
    from realtime.config import LiveConfig, Resolved

OLDEST_PYTHON = (3, 11)

# The distributions of the base install, and the exit code of the live path without them.
BASE = {
    "click": 4,
    "msgspec": 4,
    "numpy": 4,
    "onnxruntime": 4,
    "platformdirs": 4,
    "rich": 4,
    "sounddevice": 3,
    "soundfile": 4,
    "soxr": 4,
}

# Likewise, on Linux only; the live path does without.
ON_LINUX = {"pulsectl": "nothing tells when the sound server moves the stream to another microphone"}

# What is imported of us; on PyPI there are distributions of such names, of other people.
PACKAGES = ("realtime", "engines", "offline")
# What each extra gives, and the distributions that tell whether it is there.
EXTRAS = {
    "serve": ("the web page, breath-live serve", ("aiohttp",)),
    "osc": ("messages to other programs, --osc", ("python-osc",)),
    "lsl": ("Lab Streaming Layer, --lsl", ("pylsl",)),
    "train": (
        "training, evaluation, and the torch engine",
        ("torch", "torchaudio", "librosa", "scikit-learn"),
    ),
    "openvino": ("OpenVINO, the faster engine on a CPU with AMX", ("openvino",)),
    "rtx": ("TensorRT for GeForce RTX and workstation GPUs", ("tensorrt-rtx-cu13",)),
    "gpu": ("TensorRT on any CUDA machine", ("tensorrt-cu13", "pycuda")),
}

N_WINDOWS = 40
_WARM_WINDOWS = 3


def machine() -> Iterator[Finding]:
    """Python, processor, packages."""
    found = ".".join(map(str, sys.version_info[:3]))
    text = (
        f"{found}, {platform.system()} {platform.machine()}, breath {_version('breath') or 'from its source'}"
    )
    if sys.version_info[:2] < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        yield Finding("python", Verdict.FAILED, text, f"install Python {wanted} or newer", 4)
    else:
        yield Finding("python", Verdict.OK, text, measures={"python": found})
    yield _processor()
    versions = {name: _version(name) for name in BASE}
    missing = [name for name, found in versions.items() if not found]
    text = ", ".join(f"{name} {found}" for name, found in versions.items() if found)
    yield Finding(
        "packages", Verdict.OK, text, measures={name: found for name, found in versions.items() if found}
    )
    for name in missing:
        yield Finding(
            "packages", Verdict.FAILED, f"{name} is not installed", f"pip install {name}", BASE[name]
        )
    for name, loss in ON_LINUX.items() if sys.platform == "linux" else ():
        if not _version(name):
            yield Finding("packages", Verdict.NOTE, f"{name} is not installed: {loss}", f"pip install {name}")
    for name in PACKAGES:
        if found := _version(name):
            yield Finding(
                "packages",
                Verdict.WARNING,
                f"{name} {found} is somebody else's package and has the name of one of ours: which one is "
                "imported depends on which was installed last",
                f"give Breath an environment of its own, or: pip uninstall {name}; {REINSTALL}",
            )
    for extra, (gift, names) in EXTRAS.items():
        absent = [name for name in names if not _version(name)]
        if absent:
            text = f"{gift}: {', '.join(absent)} not installed"
            yield Finding(f"extra {extra}", Verdict.NOTE, text, install_extra(extra))
        else:
            text = ", ".join(f"{name} {_version(name)}" for name in names)
            yield Finding(f"extra {extra}", Verdict.OK, f"{gift}: {text}")


def settings(params: dict[str, Any]) -> Iterator[Finding]:
    """Configuration files, and what they and the variables and flags set.

    Raises:
        ConfigError: something there cannot be used.
    """
    from realtime.config import DEFAULT_ORIGIN, FILE_VARIABLE, default_file

    file = path_from_text(params["config_file"] or os.environ.get(FILE_VARIABLE) or default_file())
    resolved = _resolved(params)
    changed = {key: origin for key, origin in resolved.origins.items() if origin != DEFAULT_ORIGIN}
    found = str(file) if is_there(file) else None
    text = found or f"no file at {file}, which is fine"
    if changed:
        text += "; set: " + ", ".join(f"{key} ({origin})" for key, origin in changed.items())
    else:
        text += "; every setting has its default"
    yield Finding("settings", Verdict.OK, text, measures={"file": found, "set": changed})


def pack(params: dict[str, Any]) -> Iterator[Finding]:
    """The model pack, every file of it by its hash.

    Raises:
        PackError: it cannot be used.
    """
    loaded = _pack(_config(params))
    manifest = loaded.manifest
    networks = ", ".join(network.name for network in manifest.networks)
    kinds = [f"{manifest.graph_precision} graphs"] if loaded.has_graphs else []
    kinds += ["weights"] if loaded.has_weights else []
    verified = f"{len(manifest.files)} files verified"
    text = f"{manifest.name} ({loaded.path}): {verified}; {networks}; {', '.join(kinds)}"
    yield Finding("pack", Verdict.OK, text, measures={"name": manifest.name, "sha256": loaded.sha256})


def engines(params: dict[str, Any]) -> Iterator[Finding]:
    """Which back ends can run the pack here, why the others cannot, and which one is taken.

    Raises:
        EngineError: the one that was asked for cannot, or none can.
        PackError: there is no pack to run.
    """
    from engines.backend import ENGINES
    from engines.errors import EngineError
    from realtime.engine import choose_engine

    config = _config(params)
    loaded = _pack(config)
    for name in ENGINES:
        try:
            choose_engine(loaded, name)
        except EngineError as error:
            reason = str(error).removeprefix(f"engine {name!r} cannot run: ")
            yield Finding(f"engine {name}", Verdict.NOTE, f"not here: {reason}")
        else:
            yield Finding(f"engine {name}", Verdict.OK, "can run the pack")
    taken = choose_engine(loaded, config.engine).name
    text = f"--engine {config.engine} takes {taken}"
    yield Finding("engine", Verdict.OK, text, measures={"engine": taken})


def latency(params: dict[str, Any]) -> Iterator[Finding]:
    """How long a window takes here, from the sound to the answer, against the hop.

    Raises:
        BreathError: the engine cannot be run.
    """
    import numpy as np

    from engines.latency import LatencyMeter
    from realtime.engine import open_engine
    from realtime.pipeline import Pipeline
    from realtime.sound.demo import DemoSource
    from realtime.sound.sources import ArraySource

    config = _config(params)
    loaded = _pack(config)
    seconds = 1.0 + config.hop_s * (N_WINDOWS + _WARM_WINDOWS - 1)
    sound = np.concatenate([block.samples for block in DemoSource(seconds, pace=0).blocks()])
    source = ArraySource(sound, 16_000)
    engine, choice = open_engine(loaded, config.engine, config.n_threads)
    meter = LatencyMeter()
    with engine:
        engine.warm_up()
        # The demo has one channel, whatever the microphone is going to have.
        pipeline = Pipeline(source, engine, loaded.manifest, replace(config.pipeline, channel=None))
        steps = [step for block in source.blocks() for step in pipeline.push(block)]
    for step in steps[_WARM_WINDOWS:]:
        meter.add(step.latency_s)
    summary = meter.summary()
    assert summary is not None
    hop_ms = 1e3 * config.hop_s
    text = (
        f"{choice.name}: median {summary.p50_ms:.1f} ms, 99th percentile {summary.p99_ms:.1f} ms, "
        f"of {summary.n} windows; the hop is {hop_ms:g} ms"
    )
    verdict, mend = Verdict.OK, ""
    if summary.p99_ms >= hop_ms:
        verdict = Verdict.WARNING
        longer_s = min(1.0, math.ceil(summary.p99_ms / 50) / 10)
        what = "the slowest" if summary.p50_ms < hop_ms else "many"
        mend = f"{what} windows will be skipped: close other programs, or use --hop {longer_s:g}"
    measures = {"n_windows": summary.n, "hop_ms": hop_ms, "p50_ms": summary.p50_ms, "p99_ms": summary.p99_ms}
    yield Finding("latency", verdict, text, mend, measures=measures)


def sound(params: dict[str, Any]) -> Iterator[Finding]:
    """PortAudio, the microphones, a second of sound."""
    from realtime.doctor import sound_checks

    yield from sound_checks.sound(_config(params))


_GROUPS: dict[str, Callable[[dict[str, Any]], Iterator[Finding]]] = {
    "machine": lambda _params: machine(),
    "settings": settings,
    "pack": pack,
    "engines": engines,
    "latency": latency,
    "sound": sound,
}


def main(name: str) -> None:
    """Run a group with the flags that standard input holds; print a line for each finding."""
    params = json.load(sys.stdin)
    try:
        for finding in _GROUPS[name](params):
            print(line_from_finding(finding), flush=True)  # noqa: T201
    except BreathError as error:
        print(  # noqa: T201
            line_from_finding(Finding(name, Verdict.FAILED, str(error), exit_code=error.exit_code)),
            flush=True,
        )


def _processor() -> Finding:
    n_usable = n_cores()
    text = f"{n_usable} threads usable"
    measures: dict[str, Any] = {"n_threads": n_usable}
    if hasattr(os, "getloadavg"):
        load = os.getloadavg()[0]
        text += f", load {load:.1f} in the last minute"
        measures["load"] = round(load, 2)
        if load > n_usable:
            mend = "other programs use the processor; close them, or answers come late"
            return Finding("processor", Verdict.WARNING, text, mend, measures=measures)
    return Finding("processor", Verdict.OK, text, measures=measures)


def _version(distribution: str) -> str:
    """Installed version; empty: it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _resolved(params: dict[str, Any]) -> "Resolved":
    from realtime.cli_options import resolved_from_params

    return resolved_from_params(params)


def _config(params: dict[str, Any]) -> "LiveConfig":
    """The settings in force; the defaults where they cannot be used, which the group `settings` tells."""
    from engines.errors import ConfigError
    from realtime.config import LiveConfig

    try:
        return _resolved(params).config
    except ConfigError:
        return LiveConfig()


def _pack(config: "LiveConfig") -> "Pack":
    from engines.pack import load_pack

    return load_pack(config.pack)
