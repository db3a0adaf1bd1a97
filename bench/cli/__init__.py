"""The command `bench`: one small file for each command, imported only when the command runs.

`COMMANDS` names our own commands; those of other packages enter through the entry-point group `bench.commands`, as those of
`leaderboards` do. Data goes to stdout, progress and messages to stderr.
"""

from __future__ import annotations

import importlib
import io
import sys
from typing import Any

import click

from bench.errors import BenchError, BrokenPluginError, RefusedError, UsageError, did_you_mean
from bench.messages import echo, show_uncaught

COMMANDS: dict[str, dict[str, str]] = {
    "Data": {
        "data": "check a folder of images and maps, or import one of another layout",
        "prepare": "cut patches with maps from whole slides and their annotations",
        "pseudo-maps": "make class maps of slides without annotation, by clustering",
    },
    "Run": {
        "run": "train, generate, measure and score one generator on one task",
        "suite": "run the cells of a paper's table, or of a file of your own",
        "fit": "train a generator and save its weights",
        "convert-checkpoint": "write the tensors of a checkpoint as safetensors, without its code",
        "features": "write features of images, to be read by a run elsewhere",
        "export": "write conditions or generated patches as PNG and CSV",
    },
    "Compare": {
        "leaderboard": "print tables of all runs, of a task, or of a suite as in its paper",
        "compare": "compare two generators, paired by slides and seeds",
        "copies": "show which training patches the generated ones of a run repeat",
        "sensitivity": "measure what each metric sees of corruptions of real patches",
        "evidence": "show which metrics follow downstream gain and faithfulness",
        "gate": "test whether a generator has become worse than its baseline, for CI",
        "study": "prepare and collect blinded studies in which pathologists read patches",
    },
    "Publish": {
        "report": "write a page with tables, patches and provenance of runs",
        "merge": "join the results of several machines in one file",
        "verify": "recompute part of a run and compare it with its records",
    },
    "Extend": {
        "list": "list generators, encoders, metrics, tasks and datasets",
        "info": "show card, options and documentation of a plug-in",
        "new": "write a new plug-in that passes `bench check`",
        "check": "test a plug-in against the contract of its kind",
    },
    "Maintain": {
        "doctor": "check this machine, and say how to fix what does not work",
        "cache": "list, measure or prune the store",
    },
}
"""What `bench --help` says of our commands, by group. A table, so that help imports none of them."""
HERE = ("run", "fit", "export", "list", "info", "new", "check", "doctor", "cache")
"""Commands that are modules of this package."""
OTHERS = "Of other packages"
INTERRUPTED = 130


class _Lazy(click.Group):
    """A group that imports a command when it is called, not to list it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from bench import registry

        return sorted({*HERE, *registry.names("commands")})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        from bench import registry

        if name in HERE:
            found: click.Command = importlib.import_module(f"bench.cli.{name}").command
            return found
        if name not in registry.names("commands"):
            return None
        command: Any = registry.find("commands", name)[0]
        if not isinstance(command, click.Command):
            raise BrokenPluginError(f"the command {name!r} ({registry.entry('commands', name).value}) is no click command.")
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None:
            known = self.list_commands(ctx)
            raise UsageError(f"no command {args[0]!r}.{did_you_mean(args[0], known)} The commands are: {', '.join(known)}.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        known = self.list_commands(ctx)
        sections = {title: [(name, text) for name, text in own.items() if name in known] for title, own in COMMANDS.items()}
        ours = {name for own in COMMANDS.values() for name in own}
        sections[OTHERS] = [(name, _summary(name)) for name in known if name not in ours]
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    # one column of names in all sections
                    formatter.write_dl([(name.ljust(max(map(len, known))), text) for name, text in rows])


def _summary(name: str) -> str:
    from bench import registry
    from bench.cli.summaries import summary_of

    try:
        return summary_of(registry.entry("commands", name))
    except BrokenPluginError as error:
        return str(error)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="histobench", prog_name="bench")
def group() -> None:
    """Benchmark conditional histology generators.

    \b
    bench run --generator ldm-prompt --task cam16-seg     embedded data, no configuration
    bench list generators                                 what there is
    bench new generator mine                              add your own
    bench leaderboard                                     the table of all runs so far
    """


def main() -> None:
    """Entry point: user errors become one message and their exit code; anything else keeps its traceback."""
    from bench.runtime import import_guard
    from bench.runtime.plugin_code import guarded_process
    from bench.runtime.process import check_address_space, ignore_interrupts, prepare_streams, termination_as_interrupt
    from bench.runtime.refusals import refusal_behind, refusal_of

    prepare_streams()
    sys.excepthook = show_uncaught
    try:
        with guarded_process(), termination_as_interrupt():
            check_address_space()
            import_guard.check()
            code = group.main(standalone_mode=False)
            sys.stdout.flush()  # here, so that a full disk behind it is a sentence
            sys.exit(code)
    except BenchError as error:
        if refusal := refusal_behind(error):
            error = RefusedError(refusal.sentence())
        # further lines are indented, so that a name with a line break in it cannot pass for a message of its own
        echo("bench: " + str(error).replace("\n", "\n  "), err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        echo(shown.getvalue().rstrip("\n"), err=True)
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort) as error:
        if isinstance(error.__cause__, EOFError):  # which click takes for the end of a dialogue: nothing here asks anything
            raise error.__cause__ from None
        echo("bench: interrupted; the same command goes on from here.", err=True)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if (refusal := refusal_of(error)) is None:
            raise
        echo(f"bench: {refusal.sentence()}", err=True)
        sys.exit(RefusedError.exit_code)
    finally:
        ignore_interrupts()  # the command has ended: Ctrl-C while Python ends would only print a traceback
