"""Small synthetic clip sets, and a pack of toy graphs that hears loud as exhale and quiet as inhale."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import onnx
import pytest
import soundfile
from numpy.typing import NDArray
from onnx import TensorProto, helper

from engines.backend import Inference
from engines.contract import contract_hash
from engines.manifest import SCHEMA_VERSION, Ensemble, Manifest, NetworkInfo, Provenance, SplitDays
from engines.pack import Pack, save_pack
from engines.spec import NARROWBAND
from offline.clips import ClipSet

LOUD, QUIET = 0.5, 0.05
DAYS = ("20190101", "20190102", "20190103", "20190104", "20190105", "20190106")


def tone(amplitude: float, seed: int, rate_hz: int = 16_000, seconds: float = 1.0) -> NDArray[np.float32]:
    """A tone of a random pitch below 2 kHz."""
    pitch_hz = np.random.default_rng(seed).uniform(100, 1900)
    time_s = np.arange(round(rate_hz * seconds)) / rate_hz
    return (amplitude * np.sin(2 * np.pi * pitch_hz * time_s)).astype(np.float32)


def write_sets(folder: Path, days: Sequence[str] = DAYS, per_day: int = 4, wrong_every: int = 0) -> Path:
    """A clip set of the competition's form; every `wrong_every`-th clip is as loud as the other class."""
    (folder / "train").mkdir(parents=True)
    lines = ["ID,Target"]
    for day in days:
        for event in range(per_day):
            letter = "EI"[event % 2]
            is_wrong = wrong_every and (len(lines) % wrong_every == 0)
            amplitude = LOUD if (letter == "E") != bool(is_wrong) else QUIET
            recording = f"steth_{day}_09_30_00"
            sound = tone(amplitude, seed=len(lines))
            soundfile.write(folder / "train" / f"{recording}_{event:03d}.wav", sound, 16_000)
            lines.append(f"{recording}_{letter}_{event:03d},{letter}")
    (folder / "train.csv").write_text("\n".join(lines) + "\n")
    return folder


BREATH_HZ = {"I": 1000.0, "E": 400.0}


def write_breath_set(folder: Path, days: Sequence[str] = DAYS[:3], per_phase: int = 6) -> Path:
    """A clip set to splice streams from: looped tones, high for inhalations, and their natural lengths."""
    (folder / "train").mkdir(parents=True)
    rows, durations = ["ID,Target"], ["file_name,split,duration_s"]
    for day in days:
        rng = np.random.default_rng(int(day))
        for event in range(2 * per_phase):
            letter = "IE"[event % 2]
            n_natural = int(rng.integers(8_000, 14_001))
            sound = 0.1 * np.sin(2 * np.pi * BREATH_HZ[letter] * np.arange(n_natural) / 16_000)
            sound += 3e-4 * rng.standard_normal(n_natural)
            recording = f"steth_{day}_09_30_00"
            name = f"{recording}_{event:03d}.wav"
            soundfile.write(folder / "train" / name, np.resize(sound, 16_000), 16_000)
            rows.append(f"{recording}_{letter}_{event:03d},{letter}")
            durations.append(f"{name},train,{n_natural / 16_000:.4f}")
    (folder / "train.csv").write_text("\n".join(rows) + "\n")
    (folder / "true_durations.csv").write_text("\n".join(durations) + "\n")
    return folder


class LoudnessEngine:
    """Two networks: the first hears loudness, the second always doubts it."""

    name = "loudness"

    def __init__(self) -> None:
        self.batches: list[tuple[int, ...]] = []

    def warm_up(self) -> None:
        pass

    def infer(self, windows: NDArray[np.float32]) -> Inference:
        self.batches.append(windows.shape)
        logit = 100 * (np.mean(windows**2, axis=1) - 0.02)
        return Inference(np.stack([logit, 0.1 * logit], axis=1).astype(np.float32), {})

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def manifest_with(split: SplitDays) -> Manifest:
    return Manifest(
        schema_version=SCHEMA_VERSION,
        contract_hash=contract_hash(),
        name="toy",
        feature_spec=NARROWBAND,
        band_hz=(0.0, 2000.0),
        networks=(NetworkInfo("cnn8", "cnn8", 0.9), NetworkInfo("vgg", "vgg", 0.9)),
        ensemble=Ensemble("softmax", "validation AUC", (0.75, 0.25)),
        temperature=1.0,
        split=split,
        metrics={},
        provenance=Provenance("toy", "none", "nobody", 0, 0, {}, {}),
        files={},
    )


