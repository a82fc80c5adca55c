"""How every command ends: an exit code, one clear line for a wrong use, nothing for Ctrl-C."""

import sys
from collections.abc import Sequence

import click


def call(command: click.Command, argv: Sequence[str] | None, name: str) -> int:
    """Run a click command; 2 for wrong use, 130 for Ctrl-C."""
    try:
        code = command.main(args=argv, prog_name=name, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        print(f"{name}: {error.format_message()}", file=sys.stderr)
        if isinstance(error, click.UsageError):
            print(f"{name}: `{name} --help` shows how it is used", file=sys.stderr)
        return 2
