"""A pack of both networks with random weights, as training leaves it: for tests that need float weights."""

import torch
from safetensors.torch import save

from engines.contract import contract_hash
from engines.manifest import SCHEMA_VERSION, Ensemble, Manifest, NetworkInfo, Provenance, SplitDays
from engines.pack import save_pack
from engines.spec import NARROWBAND
from engines.torch_backend import ARCHITECTURES
from realtime.features.stack import FeatureStack


def random_pack(folder, windows, n_outputs):
    """Write it to `folder/weights`; batch statistics are of the windows, (B, 16000) float32."""
    images, scalars = FeatureStack(NARROWBAND)(torch.from_numpy(windows))
    files = {}
    for seed, (name, architecture) in enumerate(ARCHITECTURES.items()):
        torch.manual_seed(seed)
        network = architecture(dropout=0.0, n_outputs=n_outputs).train()
        network.standardise.fit(scalars)
        for module in network.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.momentum = None  # the mean over all batches: after one, those of that one
        with torch.no_grad():
            network(images, scalars)
        state = network.state_dict()
        files[f"{name}.safetensors"] = save(
            {key: value.half() if value.ndim > 1 else value for key, value in state.items()}
        )
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        contract_hash=contract_hash(),
        name="random",
        feature_spec=NARROWBAND,
        band_hz=(0.0, 2000.0),
        networks=tuple(NetworkInfo(name, name, 0.5, n_outputs) for name in ARCHITECTURES),
        ensemble=Ensemble(method="softmax", score_name="validation AUC", weights=(0.5, 0.5)),
        temperature=1.0,
        split=SplitDays(),
        metrics={},
        provenance=Provenance("none", "none", "none", 0, 0, {}, {}),
        files={},
    )
    return save_pack(folder / "weights", manifest, files)