Shapes = dict[str, list[int | str]]


def _graph(inputs: Shapes, outputs: Shapes, nodes: list[str]) -> bytes:
    """An ONNX graph from lines like `y = Mul(x, two)`; the numbers it may use are named below."""
    numbers = {"two": 2.0, "quiet": 0.02, "hundred": 100.0, "ten": 10.0}
    constants = [helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in numbers.items()]
    constants.append(helper.make_tensor("second_axis", TensorProto.INT64, [1], [1]))
    made = []
    for line in nodes:
        out, call = line.split(" = ")
        kind, arguments = call.rstrip(")").split("(")
        attributes = {"keepdims": 0} if kind == "ReduceMean" else {}
        made.append(helper.make_node(kind, arguments.split(", "), [out], **attributes))

    def infos(shapes: Shapes) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()
        ]

    graph = helper.make_graph(made, "toy", infos(inputs), infos(outputs), constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture
def clip_folder(tmp_path: Path) -> Path:
    return write_sets(tmp_path / "set")


@pytest.fixture(scope="session")
def shared_clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same clips for all who only read them."""
    return write_sets(tmp_path_factory.mktemp("clips") / "set")


@pytest.fixture
def make_clip_folder(tmp_path: Path) -> Callable[..., Path]:
    """`make_clip_folder(days=..., per_day=..., wrong_every=...)` writes a clip set."""

    def make(name: str = "made", **settings: int | Sequence[str]) -> Path:
        return write_sets(tmp_path / name, **settings)  # type: ignore[arg-type]

    return make


@pytest.fixture
def clips(clip_folder: Path) -> ClipSet:
    return ClipSet.read(clip_folder)


@pytest.fixture(scope="session")
def breath_clips(tmp_path_factory: pytest.TempPathFactory) -> ClipSet:
    """Clips to splice streams from."""
    return ClipSet.read(write_breath_set(tmp_path_factory.mktemp("breath") / "set"))


@pytest.fixture(scope="session")
def negatives_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight sounds that are not breathing; every part of the split has some."""
    folder = tmp_path_factory.mktemp("negatives")
    for number in range(8):
        hiss = 0.1 * np.random.default_rng(number).standard_normal(32_000)
        soundfile.write(folder / f"hiss_{number}.wav", hiss, 16_000)
    return folder


@pytest.fixture
def loudness_engine() -> LoudnessEngine:
    return LoudnessEngine()


@pytest.fixture
def make_pack(tmp_path: Path) -> Callable[[SplitDays], Pack]:
    """`make_pack(split)` is a pack without files, for an engine that needs none."""
    return lambda split: Pack(tmp_path / "pack", manifest_with(split), "0" * 64)


@pytest.fixture
def toy_pack(tmp_path: Path) -> Pack:
    """A pack on the disk whose graphs ONNX Runtime runs; its split knows the first three days of `DAYS`."""
    batch: list[int | str] = ["B"]
    windows: Shapes = {"windows": ["B", 16_000]}
    features: Shapes = {"images": ["B", 16_000], "scalars": batch}
    split = SplitDays(train=DAYS[:1], validation=DAYS[1:2], test=DAYS[2:3])
    logit = ["above = Sub(scalars, quiet)", "logit = Mul(above, hundred)"]
    return save_pack(
        tmp_path / "toy-pack",
        manifest_with(split),
        {
            "features.onnx": _graph(
                windows,
                features,
                [
                    "images = Identity(windows)",
                    "square = Mul(windows, windows)",
                    "scalars = ReduceMean(square, second_axis)",
                ],
            ),
            "cnn8.onnx": _graph(features, {"logit": batch}, logit),
            "vgg.onnx": _graph(features, {"logit": batch}, [logit[0], "logit = Mul(above, ten)"]),
        },
    )
