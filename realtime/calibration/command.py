"""`breath-live calibrate`, from the microphone to the profile."""

import datetime

from engines.pack import load_pack
from realtime.calibration.measurement import calibrate
from realtime.calibration.profiles import profile_names, save_profile
from realtime.config import DEFAULT_ORIGIN, Resolved
from realtime.telling import tell


def calibrate_microphone(resolved: Resolved) -> None:
    """Guide somebody through the calibration on standard error, and keep what was measured.

    Raises:
        AudioError: see `MicrophoneSource` and `calibrate`.
        ConfigError, PackError: the configuration or the pack cannot be used.
        OutputError: the profile cannot be written.
    """
    from realtime.sound.microphone import MicrophoneSource
    from realtime.sound.quiet_libraries import quiet_libraries

    config = resolved.config
    pack = load_pack(config.pack)
    with quiet_libraries():
        with MicrophoneSource(config.device, min_channels=(config.channel or 0) + 1) as source:
            _tell(f"calibrating {source.name}")
            found = calibrate(source, pack.manifest.band_hz[1], config.channel, _tell)
        path = save_profile(profile_names(source.device)[0], found, datetime.datetime.now().astimezone())
        _tell(
            f"quiet {found.noise_dbfs:.1f} dB, breath {found.breath_dbfs:.1f} dB: "
            f"the gate is set to {found.gate_dbfs:.1f} dB, in {path}"
        )
        if obstacle := why_not_used(resolved):
            _tell(obstacle)


def why_not_used(resolved: Resolved) -> str:
    """What keeps a profile from being used when this microphone is heard; empty: nothing does."""
    for key in ("profile", "presence.gate_dbfs", "presence.noise_dbfs"):
        if resolved.origins[key] != DEFAULT_ORIGIN and not (key == "profile" and resolved.config.profile):
            return f"{resolved.origins[key]} sets {key}, which goes before what was measured: remove it there"
    return ""


def _tell(text: str) -> None:
    tell(f"breath-live: {text}")
