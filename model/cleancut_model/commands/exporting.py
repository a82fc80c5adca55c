"""`cleancut export`."""

from pathlib import Path

import click

from cleancut_model.commands.instance import chooses_instance
from cleancut_model.commands.shared import write
from cleancut_model.elaborated import elaborate
from cleancut_model.export import FORMATS, smtlib
from cleancut_model.export.smtlib import DEPTH
from cleancut_model.options import Options

EXPORT_EXAMPLES = """
\b
Examples:
  cleancut export promela -o model.pml && spin -a model.pml && cc -O3 -DSAFETY -o pan pan.c && ./pan
  cleancut export tla -o Cleancut.tla; cleancut export tla-config -o Cleancut.cfg
  java -cp tla2tools.jar tlc2.TLC -deadlock Cleancut
  cleancut export promela --bug resume-from-start    Spin names resume_goes_on_where_it_stood
  cleancut export chc --drives 1 --clusters 1 -o model.smt2 && z3 model.smt2
  cleancut export smtlib --depth 12 --clusters 1 --bug filter-late | z3 -in
  cleancut export dot --drives 1 --clusters 1 --writes 0 | dot -Tsvg >states.svg
"""


@click.command("export", epilog=EXPORT_EXAMPLES)
@click.argument("form", type=click.Choice(list(FORMATS)), metavar=f"[{'|'.join(FORMATS)}]")
@chooses_instance()
@click.option("--depth", type=click.IntRange(1, 100), default=DEPTH, show_default=True,
              help="Of smtlib: the most steps of a run.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path),
              help="A file; without it the text is printed.")  # fmt: skip
def export(options: Options, form: str, depth: int, output: Path | None) -> int:
    """Write an instance of the model in the language of another checker.

    Its claims about states and steps go with it. For Spin they are assertions, each with the
    claim's name; for TLC invariants and action properties; for Horn clauses and bounded model
    checking what must not be reached. That there is no deadlock is left to `cleancut explore`.
    """
    model = elaborate(options)
    text = smtlib(model, depth) if form == "smtlib" else FORMATS[form](model)
    if output is None:
        print(text, end="")
    else:
        write(output, text)
    return 0
