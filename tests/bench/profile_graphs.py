"""Show where the time of a pack's graphs goes, kernel by kernel, on one core.

python tests/bench/profile_graphs.py [--pack default] [--runs 200] [--top 8]

Medians over the runs of what ONNX Runtime's own profiler says of every kernel, by kind of kernel, as tables
in Markdown. Profiling costs a few per cent itself; `breath-offline benchmark` says what a window takes.
"""

import argparse
import json
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from engines.contract import WINDOW_SAMPLES
from engines.pack import load_pack
from realtime.demo import DemoSource


def kernel_times(graph: Path, feed: dict[str, np.ndarray], n_runs: int) -> dict[tuple[str, str], float]:
    """Median microseconds of each kernel, by (kind, name)."""
    import onnxruntime

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


def main() -> None:
    """Profile the three graphs of a pack on one window of the demo breather."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pack", default="default")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--top", type=int, default=8)
    chosen = parser.parse_args()
    import onnxruntime

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


if __name__ == "__main__":
    main()
