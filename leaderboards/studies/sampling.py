"""Which images a study shows, and in which order each reader sees them."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench.errors import UsageError
from leaderboards.studies.schema import Image, Position
from leaderboards.studies.sources import Candidates

Sharing = Literal["separate", "shared"]
RULE = {
    "separate": "Arms choose in turn, in an order that is drawn for each round. Each takes, among the conditions that "
    "no arm has taken, one of the class that it has fewest of, then of the slide that it has fewest of, then of the slide "
    "that all arms have fewest of, then by lot. No condition is shown in two arms. Practice images are chosen after the "
    "scored ones by the same rule.",
    "shared": "One list of conditions is chosen for all arms: of the class chosen least so far, then of the slide "
    "chosen least so far, then by lot. Every arm shows its image of each. Practice images are of further conditions, by the "
    "same rule, one arm each in turn.",
}
ORDER = (
    " Each reader has an own order: practice first, then all images shuffled; repeated images, in equal numbers from "
    "each arm, come again after at least a third of the images."
)


@dataclass(frozen=True)
class Chosen:
    """One image of one arm."""

    arm: int
    row: int
    """Row in the arm's candidates."""


@dataclass(frozen=True)
class Drawn:
    """The images of a study."""

    scored: tuple[Chosen, ...]
    practice: tuple[Chosen, ...]
    repeated: tuple[int, ...]
    """Numbers of the scored images that are shown twice."""


class _Balance:
    """What has been chosen, and the next choice of an arm."""

    def __init__(self, arms: Sequence[Candidates], rng: np.random.Generator) -> None:
        self.arms, self.rng = arms, rng
        self.ids = [arm.images.conditions.ids.tolist() for arm in arms]
        self.labels, self.units = [arm.labels.tolist() for arm in arms], [arm.units.tolist() for arm in arms]
        self.lots = [rng.permutation(len(ids)).tolist() for ids in self.ids]
        self.taken: set[str] = set()
        self.classes: Counter[tuple[int, str]] = Counter()
        self.slides: Counter[tuple[int, str]] = Counter()
        self.all_slides: Counter[str] = Counter()

    def choose(self, arm: int) -> Chosen | None:
        """The next image of the arm; None if no condition is left."""
        labels, units, lots = self.labels[arm], self.units[arm], self.lots[arm]
        free = [row for row, name in enumerate(self.ids[arm]) if name not in self.taken]
        if not free:
            return None
        row = min(
            free,
            key=lambda row: (
                self.classes[arm, labels[row]],
                self.slides[arm, units[row]],
                self.all_slides[units[row]],
                lots[row],
            ),
        )
        self.taken.add(self.ids[arm][row])
        self.classes[arm, labels[row]] += 1
        self.slides[arm, units[row]] += 1
        self.all_slides[units[row]] += 1
        return Chosen(arm, row)


def draw(
    arms: Sequence[Candidates], per_arm: int, repeats: int, practice: int, conditions: Sharing, rng: np.random.Generator
) -> Drawn:
    """Chooses images by `RULE`. Raises UsageError, with the numbers, if there are too few conditions."""
    if repeats > per_arm * len(arms) // 2:
        raise UsageError(
            f"--repeats {repeats}: at most half of the {per_arm * len(arms)} scored images are shown twice, so that second "
            "showings come late enough."
        )
    balance = _Balance(arms, rng)
    if conditions == "shared":
        scored, trial = _draw_shared(balance, per_arm, practice)
    else:
        rounds = [arm for _ in range(per_arm) for arm in rng.permutation(len(arms)).tolist()]
        scored = [balance.choose(arm) for arm in rounds]
        trial = [balance.choose(arm) for arm in _in_turn(len(arms), practice, rng)]
    chosen, tried = ([one for one in part if one is not None] for part in (scored, trial))
    if len(chosen) < per_arm * len(arms) or len(tried) < practice:
        there = len(set().union(*balance.ids))
        need = (per_arm if conditions == "shared" else per_arm * len(arms)) + practice
        advice = "" if conditions == "shared" else ", or show the same conditions in every arm with --conditions shared"
        raise UsageError(f"{need} conditions are needed and there are {there}: ask for fewer images or practice{advice}.")
    repeated = [
        int(number)
        for arm, count in enumerate(np.bincount(_in_turn(len(arms), repeats, rng), minlength=len(arms)).tolist())
        for number in rng.choice([i for i, one in enumerate(chosen) if one.arm == arm], count, replace=False)
    ]
    return Drawn(tuple(chosen), tuple(tried), tuple(sorted(repeated)))


def _in_turn(arms: int, count: int, rng: np.random.Generator) -> list[int]:
    """`count` arms, each as often as the others, give or take one."""
    order = rng.permutation(arms).tolist()
    return [order[i % arms] for i in range(count)]


def _draw_shared(balance: _Balance, per_arm: int, practice: int) -> tuple[list[Chosen | None], list[Chosen | None]]:
    rows = [{name: row for row, name in enumerate(ids)} for ids in balance.ids]
    common = set(rows[0]).intersection(*rows[1:])
    balance.taken = set(rows[0]) - common
    firsts = [balance.choose(0) for _ in range(per_arm)]
    names = [balance.ids[0][one.row] for one in firsts if one is not None]
    scored: list[Chosen | None] = [Chosen(arm, rows[arm][name]) for name in names for arm in range(len(rows))]
    trial: list[Chosen | None] = []
    for arm in _in_turn(len(rows), practice, balance.rng):
        one = balance.choose(0)
        trial.append(None if one is None else Chosen(arm, rows[arm][balance.ids[0][one.row]]))
    return scored, trial


def name_image(arms: Sequence[Candidates], one: Chosen, salt: str) -> Image:
    """The image as the key names it. Its id says nothing without the salt."""
    arm = arms[one.arm]
    condition = str(arm.images.conditions.ids[one.row])
    return Image(
        image=_secret_id(salt, f"image\0{arm.arm}\0{condition}"),
        arm=arm.arm,
        condition=condition,
        slide=str(arm.units[one.row]) if arm.are_units_known else "",
        label=str(arm.labels[one.row]),
    )


def order_images(drawn: Drawn, names: Sequence[str], reader: str, salt: str, rng: np.random.Generator) -> list[Position]:
    """The positions of one reader's page. `names`: ids of the scored images, then of the practice images."""
    count = len(drawn.scored)
    gap, order = count // 3, rng.permutation(count).tolist()
    early = [i for i, number in enumerate(order[: count - gap]) if number not in drawn.repeated]
    rng.shuffle(early)
    for i in range(count - gap, count):  # first showings are early enough for a second one
        if order[i] in drawn.repeated:
            j = early.pop()
            order[i], order[j] = order[j], order[i]
    shown = [(number, 0) for number in order]
    for number in rng.permutation(list(drawn.repeated)).tolist() if drawn.repeated else []:
        first = shown.index((number, 0))
        shown.insert(int(rng.integers(first + gap + 1, len(shown) + 1)), (number, 1))
    trial = rng.permutation(len(drawn.practice)).tolist()
    every = [(count + number, 0, True) for number in trial] + [(number, again, False) for number, again in shown]
    return [
        Position(
            item=_secret_id(salt, f"{reader}\0{place}"), image=names[number], repeat=1 if again else 0, practice=is_practice
        )
        for place, (number, again, is_practice) in enumerate(every)
    ]


def _secret_id(salt: str, text: str) -> str:
    return hmac.new(salt.encode(), text.encode(), "sha256").hexdigest()[:16]
