"""What was measured at a microphone, kept by its name, for the next time."""

import contextlib
import datetime
import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from engines.errors import AudioError, ConfigError, OutputError
from engines.paths import user_folder
from realtime.calibration.measurement import Calibration
from realtime.config import Given, Resolved, completed
from realtime.sound.moved_stream import SERVER_DEVICES

if TYPE_CHECKING:
    from realtime.sound.devices import InputDevice

_FOLDER_NAME = "profiles"


def profile_names(device: "InputDevice") -> tuple[str, ...]:
    """The names under which the profile of a device may be kept, the one for a new profile first.

    Behind a sound server it is that of the source that is heard, and not of the device that stands for
    whichever source is the default; an older one of that device counts as long as there is no other.
    """
    if device.source_name is None:
        return (device.name,)
    if not device.is_source:
        return device.source_name, device.name
    return (device.source_name, *SERVER_DEVICES) if device.is_default else (device.source_name,)


def profile_path(device_name: str) -> Path:
    """Where the profile of a device is kept: by its name, however strange that is."""
    readable = re.sub(r"[^a-z0-9]+", "-", device_name.lower()).strip("-")[:40]
    digest = hashlib.sha256(device_name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return _folder() / f"{readable}-{digest}.toml"


def save_profile(device_name: str, calibration: Calibration, at: datetime.datetime) -> Path:
    """Keep a calibration; an earlier one of the same device is replaced.

    Args:
        device_name: as the system calls it.
        calibration: what was measured.
        at: when, with a time zone.

    Returns:
        The file that was written.

    Raises:
        OutputError: it cannot be written.
    """
    path = profile_path(device_name)
    text = (
        "# Written by breath-live calibrate. Remove this file to forget it.\n"
        f"device = {_quoted(device_name)}\n"
        f"measured_at = {at.isoformat(timespec='seconds')}\n"
        f"noise_dbfs = {calibration.noise_dbfs:.1f}\n"
        f"breath_dbfs = {calibration.breath_dbfs:.1f}\n"
        "\n[settings.presence]\n"
        f"gate_dbfs = {calibration.gate_dbfs:.1f}\n"
        f"noise_dbfs = {calibration.noise_dbfs:.1f}\n"
    )
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise OutputError(
            f"the profile {path} cannot be written ({error.strerror}); set presence.gate_dbfs to "
            f"{calibration.gate_dbfs:.1f} in the configuration file instead"
        ) from error
    return path


def read_profile(device_name: str) -> dict[str, Given]:
    """The settings of a device's profile by their dotted keys; none if it has no profile.

    Raises:
        ConfigError: the profile cannot be read.
    """
    path = profile_path(device_name)
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the profile {path} cannot be read ({error}); make it anew with breath-live calibrate, "
            "or pass it by with --no-profile"
        ) from error
    settings = found.get("settings", {})
    origin = f"profile {path}"
    if not isinstance(settings, dict):
        raise ConfigError(f"{origin}: settings is a table; make it anew with breath-live calibrate")
    return {key: Given(value, origin) for key, value in _flattened(settings).items()}


def with_profile(resolved: Resolved) -> Resolved:
    """The configuration with the profile of the microphone it names, below everything that was said.

    Without a profile, a microphone, or the wish for either, nothing changes: opening the microphone tells
    what is wrong with it.

    Raises:
        ConfigError: the profile cannot be read, or holds what is no setting.
    """
    if not resolved.config.profile or not any(_folder().glob("*.toml")):
        return resolved
    from realtime.sound.portaudio import find_device
    from realtime.sound.quiet_libraries import quiet_libraries

    try:
        with quiet_libraries():
            device = find_device(resolved.config.device)
    except AudioError:
        return resolved
    profiles = map(read_profile, profile_names(device))
    return completed(resolved, next(filter(None, profiles), {}))


def _folder() -> Path:
    return user_folder("config") / _FOLDER_NAME


def _quoted(text: str) -> str:
    # Every JSON string is a basic string of TOML too.
    return msgspec.json.encode(text.encode("utf-8", "replace").decode()).decode()


def _flattened(table: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in table.items():
        flat |= _flattened(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
