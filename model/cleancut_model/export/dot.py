"""The graph of all states of a small instance, for Graphviz."""

from cleancut_model.compiled import compile_model
from cleancut_model.elaborated import Elaborated
from cleancut_model.options import OptionsError

MOST_STATES = 5000


def dot(model: Elaborated) -> str:
    """Every state a node with the transaction and the jobs, every step an edge with its label.

    Raises OptionsError where the graph is too large to be drawn.
    """
    compiled = compile_model(model.options)
    numbers = {compiled.initial: 0}
    todo = [compiled.initial]
    edges = []
    for state in todo:
        for action, after in compiled.successors(state):
            if after not in numbers:
                if len(numbers) == MOST_STATES:
                    raise OptionsError(
                        f"more than {MOST_STATES} states, too many to draw: choose a smaller "
                        f"instance, as --drives 1 --clusters 1"
                    )
                numbers[after] = len(numbers)
                todo.append(after)
            edges.append((numbers[state], numbers[after], str(compiled.labels[action])))
    lines = ["digraph cleancut {", f'  label="{model.options.describe()}"', "  node [shape=box]"]
    for state, number in numbers.items():
        read = compiled.read(state)
        shape = ", peripheries=2" if compiled.ended(state) else ""
        lines.append(f'  n{number} [label="{read["tx"]}\\n{" ".join(read["js"])}"{shape}]')
    lines += [f'  n{a} -> n{b} [label="{label}"]' for a, b, label in edges]
    return "\n".join([*lines, "}"]) + "\n"
