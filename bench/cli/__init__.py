"""The command `bench`: one small file a command, imported only when the command runs.

Our own commands are named in `_OURS`; commands of other packages and of strangers enter through the entry-point group
`bench.commands`. Data goes to stdout, progress and messages to stderr.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from bench.errors import BenchError, UsageError, did_you_mean

_OURS = {
    "cache": "list, size or prune what is kept",
    "check": "test a plug-in against its contract",
    "doctor": "what works on this machine, and what to do about the rest",
    "export": "conditions and samples as PNG and CSV",
    "fit": "fit a generator and save its weights",
    "info": "everything a plug-in says of itself",
    "list": "names of generators, encoders, metrics, tasks and datasets",
    "new": "write a new plug-in that passes `bench check`",
    "run": "fit, generate, measure and score one generator",
}
INTERRUPTED = 130


class _Lazy(click.Group):
    """A group that imports a command when it is called, not to list it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from bench import registry

        return sorted({*_OURS, *registry.names("commands")})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        from bench import registry

        if name in _OURS:
            found: click.Command = importlib.import_module(f"bench.cli.{name}").command
            return found
        return registry.find("commands", name)[0] if name in registry.names("commands") else None  # type: ignore[return-value]

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None:
            known = self.list_commands(ctx)
            raise UsageError(f"no command {args[0]!r}.{did_you_mean(args[0], known)} The commands are: {', '.join(known)}.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, _OURS.get(name, "from a plug-in")) for name in self.list_commands(ctx)]
        with formatter.section("Verbs"):
            formatter.write_dl(rows)


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

    try:
        import_guard.check()
        sys.exit(group.main(standalone_mode=False))
    except BenchError as error:
        click.echo(f"bench: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        click.echo("bench: interrupted; the same command goes on from here.", err=True)
        sys.exit(INTERRUPTED)
