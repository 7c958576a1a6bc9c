"""Make the README's performance section from the JSON of a benchmark.

python tests/bench/readme_performance.py FILE.json [--readme README.md]

FILE.json is what `breath-offline benchmark --json FILE.json` wrote on an idle machine. What stands between
the two marks in the README is replaced.
"""

import argparse
import json
import sys
import textwrap
from pathlib import Path

BEGIN = "<!-- performance: begin; made by tests/bench/readme_performance.py -->"
END = "<!-- performance: end -->"
README = Path(__file__).resolve().parents[2] / "README.md"
QUOTABLE_WINDOWS = 1024
WIDTH = 115


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result", type=Path)
    parser.add_argument("--readme", type=Path, default=README)
    chosen = parser.parse_args(arguments)
    try:
        result = json.loads(chosen.result.read_text(encoding="utf-8"))
        text = chosen.readme.read_text(encoding="utf-8")
        chosen.readme.write_text(replaced(text, section(result)), encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"readme_performance: error: {error}", file=sys.stderr)
        return 1
    except KeyError as error:
        print(f"readme_performance: error: {chosen.result} has no {error}", file=sys.stderr)
        return 1
    return 0


def replaced(text: str, made: str, begin: str = BEGIN, end: str = END) -> str:
    """The page with `made` between the marks; ValueError where these are not there exactly once."""
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"the page needs the lines {begin!r} and {end!r}, once and in this order")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{made}\n{end}{rest.partition(end)[2]}"


def section(result: dict) -> str:
    """Markdown from the JSON of a benchmark; ValueError where it holds too few windows to be quoted."""
    for name, engine in result["engines"].items():
        if engine["hop_ms"]["n"] < QUOTABLE_WINDOWS:
            raise ValueError(
                f"{engine['hop_ms']['n']} windows of {name} are too few to quote; {QUOTABLE_WINDOWS} at least"
            )
    paragraphs = [_paragraph(_conditions(result)), _table(result)]
    sentences = [sentence for name in result["engines"] for sentence in _sentences(name, result)]
    if sentences:
        paragraphs.append(_paragraph(" ".join(sentences)))
    warnings = [*result["warnings"], *_engine_warnings(result)]
    if warnings:
        listed = "\n".join(textwrap.fill(f"- {text}", WIDTH, subsequent_indent="  ") for text in warnings)
        paragraphs.append(f"What the benchmark says of this run:\n\n{listed}")
    return "\n\n".join(paragraphs)


def _conditions(result: dict) -> str:
    machine, settings, pack = result["machine"], result["settings"], result["pack"]
    gpu = f", {machine['gpu']}" if machine["gpu"] else ""
    runtimes = [name for name in ("onnxruntime", "openvino", "torch") if name in result["versions"]]
    versions = ", ".join(f"{name} {result['versions'][name]}" for name in runtimes)
    overlapping = [name for name, engine in result["engines"].items() if "inference" in engine["stages_ms"]]
    overlap = f"; on {' and '.join(overlapping)} some overlap, all are *inference*" if overlapping else ""
    return (
        f"{machine['cpu']}, {machine['usable_cores']} cores{gpu}; {versions}; pack {pack['name']} "
        f"(`{pack['sha256'][:12]}`, {pack['graph_precision']}). One window, from the block of sound that "
        f"completes it to the decision, at a hop of {settings['hop_s']:g} s, in milliseconds; stages are "
        f"medians{overlap}. Measured on {result['made_at'][:10]} with `{_command(settings)}`."
    )


def _command(settings: dict) -> str:
    parts = ["breath-offline benchmark"]
    parts += [f"--engine {name}" for name in settings["engines"] if name != "auto"]
    parts += ["--against reference"] if settings["is_against_reference"] else []
    parts += [f"--streams {settings['streams']}"] if settings["streams"] is not None else []
    parts += [f"--threads {settings['n_threads']}"] if settings["n_threads"] is not None else []
    parts += [f"--hop {settings['hop_s']:g}"] if settings["hop_s"] != 0.1 else []
    return " ".join([*parts, "--json FILE.json"])


def _table(result: dict) -> str:
    engines = dict(result["engines"])
    if "reference" in result:
        engines["reference"] = result["reference"]
    stages = list(dict.fromkeys(stage for engine in engines.values() for stage in engine["stages_ms"]))
    heads = ["", "median", "p90", "p99", *stages, "windows"]
    rows = [heads, ["---"] * len(heads)]
    for name, engine in engines.items():
        hop = engine["hop_ms"]
        row = [name, *(_ms(hop[key]) for key in ("p50", "p90", "p99"))]
        row += [
            _ms(engine["stages_ms"][stage]["p50"]) if stage in engine["stages_ms"] else "" for stage in stages
        ]
        rows.append([*row, f"{hop['n']:,}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _sentences(name: str, result: dict) -> list[str]:
    engine, hop_s = result["engines"][name], result["settings"]["hop_s"]
    made = []
    if "speedup_vs_reference" in engine:
        made.append(
            f"{name} is **{engine['speedup_vs_reference']:.1f} times** as fast as the published pipeline's "
            "shape (*reference*: librosa features, eager torch), by the ratio of medians."
        )
    if "idle" in engine:
        idle = engine["idle"]
        memory = f" and {idle['resident_mb']:.0f} MB of memory" if idle["resident_mb"] is not None else ""
        live = idle["hop_ms"]
        made.append(
            f"A live session on {name}, which sleeps between hops, answers in {_ms(live['p50'])} ms (median; "
            f"p90 {_ms(live['p90'])}) and takes {100 * idle['cpu_s_per_s']:.0f} % of one core{memory}."
        )
    if "streams" in engine:
        streams = engine["streams"]
        n_streams, p99 = streams["streams"], _ms(streams["batch_ms"]["p99"])
        verdict = "without a dropped window" if streams["is_carried"] else "but windows were dropped"
        made.append(
            f"{n_streams} live streams at a hop of {hop_s:g} s ran on this machine together, {verdict}: "
            f"a batch of {n_streams} windows takes {p99} ms at p99."
        )
    return made


def _engine_warnings(result: dict) -> list[str]:
    engines = dict(result["engines"])
    if "reference" in result:
        engines["reference"] = result["reference"]
    return [f"{name}: {text}" for name, engine in engines.items() for text in engine["warnings"]]


def _ms(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _paragraph(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    sys.exit(main())
