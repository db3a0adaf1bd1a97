"""The calls of `test_options.py`: every option of every command once, and the calls that are refused."""

from __future__ import annotations

import json

from tests.small_run import OPTIONS, SMALL

DOWN = [*SMALL, "-o", "task.steps=2"]
NUCLEI = [word for option in (*OPTIONS, "dataset.pool_slides=2") for word in ("-o", option)]
SUITE = """
name = "mine"
summary = "two cells"
[preset.tiny]
seeds = [0]
[preset.other]
seeds = [1]
[[cells]]
generators = ["flat-colour"]
tasks = ["cam16-seg"]
encoders = ["stain"]
metrics = ["fd"]
controls = []
"""

GREY = """
import numpy as np
from bench.types import Card

class Grey:
    card = Card("grey", "1", "Shares of grey levels.", licence="MIT")

    def __init__(self, bins: int = 8) -> None:
        self.bins = bins

    @property
    def dim(self) -> int:
        return self.bins

    def encode(self, images):
        flat = images.mean(axis=-1).reshape(len(images), -1)
        return np.stack([np.histogram(one, self.bins, (0, 256))[0] / one.size for one in flat]).astype(np.float32)
"""
CUT = "--size 16 --mpp 1 --smallest 0.1 --largest 0.9 --patches all --most 3"
PLAIN = "--workers 1 --mpp-csv mpp.csv --confirm-mpp --skip-damaged"
OUTLINE = json.dumps(
    {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [[[9, 9], [240, 9], [240, 240], [9, 240], [9, 9]]]},
                "properties": {"classification": {"name": "a"}},
            }
        ],
    }
)
"""A square that QuPath outlined."""

