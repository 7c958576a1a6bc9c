"""What stands below the help of breath-offline and of each of its commands."""

OFFLINE_EPILOG = """\b
From recordings to a pack that breath-live can use:
  breath-offline cut RECORDINGS --out CLIPS
  breath-offline train --data CLIPS --out PACK
  breath-offline evaluate --data CLIPS --pack PACK
  breath-offline quantise --pack PACK --data CLIPS --out FAST
  breath-live --pack FAST

\b
CLIPS is a folder with a CSV (columns ID,Target or file_name,label; and day or
group, unless the name tells the day) and its sounds in train/, audio/, clips/
or beside it: WAV, FLAC or OGG, of any rate.

\b
Exit codes:
  0    done
  2    a flag or a file of settings cannot be used, or a package is missing
  3    a sound cannot be read
  4    the engine or the model pack
  5    labels, clips or a feature store cannot be used as they are
  6    a result could not be written
  130  interrupted with Ctrl-C
"""

OFFLINE_EXAMPLES = {
    "cut": """
  breath-offline cut RECORDINGS --out CLIPS
  breath-offline cut anna/ ben/ cleo/ --by-folder --out CLIPS
  breath-offline cut night.flac --labels csv --day 20261128 --out CLIPS
""",
    "precompute": """
  breath-offline precompute --data CLIPS --out STORE
  breath-offline train --data CLIPS --store STORE --out PACK
""",
    "train": """
  breath-offline train --data CLIPS --out PACK
  breath-offline train --data CLIPS --out PACK --resume
  breath-offline train --data CLIPS --out PACK --live --negatives SOUNDS
  torchrun --nproc-per-node 4 -m offline.cli train --data CLIPS --out PACK
""",
    "export": """
  breath-offline export --pack PACK --data CLIPS
  breath-offline export --pack PACK --out SHIPPED --graphs-only
""",
    "quantise": """
  breath-offline quantise --pack PACK --data CLIPS --out FAST
""",
    "evaluate": """
  breath-offline evaluate --data CLIPS --pack PACK --report report/
  breath-offline evaluate --data CLIPS --json - | jq .
  breath-offline evaluate --streams STREAMS --pack PACK --hop 0.2
""",
    "predict": """
  breath-offline predict --csv answers.csv --pack PACK SOUNDS
  breath-offline predict --csv - one.wav two.flac
""",
    "compose": """
  breath-offline compose --data CLIPS --out STREAMS --seconds 40
  breath-offline compose --data CLIPS --out STREAMS --kind slow --snr clean,10
  breath-offline evaluate --streams STREAMS
""",
    "fit-decision": """
  breath-offline compose --data CLIPS --out STREAMS --part validation
  breath-offline fit-decision --pack PACK --streams STREAMS --out FITTED
""",
    "build": """
  breath-offline build --engine tensorrt-rtx --pack PACK --precision fp16
  breath-offline build --engine tensorrt --pack PACK --batch 1:1:8
""",
    "benchmark": """
  breath-offline benchmark
  breath-offline benchmark --engine onnxruntime --engine torch --pack PACK
  breath-offline benchmark --streams auto --explain
""",
}
