"""`cleancut explain`: what a clause says, and which cases check it."""

import dataclasses
import json
import textwrap

import click

from cleancut_conformance.case import Case, load_suite
from cleancut_spec import Clause, ClauseError, clause, clauses

EXAMPLES = """
\b
Examples:
  cleancut explain                all clauses
  cleancut explain PIT-ALL-1      one of them
"""


@click.command("explain", epilog=EXAMPLES)
@click.argument("clause_id", required=False, metavar="[CLAUSE]")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def explain(clause_id: str | None, as_json: bool) -> int:
    """Show a clause: its sentence, why it is there, what QEMU does, the cases that cite it."""
    try:
        chosen = list(clauses().values()) if clause_id is None else [clause(clause_id.upper())]
    except ClauseError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        found = [
            dataclasses.asdict(c) | {"cases": [case.id for case in _citing(c)]} for c in chosen
        ]
        print(json.dumps(found, indent=1))
    elif clause_id is None:
        for one in chosen:
            level = one.level + (" (planned)" if one.planned else "")
            print(f"{one.id:<16} {level:<15} {len(_citing(one)):>2} cases  {one.title}")
    else:
        _print(chosen[0])
    return 0


def _citing(one: Clause) -> list[Case]:
    return [case for case in load_suite() if one.id in case.clauses]


def _print(one: Clause) -> None:
    planned = ", planned" if one.planned else ""
    print(f"{one.id}: {one.title}  ({one.level}, since {one.since}{planned})\n")
    for label, text in (("", one.sentence), ("Why. ", one.why), ("QEMU. ", one.qemu)):
        print(textwrap.fill(label + text, 90) + "\n")
    if one.outside_the_model:
        print(textwrap.fill("Outside the model. " + one.outside_the_model, 90) + "\n")
    for name in dict.fromkeys(case.name for case in _citing(one)):
        print(f"  cleancut conform {name}")
