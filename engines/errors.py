"""Every error a user can meet.

    BreathError                          exit code
    ├── ConfigError                      2   a flag, a configuration file, an argument
    ├── AudioError                       3
    │   ├── DeviceNotFoundError
    │   ├── DeviceLostError
    │   ├── RateUnsupportedError
    │   └── AudioFileError
    ├── EngineError                      4
    │   ├── EngineMissingError           the file of an engine is not there
    │   ├── EngineMismatchError          built for another pack, GPU or version
    │   └── BackendUnavailableError      its package or its hardware is not there
    ├── PackError                        4   a model pack that is damaged, foreign or incomplete
    ├── LabelsError                      5   clip set, feature store or ground truth
    └── OutputError                      6   a result could not be written

A message says what is wrong, where, and what to do next. Third-party errors are mapped to one of these
at one boundary each, with the cause kept. Interruption by the user exits with 130, our own bugs with 1.
"""


class BreathError(Exception):
    """Base of every error that is the world's fault and not a bug of ours."""

    exit_code = 1


class ConfigError(BreathError):
    """A flag, argument or configuration file that cannot be used."""

    exit_code = 2


class AudioError(BreathError):
    """Sound could not be read."""

    exit_code = 3


class DeviceNotFoundError(AudioError):
    """No input device answers to what was asked for."""


class DeviceLostError(AudioError):
    """An input device that was delivering sound has stopped."""


class RateUnsupportedError(AudioError):
    """A device or a file has a sampling rate that cannot be used."""


class AudioFileError(AudioError):
    """A sound file is missing, unreadable or empty."""


class EngineError(BreathError):
    """The networks could not be run."""

    exit_code = 4


class EngineMissingError(EngineError):
    """The file of an engine is not there."""


class EngineMismatchError(EngineError):
    """An engine belongs to another pack, contract, GPU or version."""


class BackendUnavailableError(EngineError):
    """The package or the hardware that a back end needs is not there."""


class PackError(BreathError):
    """A model pack is damaged, incomplete, foreign or too new."""

    exit_code = 4


class LabelsError(BreathError):
    """A clip set, a feature store or ground-truth labels cannot be used as they are."""

    exit_code = 5


class OutputError(BreathError):
    """A result could not be written."""

    exit_code = 6
