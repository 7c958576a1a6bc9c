"""Show where the time of a pack's graphs goes, kernel by kernel, on one core.

python tests/bench/profile_graphs.py [--pack default] [--runs 200] [--top 8]

Medians over the runs of what ONNX Runtime's own profiler says of every kernel, by kind of kernel, as tables
in Markdown. Profiling costs a few per cent itself; `breath-offline benchmark` says what a window takes.
Below the table of a network with INT8 convolutions stands how long they would take at the pace of one
product of large matrices, which is about as fast as the processor gets.
"""

import argparse
import json
import math
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engines.contract import WINDOW_SAMPLES
from engines.onnx_backend import import_onnxruntime
from engines.pack import load_pack
from realtime.sound.demo import DemoSource


def kernel_times(graph: Path, feed: dict[str, np.ndarray], n_runs: int) -> dict[tuple[str, str], float]:
    """Median microseconds of each kernel, by (kind, name)."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        for _ in range(n_runs):
            session.run(None, feed)
        rows = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        if row.get("cat") == "Node" and row["name"].endswith("_kernel_time"):
            found[row["args"]["op_name"], row["name"].removesuffix("_kernel_time")].append(row["dur"])
    return {kernel: float(np.median(durations)) for kernel, durations in found.items()}


def table(title: str, shares: Counter[str], counts: Counter[str], n_top: int) -> str:
    """The largest shares of a total, microseconds."""
    total = shares.total()
    lines = [f"| {title}: {total / 1e3:.2f} ms | kernels | ms | share |", "|---|---|---|---|"]
    for name, us in shares.most_common(n_top):
        lines.append(f"| {name} | {counts[name]} | {us / 1e3:.2f} | {us / total:.0%} |")
    rest = total - sum(us for _, us in shares.most_common(n_top))
    n_rest = counts.total() - sum(counts[name] for name, _ in shares.most_common(n_top))
    if n_rest:
        lines.append(f"| others | {n_rest} | {rest / 1e3:.2f} | {rest / total:.0%} |")
    return "\n".join(lines)


def int8_multiply_adds(graph: Path) -> int:
    """Of the INT8 convolutions of a graph, for one window."""
    model = onnx.shape_inference.infer_shapes(onnx.load(graph), strict_mode=True)
    shapes = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in model.graph.value_info
    }
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    weights = {
        node.output[0]: stored[node.input[0]]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in stored
    }
    found = 0
    for node in model.graph.node:
        if node.op_type == "Conv" and node.input[1] in weights:
            # (batch, channels, rows, frames); the batch is free.
            found += math.prod(shapes[node.output[0]][1:]) * math.prod(weights[node.input[1]].dims[1:])
    return found


def int8_multiply_adds_per_s(n_runs: int) -> float:
    """What one core reaches in the product of two matrices of 1,024 by 1,024, uint8 by int8."""
    size = 1024
    rng = np.random.default_rng(0)
    right = numpy_helper.from_array(rng.integers(-128, 128, (size, size)).astype(np.int8), "right")
    product = helper.make_graph(
        [helper.make_node("MatMulInteger", ["left", "right"], ["product"])],
        "product",
        [helper.make_tensor_value_info("left", TensorProto.UINT8, [size, size])],
        [helper.make_tensor_value_info("product", TensorProto.INT32, [size, size])],
        [right],
    )
    model = helper.make_model(product, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    feed = {"left": rng.integers(0, 256, (size, size)).astype(np.uint8)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "product.onnx"
        onnx.save(model, path)
        times_us = kernel_times(path, feed, n_runs)
    return size**3 / (sum(times_us.values()) / 1e6)


def main() -> None:
    """Profile the three graphs of a pack on one window of the demo breather."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pack", default="default")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--top", type=int, default=8)
    chosen = parser.parse_args()
    onnxruntime = import_onnxruntime()
    pack = load_pack(chosen.pack)
    sound = np.concatenate([block.samples[:, 0] for block in DemoSource(3.0, pace=None).blocks()])
    feed = {"windows": sound[None, -WINDOW_SAMPLES:].astype(np.float32)}
    features = onnxruntime.InferenceSession(pack.graph_paths["features"], providers=["CPUExecutionProvider"])
    images, scalars = features.run(None, feed)
    for stage, path in pack.graph_paths.items():
        given = feed if stage == "features" else {"images": images, "scalars": scalars}
        times = kernel_times(path, given, chosen.runs)
        shares: Counter[str] = Counter()
        counts: Counter[str] = Counter()
        for (kind, _), us in times.items():
            shares[kind] += us
            counts[kind] += 1
        print(table(stage, shares, counts, chosen.top), end="\n\n")
        if n_products := int8_multiply_adds(path):
            per_s = int8_multiply_adds_per_s(chosen.runs)
            time_ms = 1e3 * n_products / per_s
            print(
                f"{n_products / 1e9:.2f} G INT8 multiply-adds; at {per_s / 1e9:.0f} G/s: {time_ms:.1f} ms.\n"
            )


if __name__ == "__main__":
    main()
