"""`cleancut report`: stored results of several targets or versions side by side."""

import json
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from cleancut_conformance.report import compare
from cleancut_conformance.report.results import ResultError, load
from cleancut_conformance.report.text import print_comparison

EXAMPLES: Final = """
\b
Examples:
  cleancut report cleancut-traces/reference cleancut-traces/qemu-qemu-system-x86_64
  cleancut report --html four.html v5.2 v7.2 v10.0 v11.1   (each from conform --traces)
  cleancut report --differences a.jsonl b.jsonl            (each from conform --json)

\b
Exit codes: 0 reported, 2 wrong use or an unreadable file, 3 a run was cut off (no footer).
"""


@click.command("report", epilog=EXAMPLES)
@click.argument("paths", nargs=-1, required=True, metavar="FILE|DIR...",
                type=click.Path(path_type=Path))  # fmt: skip
@click.option("--html", "html_path", type=click.Path(path_type=Path, dir_okay=False),
              metavar="FILE", help="Write one HTML page.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
@click.option("--differences", is_flag=True, help="Only the clauses that differ.")
def report(
    paths: tuple[Path, ...], html_path: Path | None, as_json: bool, differences: bool
) -> int:
    """Compare runs of the suite by clause: targets, versions, yesterday and today."""
    try:
        sheets = [load(path) for path in paths]
    except ResultError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        print(json.dumps(compare.to_json(sheets), indent=1))
    else:
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = 160
        print_comparison(console, sheets, differences)
    if html_path is not None:
        from cleancut_conformance.report import html  # the one report that needs Jinja2

        try:
            html.write(html_path, sheets)
        except OSError as error:
            words = f"cannot write {html_path}: {error.strerror}"
            raise click.ClickException(words) from None
    return 0 if all(sheet.complete for sheet in sheets) else 3
