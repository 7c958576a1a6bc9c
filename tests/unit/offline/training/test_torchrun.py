"""Two processes train together, on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from engines.pack import load_pack
from offline.training.checkpoint import read_values

PROJECT = Path(__file__).resolve().parents[4]

# The features' graph takes most of an export's time; it is that of another test.
SCRIPT = """
import functools, hashlib, os, sys
from pathlib import Path
import torch
from offline.graphs import export
from offline.training import train
from offline.training import options as train_options
from offline.cli import main

torch.set_num_threads(1)
folder, graph = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes()
export.features_graph = lambda features: graph
train_network = train.train_network

def watched(name, *arguments, **options):
    trained = train_network(name, *arguments, **options)
    digest = hashlib.sha256()
    for parameter in trained.network.parameters():
        digest.update(parameter.detach().contiguous().numpy().tobytes())
    (folder / f"{name}-{os.environ['RANK']}.txt").write_text(f"{digest.hexdigest()} {trained.best.auc}")
    return trained

train.train_network = watched
# As few windows as there can be.
if "--live" in sys.argv:
    train_options.LiveSettings = functools.partial(
        train_options.LiveSettings, validation_windows=64, stream_s=10.0
    )
# Workers that compute features begin by reading this script again.
if __name__ == "__main__":
    main(sys.argv[3:], prog_name="breath-offline")
"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("is_live", [False, True], ids=["clips", "live windows"])
def test_two_processes_train_one_pack(
    exported_pack, shared_clip_folder, breath_clips, negatives_folder, tmp_path, is_live
):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    out = tmp_path / "together"
    training = ["train", "--out", out, "--epochs", 1]
    if is_live:
        training += ["--data", breath_clips.root, "--batch-size", 32]
        training += ["--live", "--negatives", negatives_folder, "--windows", 64]
    else:
        training += ["--data", shared_clip_folder, "--batch-size", 8]
    command = [
        *[sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2],
        *[script, tmp_path, exported_pack.path / "features.onnx", *training, "--precision", "fp32"],
    ]
    ran = subprocess.run(
        [str(word) for word in command],
        cwd=PROJECT,
        env=os.environ | {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=550,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    assert ran.stdout.count("pack together in") == 1
    for name in ("cnn8", "vgg"):
        assert ran.stderr.count(f"{name} epoch 1/1") == 1
        ranks = [(tmp_path / f"{name}-{rank}.txt").read_text() for rank in (0, 1)]
        assert ranks[0] == ranks[1], "both hold the same weights and saw the same score"
    work = tmp_path / "together.training"
    assert len(json.loads((work / "vgg.history.json").read_text())["epochs"]) == 1
    assert len(read_values(work / "cnn8.safetensors")["history"]) == 1
    pack = load_pack(out)
    assert pack.has_graphs
    assert {network.n_outputs for network in pack.manifest.networks} == {2 if is_live else 1}
    assert not (work / "windows").exists()
    assert {path.name for path in tmp_path.iterdir()} >= {"together", "together.training"}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    kept = load_file(work / "cnn8.safetensors")
    shipped = load_file(pack.path / "cnn8.safetensors")
    assert (kept["best/head.0.weight"].half() == shipped["head.0.weight"]).all()
