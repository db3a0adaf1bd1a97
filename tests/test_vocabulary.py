"""The project's vocabulary: words that were replaced by the field's own terms do not come back.

Each rule names what to write, what was written before, and where the old word keeps an ordinary meaning (`typing.cast`,
`numpy.linalg.norm`, a seed that is drawn). The rules are checked in names of files and in every line of code, options, docs
and configuration. Result records are data and are not read.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SUFFIXES = {".py", ".pyi", ".md", ".toml", ".js", ".css", ".html", ".j2", ".yml", ".yaml", ".cff", ".cfg", ""}
NOT_OURS = {"LICENSE", "tests/test_vocabulary.py"}
"""Files that are not read: the licence, and this list of the words."""
RENAMED = re.compile(r"^### Changed\n.*?(?=^##)", re.MULTILINE | re.DOTALL)
"""The section of the changelog that says which old name is which new one."""


@dataclass(frozen=True)
class Rule:
    """One row of the vocabulary."""

    use: str
    instead_of: str
    """Regular expression of the old words. `\\b` is no border inside `snake_case` or `CamelCase`; `_pieces` splits these."""
    allowed: str = ""
    """Regular expression of the contexts in which the words have another meaning; empty for none."""


RULES = (
    Rule("generate, generated, generator", r"(re)?paint(s|ed|er|ers|ing|ings)?|artists?", r"in-?paint"),
    Rule("training mix, arm", r"meals?|diets?|servings?|served|fillings?", r"first served|filling (in|up|the)"),
    Rule("encoder, evaluation", r"judges?|judged|judging|judge?ments?"),
    Rule("reference segmenter", r"witness(es|ed)?"),
    Rule("prompt source", r"tracks?|--track", r"num_batches_tracked"),
    Rule("RunConfig", r"Plan\b|plan\.(generator|task|data|encoders|metrics|controls|seeds|options|experiment)\b", r"RunPlan"),
    Rule("Components", r"the cast|a cast|Cast\b|cast\.\w+|cast: ", r"cast(ing)? (to|of|from|by)|typing\.cast|a cast to"),
    Rule("DataSplits", r"Scene\b|scene\.\w+|the scene|scene of a run"),
    Rule("RunContext", r"desks?"),
    Rule("job", r"errands?"),
    Rule("executor, workers", r"hands?|ahead", r"(by|at)[ _]hand|hand-made"),
    Rule("store", r"albums?|keepers?"),
    Rule(
        "result record",
        r"(results?|records?) lines?|lines? of (results|records|runs)|accepted lines?"
        r"|line: ResultRecord|lines: [\w.]+\[ResultRecord",
    ),
    Rule(
        "layout generator, sampled layout",
        r"drawers?|(layouts?|masks|maps) (is |are |was |were )?(drawn|drew)|draws? (a |one |the )?(layout|mask|map)s?"
        r"|drawn (layout|mask|map)s?|laid",
        r"ImageDraw|laid[ _]out",
    ),
    Rule("training config, preset", r"recipes?"),
    Rule(
        "log, timer", r"ledgers?|laps?|told|said|(?<![\w ])say\(|\.says?\(|say: Callable|def +(say|says|tell)", r"told apart"
    ),
    Rule("instance table", r"census(es)?"),
    Rule("instance encoding", r"(instance|nucle(us|i)|encoding) planes?|planes? of (the )?(instances?|nucle(us|i))"),
    Rule("class weights", r"loudness"),
    Rule("freeze, load or train", r"settled"),
    Rule("round to fp16", r"halved"),
    Rule("weighted", r"weighed"),
    Rule("test case, case", r"subjects?", r"subject to"),
    Rule(
        "jackknife replicates",
        r"folds?|folded|folding",
        r"\w+-fold|cross-validation folds|overflow=\"fold\"|PanNuke|[Ff]old(\d| \d|\{| \{)",
    ),
    Rule("pixel unshuffle", r"unfold(s|ed|ing)?"),
    Rule("lower reference", r"floors?", r"(np|numpy|math|torch)\.floor|floor(\(\)|_divide| division)|rounding_mode=.floor"),
    Rule("upper reference", r"ceilings?"),
    Rule("normalised FD", r"(fd|kid|cmmd|distance)[- ]norms?|normed"),
    Rule("reproduction check", r"holding"),
    Rule("update the baseline", r"accepting"),
    Rule("folder, package, project", r"shelf|shelves|the house|halls|rooms?", r"has_room|room (for|to)"),
    Rule("both", r"stains? ?= ?.real\+synthetic"),
    Rule("--downstream, --layout-generator", r"--(no-)?diets|--layouts\b"),
)


def _pieces(text: str) -> str:
    """The text with `snake_case` and `CamelCase` split: `said_waiting` reads `said waiting`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text.replace("_", " "))


def _wrong(rule: Rule, text: str) -> bool:
    """Whether a line has one of the rule's words outside its other meanings."""
    rest = re.sub(rule.allowed, " ", text, flags=re.IGNORECASE) if rule.allowed else text
    return any(
        re.search(rf"(?<![A-Za-z])(?:{rule.instead_of})(?![A-Za-z])", form) for form in {rest, _pieces(rest), rest.lower()}
    )


def _files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("the files of the project are known in a git checkout only")
    named = sorted(set(listed.stdout.split("\n")) - {"", *NOT_OURS})
    return [ROOT / name for name in named if Path(name).suffix in SUFFIXES and (ROOT / name).is_file()]


def _findings() -> Iterator[str]:
    for file in _files():
        name = str(file.relative_to(ROOT))
        text = file.read_text(encoding="utf-8")
        if name == "CHANGELOG.md":
            text = RENAMED.sub(lambda section: "\n" * section[0].count("\n"), text)
        lines = [name.replace("/", " / "), *text.splitlines()]
        for number, line in enumerate(lines):
            for rule in RULES:
                if _wrong(rule, line):
                    yield f"{name}:{number}: use {rule.use}: {line.strip()[:120]}"


def test_no_replaced_word_is_left() -> None:
    found = list(_findings())
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "def paint(conditions):",
        "self._said_waiting = False",
        "class SceneBuilder:",
        "the album's seed",
        "bench run --track self",
        "def check(desk: RunContext)",
        "measure = 'fd-floor'",
        "line: ResultRecord",
        "which layouts are drawn from",
        "def say_waiting(self):",
        "planes_of_instances = encode(instances)",
        "executor.look_ahead(jobs)",
        "map_of_hands = {}",
        "for fold in range(10):",
        'table(stains="real+synthetic")',
    ],
)
def test_old_words_are_found(text: str) -> None:
    assert any(_wrong(rule, text) for rule in RULES)


@pytest.mark.parametrize(
    "text",
    [
        "from typing import Any, cast",
        "return cast(Encoder, self.plugin).encode(images)",
        "np.broadcast_to(rows, shape)",
        "folder / name",
        "state['bn.num_batches_tracked']",
        "from PIL import ImageDraw",
        "np.floor(y); torch.floor(y); math.floor(y)",
        "np.linalg.norm(rows, axis=1)",
        "a split that is drawn by a hash, tenfold, 10-fold",
        "started by hand, with the numbers at hand",
        "a mix of real+synthetic patches",
        "the self-supervised in-painting protocol",
        "one JSON object a line",
    ],
)
def test_other_meanings_are_left_alone(text: str) -> None:
    assert not [rule.use for rule in RULES if _wrong(rule, text)]
