"""The one command line: `cleancut NAME …` runs the command NAME of whichever part has it.

A part offers a click command, or a function from arguments to an exit code, by entry point.
"""

import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import click

GROUP: Final = "cleancut.commands"
INSTALL: Final = "pip install 'cleancut[model,conformance]'"

#: One line on each command that comes with Cleancut; those of others are shown without.
SUMMARY: Final = {
    "conform": "run the conformance suite against a QMP server",
    "serve": "the reference server: drives in memory or files, served over QMP",
    "judge": "judge recorded dialogues again",
    "report": "compare runs of the suite: targets, versions, as a table or a page",
    "record": "stand between a client and a server, and write a trace",
    "convert": "convert libvirt's log of its monitors to traces",
    "agree": "see that engine and model are the same, schedule by schedule",
    "replay": "run a schedule on the engine, on the model or on QEMU, and draw it",
    "grid": "what catches each bug of the model",
    "selfcheck": "run the suite against engines that are known to be wrong",
    "lint": "which cases of the suite would not be missed",
    "explain": "what a clause says, and which cases check it",
    "prove": "prove the properties of the model for any number of drives",
    "explore": "explore every interleaving of a small instance of the model",
    "liveness": "see that everything ends, if the client answers",
    "export": "write an instance of the model as Promela or TLA+",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 2 for an unknown one, 130 for Ctrl-C, 143 for SIGTERM."""
    words = list(sys.argv[1:] if argv is None else argv)
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage(found))
        return 0
    if words[0] not in found:
        print(f"cleancut: no command {words[0]!r}; there are {', '.join(found)}", file=sys.stderr)
        return 2
    code: int
    ended_by: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: _end(ended_by, number))
    try:
        command: Any = found[words[0]].load()
        if hasattr(command, "make_context"):  # a click command
            code = _call(command, words)
            return 128 + ended_by[0] if ended_by else code
        code = command(words[1:])
        return code
    except ModuleNotFoundError as error:
        print(f"cleancut {words[0]}: needs the package {error.name!r}: {INSTALL}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 128 + (ended_by or [signal.SIGINT])[0]
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _end(ended_by: list[int], number: int) -> None:
    """SIGTERM, as CI sends it, ends a command as tidily as Ctrl-C."""
    ended_by.append(number)
    raise KeyboardInterrupt


def _call(command: "click.Command", words: list[str]) -> int:
    """Run a click command; one clear line and 2 for wrong use, 130 for Ctrl-C."""
    import click  # only those who have such a command need it

    name = f"cleancut {words[0]}"
    try:
        code = command.main(args=words[1:], prog_name=name, standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        print(f"{name}: {error.format_message()}", file=sys.stderr)
        if isinstance(error, click.UsageError):
            print(f"{name}: `{name} --help` shows how it is used", file=sys.stderr)
        return 2


def usage(found: dict[str, EntryPoint]) -> str:
    """What there is."""
    known = [name for name in SUMMARY if name in found]
    names = [*known, *sorted(found.keys() - SUMMARY.keys())]
    rows = "\n".join(f"  {name:<9} {SUMMARY.get(name, '')}".rstrip() for name in names)
    return (
        "usage: cleancut COMMAND ...\n\n"
        "One clean cut through all drives, or none: spec, model, reference and conformance suite\n"
        f"for transactional backup over QMP.\n\n{rows}\n\n"
        "`cleancut COMMAND --help` shows how each is used."
    )
