"""The manifest of a model pack: everything that must be known about its weights, as strictly typed JSON."""

from typing import Any, Literal

import msgspec

from engines.ensemble import WeightMethod
from engines.spec import FeatureSpec

SCHEMA_VERSION = 3
OLDEST_SCHEMA_VERSION = 1
N_STATES = 4
FEATURES = "features"
"""Name of the stage before the networks; none of them may have it."""


class NetworkInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One network of a pack.

    Attributes:
        name: base name of its files, such as `cnn8` for `cnn8.onnx` and `cnn8.safetensors`.
        architecture: `cnn8` or `vgg`.
        score: its validation score, from which the weights of the ensemble are made.
        n_outputs: 1, the phase; 2, the phase and the presence of breath.
    """

    name: str
    architecture: str
    score: float
    n_outputs: Literal[1, 2] = 1


class Ensemble(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the networks are weighed: the weights, and how they came about."""

    method: WeightMethod
    score_name: str
    weights: tuple[float, ...]


class NormalByAge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A normal distribution for each of the four states and each range of ages.

    The states are inhalation, exhalation, the pause after an inhalation and the pause after an exhalation.

    Attributes:
        mean: a row for each state, a column for each range.
        sd: standard deviation, a row for each state: one number for every age, or one for each range.
    """

    mean: tuple[tuple[float, ...], ...]
    sd: tuple[tuple[float, ...], ...]


class Emission(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a window is usually like to the pack, by what is going on at its end and for how long.

    A window of a second holds more than what goes on at its end, so that the networks sound otherwise at the
    beginning of a phase than later on.

    Attributes:
        age_borders_s: ascending; n borders make n + 1 ranges of ages, the last without end, seconds.
        phase: of the log odds of P(exhale), natural logarithm.
        presence: of the log odds of P(breath), networks and level together.
        rise: of how much louder the newest sound is than shortly before, dB; None: fitted before schema 3.
        n_windows: windows that it was fitted to.
        streams: fingerprint (SHA-256, hex) of the streams that they are of.
    """

    age_borders_s: tuple[float, ...]
    phase: NormalByAge
    presence: NormalByAge
    n_windows: int
    streams: str
    rise: NormalByAge | None = None


class SplitDays(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The recording days of each part; no day is in two of them."""

    train: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()


class Provenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the pack was trained on, by which settings, with which software."""

    dataset: str
    licence: str
    credit: str
    n_clips: int
    seed: int
    settings: dict[str, Any]
    software: dict[str, str]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `manifest.json`.

    Attributes:
        schema_version: version of this structure.
        contract_hash: `engines.contract.contract_hash()` of the code that trained the pack.
        name: the pack's name.
        feature_spec: parameters inside the channels.
        band_hz: lowest and highest frequency the networks have seen, Hz.
        networks: the networks, in the order of the logits.
        ensemble: how they are weighed.
        temperature: divides every logit before the sigmoid.
        split: recording days of the parts.
        metrics: figures measured on the split's parts, for people; calibration is at the temperature of the
            training, which `breath-offline fit-decision` changes.
        provenance: where it comes from.
        files: sha256 (hex) of every other file of the pack.
        graph_precision: in what the networks' ONNX graphs compute their convolutions; the weights of `float`
            graphs are stored as float16.
        emission: what the decision takes its evidence from; None: nobody has fitted it.
    """

    schema_version: int
    contract_hash: str
    name: str
    feature_spec: FeatureSpec
    band_hz: tuple[float, float]
    networks: tuple[NetworkInfo, ...]
    ensemble: Ensemble
    temperature: float
    split: SplitDays
    metrics: dict[str, Any]
    provenance: Provenance
    files: dict[str, str]
    graph_precision: Literal["float", "int8"] = "float"
    emission: Emission | None = None

    @property
    def weights(self) -> tuple[float, ...]:
        """Weight of each network, in the order of the logits."""
        return self.ensemble.weights
