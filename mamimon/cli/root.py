"""The command line: groups are imported when they are called, so `--help` is instant."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

# What a shell says of a program that SIGPIPE ended.
_SIGPIPE = 141
# Command name → module:attribute of its click command; help texts live with the commands.
COMMANDS: dict[str, str] = {
    "serve": "mamimon.cli.serve:serve",
    "demo": "mamimon.cli.demo:demo",
    "run": "mamimon.cli.run:run",
    "config": "mamimon.cli.config:config",
    "users": "mamimon.cli.users:users",
    "tokens": "mamimon.cli.tokens:tokens",
    "projects": "mamimon.cli.projects:projects",
    "teams": "mamimon.cli.projects:teams",
    "cleanup": "mamimon.cli.cleanup:cleanup",
    "backup": "mamimon.cli.backup:backup",
    "query": "mamimon.cli.query:query",
    "logs": "mamimon.cli.logs:logs",
    "trace": "mamimon.cli.trace:trace",
    "dashboards": "mamimon.cli.dashboards:dashboards",
    "grafana": "mamimon.cli.grafana:grafana",
    "doctor": "mamimon.cli.doctor:doctor",
    "alerts": "mamimon.cli.alerts:alerts",
    "maintenance": "mamimon.cli.maintenance:maintenance",
    "deploy": "mamimon.cli.alerts:deploy",
    "errors": "mamimon.cli.errors:errors",
    "events": "mamimon.cli.events:events",
    "version": "mamimon.cli.version:version",
}


class LazyGroup(click.Group):
    """A group whose commands are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command, or None where there is none of that name."""
        target = COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; where nobody reads its output any more it ends as `grep` does, without a word."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # What is left in the buffer goes nowhere, else the interpreter complains at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(_SIGPIPE)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Logs, metrics, alerts, errors and product events in one process and one data directory."""