CASES: dict[str, list[list[str]]] = {
    "run": [
        "-g crop-paste -t cam16-seg -e stain,texture -m fd,precision --weights weights --controls noise --seeds 0 "
        "--fit-seeds 1 --fit-prompt-source cohort --prompt-source self --fit --no-downstream --workers 2 --out out "
        "--data embedded".split()
        + SMALL,
        "-g flat-colour -t cam16-seg -e stain -m fd --data folder --class-map 0=1,1=0 --controls none --strict --json".split()
        + ["--no-downstream", "--label", "mine", "-o", "dataset.size=64", "--out", "out"],
        "-g flat-colour -t region-seg -e stain -m kid --dataset folder:folder --controls none --out out".split()
        + ["--no-downstream", "--features", "seen.npz"],
        ["-g", "flat-colour", "-t", "cam16-seg", "--experiment", "mine.toml", "--seeds", "0", "--out", "out", *DOWN],
        ["-g", "flat-colour", "-t", "cam16-seg", "--plan", "--json", *SMALL],
        "-g flat-colour -t lizard-nuclei --layout-generator random-discs -e stain -m fd --controls none".split()
        + ["--no-downstream", "--seeds", "0", "--out", "out", *NUCLEI],
    ],
    "suite": [
        "suite.toml --preset other --data cam16-seg=embedded --weights weights --fit-seeds 1 --workers 1 --out out".split()
        + SMALL,
        ["suite.toml", "--plan", "--allow-plugin", "mine.py", "--dataset", "cam16-seg=folder:folder"],
    ],
    "fit": [
        "-g copy-train -t cam16-seg --fit-seeds 1 --out fitted --data folder --class-map 0=1,1=0 --prompt-source self".split()
        + ["-o", "dataset.size=64"],
        ["--layout-generator", "copy-masks", "-t", "lizard-nuclei", "--out", "fitted", "--dataset", "phantom-lizard", *NUCLEI],
    ],
    "leaderboard": [
        ["cam16-seg", "--results", "ran", "--measures", "fd", "--format", "markdown"],
        ["cam16-seg", "--results", "tried", "--experiment", "mine.toml", "--json"],
        ["cam16-seg", "--results", "ran", "--format", "csv", "--out", "out/table.csv"],
    ],
    "compare": [["flat-colour", "noise", "--results", "ran", "--measures", "fd *", "--json"]],
    "gate": [
        "--baseline ran/results.jsonl --candidate ran --policy policy.toml --markdown out/gate.md --junit out/gate.xml".split()
        + ["--mode", "same-weights", "--json", "--strict"]
    ],
    "gate accept": [
        ["--baseline", "out/base.jsonl", "--candidate", "ran", "--reason", "the first", "--policy", "policy.toml"],
    ],
    "report": [["ran", "--out", "site", "--title", "Mine", "--patches", "1", "--encoder", "stain"]],
    "verify": [
        ["ran", "--sample", "2", "--seed", "1", "--seeds", "0", "--data", "embedded", "--samples", "samples", "--json"],
        ["ran", "--all", "--mark", "--allow-plugin", "mine.py", "--dataset", "phantom-cam16"],
    ],
    "convert-checkpoint": [["weights.safetensors", "--out", "out/converted", "--json"]],
    "features": ["-e stain -t cam16-seg --data embedded --weights weights --out real.npz".split() + SMALL],
    "copies": [["looked-up", "--out", "out/copies", "--allow-plugin", "mine.py", "--workers", "1"]],
    "study new": [
        "options --generated ran --real ran --questions nuclei --readers 1 --images-per-arm 2 --repeats 1 --practice 1 "
        "--seed 3 --conditions shared --difference 1 --accuracy 0.2 --assume reader=0.5 --key out/study-key --out out/study "
        "--workers 1 --allow-plugin mine.py --json".split(),
        "planned --generated folder:samples/flat-colour-seed0 --real phantom-cam16 -t cam16-seg --plan".split()
        + ["--images-per-arm", "2", "--repeats", "0", "--practice", "0", *SMALL],
    ],
    "study unblind": [
        [
            "answered/s",
            "--key",
            "answered/k/key.json",
            "--answers",
            "answered/1.json",
            "--out",
            "out/unblinded.jsonl",
            "--json",
        ],
    ],
    "study analyse": [
        "read.csv --out out/read --margin 0.5 --margin-accuracy 0.1 --level 0.9 --kind synthetic=real".split()
        + ["--run", "flat-colour=ran", "--results", "ran", "--json"],
    ],
    "merge": [["ran", "--out", "out/merged.jsonl", "--tolerance", "1e-6"]],
    "export conditions": [
        "-t cam16-seg --out out/asked --seed 1 --data folder --class-map 0=1,1=0 --prompt-source self".split()
        + ["-o", "dataset.size=64"],
        "-t cam16-seg --out out/named --dataset folder:folder --splits test".split(),
    ],
    "export samples": [["ran", "--out", "out/samples", "--allow-plugin", "mine.py"]],
    "check": [
        ["flat-colour", "--kind", "generators", "--size", "32", "--json"],
        ["grey.py:Grey", "--size", "32", "-o", "bins=16"],
    ],
    "doctor": [["--json"], ["--encoders", "--weights", "weights", "--json"]],
    "list": [["encoders", "--json"]],
    "info": [["fd", "--kind", "metrics", "--json"], ["ran", "--cite", "--json"]],
    "cache list": [["--json"]],
    "cache size": [[]],
    "cache verify": [["--remove"]],
    "cache prune": [["--keep", "2G"]],
    "data check": [["folder", "--size", "64", "--json"], ["scaled", "--mpp", "1", "--json"]],
    "data import": [
        "folder --out out/imported --layout pairs --classes a,b --mpp 0.5 --unit-from (.*) --skip-damaged --json".split(),
        [
            "folder",
            "--out",
            "out/again",
            "--palette",
            "0=a;1=b",
            "--columns",
            "id=id",
            "--split-from",
            "(p)",
            "--splits",
            "p=train",
        ],
        "folder --out out/third --accept-palette --kind region --outside ignore --confirm-mpp".split(),
    ],
    "prepare camelyon16": [
        f"--root slides/cam --out out/cam {CUT} --workers 1 --mpp-csv mpp.csv --confirm-mpp --skip-damaged".split(),
        f"--root slides/cam --out out/dry {CUT} --dry-run".split(),
    ],
    "prepare panda": [f"--root slides/panda --out out/panda {CUT} --mapping paper {PLAIN}".split()],
    "prepare slides": [
        f"--root slides/cam/training/normal --out out/own {CUT} --classes a=b --outside b {PLAIN}".split(),
        f"--root slides/cam/training/normal --out out/grey {CUT} --maps tissue".split(),
    ],
    "prepare tcga": [
        f"--root slides/tcga --out out/tcga {CUT} --manifest slides/tcga/gdc_manifest.txt --checksums {PLAIN}".split(),
    ],
    "pseudo-maps": [
        "--root slides/tcga --out out/maps -e grey.py:Grey -o bins=4 --clusters 4 --scales 2 --nested --seed 1 --mpp 1".split()
        + "--cell 16".split()
        + "--window 32 --cells 40 --size 32 --heterogeneity 0 --most 9 --growth 0.2 --rotation 5 --stain 0.1".split()
        + "--label-by classifier --classifier vit_tiny_patch16_224 --classifier-steps 2 --classifier-rate 0.001".split()
        + f"--truth slides/tcga/truth --manifest slides/tcga/gdc_manifest.txt {PLAIN}".split(),
    ],
    "new": [["generator", "my-own", "--dir", "out"], ["encoder", "my-encoder", "--dir", "out"]],
    "sensitivity": [
        "-t cam16-seg -e stain -m fd --corruptions jpeg,blur --strengths jpeg=90,30 --strengths blur=1,2".split()
        + "--beside noise --seeds 1 --weights weights --workers 1 --data embedded --prompt-source cohort --out out".split()
        + SMALL,
        "-t cam16-seg -e stain -m stain --corruptions jpeg --data folder --class-map 0=1,1=0 --beside none --out out".split()
        + ["--json", "-o", "dataset.size=64"],
        "-t region-seg -e stain -m stain --corruptions blur --dataset folder:folder --beside none --out out".split(),
        "--records corrupted --against ran --figure out/sensitivity.png --flags out/flags.json --format markdown".split()
        + ["--keep", "out/kept.jsonl", "--only", "responses", "--measures", "fd"],
    ],
    "evidence": [
        "corrupted readers.jsonl --targets reader-quality --seed 1 --figure out/evidence.png --json".split(),
        "corrupted readers.jsonl --format markdown".split(),
    ],
}
"""command -> the words of each call."""
ELSEWHERE = ["--scheduler", "tcp://127.0.0.1:1", "--workers", "2"]
REFUSED = {
    "run": "-g blur -t cam16-seg".split(),
    "suite": ["suite.toml"],
    "fit": "-g copy-train -t cam16-seg --out refused".split(),
    "verify": ["ran"],
    "prepare camelyon16": "--root slides/cam --out refused".split(),
    "prepare panda": "--root slides/panda --out refused --dry-run".split(),
    "prepare tcga": "--root slides/tcga --out refused --dry-run".split(),
    "pseudo-maps": "--root slides/tcga -e texture --out refused".split(),
    "prepare slides": "--root slides/cam/training/normal --classes a=b --out refused --dry-run".split(),
    "export conditions": "-t cam16-seg --out refused".split(),
    "export samples": ["ran", "--out", "refused"],
    "copies": ["looked-up", "--out", "refused"],
    "sensitivity": "-t cam16-seg -e stain -m fd --corruptions jpeg".split(),
    "study new": ["refused", "--generated", "ran", "--out", "refused"],
}
"""Calls that name workers of this machine and those of a scheduler. jobs/test_dask.py shows that a scheduler's workers do the
jobs."""
CODES = {"doctor": (0, 1)}
"""Exit codes that are well, where these are not 0 alone: a machine may lack something that `bench doctor` looks for."""
CALLS = [(command, words) for command, calls in CASES.items() for words in calls]
