"""The graph of jobs: a slide is a job, and its patches are an entry of the store. An ended run goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import DamagedError, MissingError, RefusedError
from bench.files.paths import delete
from bench.jobs.graph import Job, JobContext
from bench.jobs.outcomes import Failed, Finished
from bench.jobs.store import EntryRef, Store
from bench.messages import printable
from tasks.datasets.prepared.writer import assemble, write_part
from tasks.datasets.preparing.child import run_in_child
from tasks.datasets.preparing.cut import Rule, cut_slide, write_overview
from tasks.datasets.preparing.slide_list import SlideList, SlideSource

if TYPE_CHECKING:
    from bench.run import RunContext

VERSION = "1"
SEEN, OVERVIEW, OVERVIEWS = "seen.json", "overview.png", "overviews"
LONGEST = 1024
"""Longer side of an overview, pixels."""
SKIPPABLE = ("missing", "damaged", "usage", "killed")
"""Codes of the errors of a slide that may be left out: a resolution that cannot be is the user's, and a damaged slide
may end the process that reads it."""


@dataclass(frozen=True)
class PrepareSlide:
    """Action: the patches of one slide, what was seen, and its overview."""

    plan: SlideSource
    classes: tuple[str, ...]
    rule: Rule
    mpp: float | None
    confirm_mpp: bool

    def __call__(self, work: Path, context: JobContext) -> None:
        """In a process of its own: the libraries that read slides are written in C, and a slide can crash them."""
        run_in_child(partial(self.cut, work), f"reading the slide {self.plan.path}")
        seen = json.loads((work / SEEN).read_text(encoding="utf-8"))
        outside = f"; {count} polygons lie outside the slide" if (count := seen.get("outside")) else ""
        found = f"{seen['patches']} patches of {seen['squares']} squares on tissue"
        context.log(f"{printable(self.plan.slide)}: {found}{outside}")

    def cut(self, work: Path) -> None:
        """Writes the files of the slide to the folder."""
        cut = cut_slide(self.plan, self.classes, self.rule, self.mpp, self.confirm_mpp, LONGEST)
        write_part(work, cut.part, self.classes, self.rule.mpp)
        write_overview(cut, self.rule.size, self.rule.mpp, work / OVERVIEW)
        (work / SEEN).write_text(json.dumps(cut.seen), encoding="utf-8")


def slide_jobs(plan: SlideList, rule: Rule, resolutions: Mapping[str, float], confirm_mpp: bool) -> dict[str, Job]:
    """Slide -> its job."""
    jobs = {}
    for slide in plan.slides:
        mpp = resolutions.get(slide.slide)
        spec = {"version": VERSION, "slide": slide.described(), "classes": list(plan.classes), "rule": vars(rule), "mpp": mpp}
        action = PrepareSlide(slide, plan.classes, rule, mpp, confirm_mpp)
        jobs[slide.slide] = Job("slides", {**spec, "confirm": confirm_mpp}, action, label=f"cut {slide.slide}")
    return jobs


def prepare(plan: SlideList, jobs: Mapping[str, Job], rule: Rule, context: RunContext, out: Path, skip_damaged: bool) -> Path:
    """Cuts all slides and writes the folder `out`. A slide that cannot be read is left out with `skip_damaged`, and listed;
    otherwise DamagedError or MissingError once all others are done, which are kept."""
    outcomes = context.execute([*jobs.values()])
    failed = {slide: found for slide, job in jobs.items() if isinstance(found := outcomes[job.ref], Failed)}
    raise_failures(failed, skip_damaged)
    exclusions = [*plan.exclusions, *((slide, outcome.error.message) for slide, outcome in failed.items())]
    done = {slide: job.ref for slide, job in jobs.items() if isinstance(outcomes[job.ref], Finished)}
    if not done:
        raise MissingError(f"no slide is left of {len(exclusions)}. The first: {exclusions[0][0]}: {exclusions[0][1]}")
    store = context.store
    seen = {slide: store.read_json(ref, SEEN) for slide, ref in done.items()}
    described = {
        "source": plan.source,
        "notes": list(plan.notes),
        "rule": {name: value for name, value in vars(rule).items() if name not in ("size", "mpp")},
        "slides": seen,
    }
    parts = [store.folder(ref) for ref in done.values()]
    assemble(parts, out, rule.size, rule.mpp, plan.classes, described, exclusions)
    _write_overviews(store, done, out)
    return out


def raise_failures(failed: Mapping[str, Failed], skip_damaged: bool) -> None:
    """What failed slides mean for the whole: nothing where they are slides that may be left out, and are."""
    for slide, outcome in failed.items():
        if outcome.error.code in ("refused", "memory", "interrupted"):
            raise RefusedError(outcome.error.message)
        if outcome.error.code not in SKIPPABLE:
            raise RuntimeError(f"{slide}: {outcome.error.type}: {outcome.error.message}\n{outcome.error.traceback}")
    if failed and not skip_damaged:
        lines = [printable(f"  {slide}: {outcome.error.message}") for slide, outcome in failed.items()]
        raise DamagedError(
            "\n".join([f"{len(failed)} slides cannot be prepared; the others are done and kept:", *lines])
            + "\nMend them and give the same command again, or leave them out with --skip-damaged."
        )


def _write_overviews(store: Store, done: Mapping[str, EntryRef], out: Path) -> None:
    """A picture of each slide, named by its place in the order of slides, beside the list of names in dataset.json."""
    folder = out / OVERVIEWS
    delete(folder)
    folder.mkdir()
    for number, slide in enumerate(sorted(done)):
        (folder / f"{number:05d}.png").write_bytes(store.read_bytes(done[slide], OVERVIEW))
