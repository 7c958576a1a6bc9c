"""`breath-live calibrate`, from the microphone to the profile."""

import datetime

import click

from engines.pack import load_pack
from realtime.calibration import calibrate
from realtime.config import LiveConfig
from realtime.profiles import profile_names, save_profile


def calibrate_microphone(config: LiveConfig) -> None:
    """Guide somebody through the calibration on standard error, and keep what was measured.

    Raises:
        AudioError: see `MicrophoneSource` and `calibrate`.
        ConfigError, PackError: the configuration or the pack cannot be used.
        OutputError: the profile cannot be written.
    """
    from realtime.microphone import MicrophoneSource
    from realtime.quiet_libraries import quiet_libraries

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


def _tell(text: str) -> None:
    click.echo(f"breath-live: {text}", err=True)
