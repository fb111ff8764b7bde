"""The `kat` command. Subcommands are found by entry points in the group `kat.commands`."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import click

_GROUP = "kat.commands"


class _Parts(click.Group):
    """Loads the code of a subcommand only when it is asked for, so that `kat usage` never imports torch."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *(point.name for point in metadata.entry_points(group=_GROUP))})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for point in metadata.entry_points(group=_GROUP, name=cmd_name):
            return self._load(point)
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name in self.list_commands(ctx):
            try:
                command = self.get_command(ctx, name)
            except click.ClickException as missing:
                rows.append((name, f"({missing.message})"))
            else:
                if command is not None:
                    rows.append((name, command.get_short_help_str(limit=90)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    @staticmethod
    def _load(point: metadata.EntryPoint) -> click.Command:
        try:
            command: Any = point.load()
        except ModuleNotFoundError as missing:
            part = point.module.partition(".")[0].removeprefix("kat_")
            raise click.ClickException(
                f"not installed: no module {missing.name!r}; pip install 'kat-serving[{part}]'"
            ) from missing
        assert isinstance(command, click.Command), f"{point.value} is no click command"  # noqa: S101 - a packaging fault
        return command


@click.group(cls=_Parts, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(metadata.version("kat-serving"), prog_name="kat")
def main() -> None:
    """Serve an auto-think model, and see what thinking costs and what it saves."""
