"""The mutation score: how many random one-line edits of engine and model make the agreement red.

    python benchmarks/mutation.py                 40 edits of each side
    python benchmarks/mutation.py --edits 10 --seed 3
    python benchmarks/mutation.py --only engine --list
    python benchmarks/mutation.py --resume tried.jsonl      goes on where it was ended

An edit flips a comparison, exchanges `and` and `or`, drops a `not`, a guard or a statement, or
changes a constant, in code that the agreement runs. Each is tried in a process of its own, on small
instances that have most parts. No file is changed: the edit is in that process's memory. Survivors
need a reason in `mutation-survivors.json`.

Exit codes: 0 at least 90 % are red and each survivor has its reason, 1 otherwise, 2 wrong use, or
engine and model part without an edit; 130 ended by Ctrl-C.
"""

# ruff: noqa: D102  a visitor's methods say by their names what they visit

import argparse
import ast
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, Final

HERE: Final = Path(__file__).parent
SURVIVORS: Final = HERE / "mutation-survivors.json"
WANTED: Final = 0.9
ROOTS: Final = ("spec", "reference", "model", "conformance")  # the code of both sides and between
ENDS_S: Final = 300.0  # an edit that makes the engine go on for ever is red, too

ENGINE: Final = (
    "transaction", "engine", "bitmap", "actions.backup", "jobs.job", "jobs.backup", "jobs.ending",
    "jobs.group", "jobs.verbs", "jobs.waiting", "jobs.filter", "jobs.scope", "block.guest",
    "block.traffic", "block.dirty_bitmap",
)  # fmt: skip
MODEL: Final = (
    "backup", "protocol.transaction", "protocol.guest", "protocol.copying", "protocol.jobs",
    "protocol.words",
)  # fmt: skip
SIDES: Final = {
    "engine": tuple(f"cleancut_reference.{name}" for name in ENGINE),
    "model": tuple(f"cleancut_model.{name}" for name in MODEL),
}

COMPARISONS: Final = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE,
    ast.GtE: ast.Gt, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Edit:
    """The edit number `place` of a module, in the order of its syntax tree."""

    module: str
    place: int
    line: int
    function: str
    words: str
    nth: int  # of those in the function that read alike

    @property
    def key(self) -> str:
        """What names it as long as the function stays as it is."""
        again = f" (no. {self.nth})" if self.nth > 1 else ""
        return f"{self.module}:{self.function}: {self.words}{again}"


class Editor(ast.NodeTransformer):
    """Counts the places where an edit is possible; makes the one that is asked for."""

    def __init__(self, module: str, lines: set[int] | None = None, make: int = -1) -> None:
        self.found: list[Edit] = []
        self._module, self._lines, self._make = module, lines, make
        self._count = 0
        self._alike = Counter[tuple[str, str]]()
        self._inside: list[str] = []

    def _may(self, node: Any, before: str, after: str) -> bool:
        """Whether this is the place; each is counted, those on lines that run are kept."""
        number, self._count = self._count, self._count + 1
        words = f"{before} becomes {after}" if after else f"{before} is dropped"
        function = ".".join(self._inside)
        self._alike[function, words] += 1
        if self._lines is None or node.lineno in self._lines:
            nth = self._alike[function, words]
            self.found.append(Edit(self._module, number, node.lineno, function, words, nth))
        return number == self._make

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self._inside.append(node.name)
        node.body = [self._statement(each) for each in node.body]
        self._inside.pop()
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self._inside.append(node.name)
        kept = (ast.FunctionDef, ast.ClassDef)
        node.body = [self.visit(each) if isinstance(each, kept) else each for each in node.body]
        self._inside.pop()
        return node

    def visit_Module(self, node: ast.Module) -> ast.AST:
        kept = (ast.FunctionDef, ast.ClassDef)
        node.body = [self.visit(each) if isinstance(each, kept) else each for each in node.body]
        return node

    def _statement(self, node: Any) -> Any:
        if isinstance(node, ast.Assert | ast.Raise) or _is_text(node):
            return node
        if _may_go(node) and self._may(node, _short(node), ""):
            return ast.copy_location(ast.Pass(), node)
        for name in ("body", "orelse", "finalbody"):
            if isinstance(getattr(node, name, None), list):
                setattr(node, name, [self._statement(each) for each in getattr(node, name)])
        for case in [*getattr(node, "cases", []), *getattr(node, "handlers", [])]:
            case.body = [self._statement(each) for each in case.body]
        return node if isinstance(node, ast.FunctionDef) else self._expressions(node)

    def _expressions(self, node: Any) -> Any:
        """The edits within a statement."""
        for name in ("value", "test", "iter"):
            if isinstance(getattr(node, name, None), ast.expr):
                setattr(node, name, self.visit(getattr(node, name)))
        for case in getattr(node, "cases", []):
            if case.guard is not None:
                case.guard = self.visit(case.guard)
        return node

    def visit_Compare(self, node: ast.Compare) -> Any:
        self.generic_visit(node)
        for number, op in enumerate(node.ops):
            other = COMPARISONS[type(op)]
            changed = ast.Compare(node.left, [*node.ops], node.comparators)
            changed.ops[number] = other()
            if self._may(node, ast.unparse(node), ast.unparse(changed)):
                return ast.copy_location(changed, node)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        self.generic_visit(node)
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        changed = ast.BoolOp(other, node.values)
        if self._may(node, _short(node), "or" if isinstance(other, ast.Or) else "and"):
            return ast.copy_location(changed, node)
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        self.generic_visit(node)
        if isinstance(node.op, ast.Not) and self._may(node, _short(node), _short(node.operand)):
            return node.operand
        return node

    def visit_Constant(self, node: ast.Constant) -> Any:
        if isinstance(node.value, bool):
            after: Any = not node.value
        elif isinstance(node.value, int):
            after = node.value + 1
        else:
            return node
        changed = ast.Constant(after)
        if self._may(node, repr(node.value), repr(after)):
            return ast.copy_location(changed, node)
        return node

    def visit_Call(self, node: ast.Call) -> Any:
        """A guard of the model is dropped; `And`, `Or`, `Not` of terms are as those of Python."""
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        guards = isinstance(node.func, ast.Attribute) and node.func.attr == "when"
        for keyword in list(node.keywords) if guards else []:
            if keyword.arg and self._may(keyword.value, f"guard {keyword.arg}", ""):
                node.keywords.remove(keyword)
        self.generic_visit(node)
        if name in ("And", "Or"):
            other = "Or" if name == "And" else "And"
            if self._may(node, _short(node), other):
                node.func = ast.copy_location(ast.Name(other, ast.Load()), node.func)
        elif name == "Not" and self._may(node, _short(node), _short(node.args[0])):
            return node.args[0]
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node


def _may_go(node: Any) -> bool:
    """Whether a statement can be dropped: of a name that is not set none would know."""
    if isinstance(node, ast.Assign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return not any(isinstance(target, ast.Name) for target in targets)
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Yield)


def _is_text(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _short(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 70 else f"{text[:67]}..."


def source_of(module: str) -> tuple[str, str]:
    """A module's file and its text."""
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    return spec.origin, Path(spec.origin).read_text(encoding="utf-8")


def edits_of(module: str, lines: set[int] | None) -> list[Edit]:
    """The edits of a module, of these lines only."""
    editor = Editor(module, lines)
    editor.visit(ast.parse(source_of(module)[1]))
    return editor.found


# ---- in a process of its own


def instances() -> Iterator[Any]:
    """Small instances that have every part, cheapest first."""
    from cleancut_conformance.agreement.instances import INSTANCES
    from cleancut_model.options import Options

    yield Options(1, 1, 2, 1, 1, speed=True, monitor=True)
    yield Options(1, 1, 2, 1, 1, "enospc", ("EIO", "ENOSPC"), manual=True, monitor=True)
    yield Options(1, 2, 2, 1, 1, sync="none", monitor=True)
    yield Options(1, 2, 2, 0, 1, source_policy="ignore", target_policy="stop", monitor=True)
    yield Options(2, 1, 2, 0, 1, grouped=True, monitor=True)
    yield Options(1, 2, 2, 1, 1, sync="bitmap", bitmap_mode="never", again=1, monitor=True)
    yield Options(1, 2, 2, 1, 1, sync="bitmap", bitmap_mode="always", again=1, monitor=True)
    yield Options(2, 1, 2, 0, 1, "stop", grouped=True, manual=True, monitor=True)
    yield Options(2, 1, 2, 1, 0, sync="incremental", grouped=True, monitor=True)
    yield Options(1, 2, 2, 2, 0, workers=2, monitor=True)
    yield Options(2, 1, 2, 1, 0, monitor=True)
    yield from (INSTANCES[name] for name in ("abort", "tail", "top", "bitmap-actions", "client"))


def follow() -> str:
    """How engine and model part; the empty word if they do not."""
    from cleancut_conformance.agreement.search import agree

    for options in instances():
        found = agree(options, processes=1)
        if not found.complete:
            words = found.disagreement or f"only the model takes {dict(found.left_out)}"
            return f"{options.parts()}: {words}"
    return ""


def load(edit: Edit) -> None:
    """Load a module with the edit in it, before anybody else does."""
    origin, text = source_of(edit.module)
    tree = Editor(edit.module, make=edit.place).visit(ast.parse(text))
    spec = importlib.util.find_spec(edit.module)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[edit.module] = module
    exec(compile(ast.fix_missing_locations(tree), origin, "exec"), vars(module))
    parent, _, name = edit.module.rpartition(".")
    setattr(sys.modules[parent], name, module)


def try_here(given: str) -> None:
    """In the process: print the outcome as JSON; without an edit that of the code as it is."""
    try:
        if given:
            load(Edit(**json.loads(given)))
        words = follow()
    except Exception as error:
        words = f"{type(error).__name__}: {error}"
    print(json.dumps(words.split("\n")[0]))


def lines_that_run() -> dict[str, set[int]]:
    """The lines of each module that the agreement runs, the model's being elaborated."""
    files = {source_of(module)[0]: module for side in SIDES.values() for module in side}
    found: dict[str, set[int]] = {module: set() for module in files.values()}

    def local(frame: Any, event: str, _: Any) -> Any:
        if event == "line":
            found[files[frame.f_code.co_filename]].add(frame.f_lineno)
        return local

    def enter(frame: Any, event: str, _: Any) -> Any:
        return local if frame.f_code.co_filename in files else None

    from cleancut_conformance.agreement.product import Product

    for options in instances():
        sys.settrace(enter)
        try:
            product = Product(options)
            seen, todo = set(), [product.first()]
            while todo and len(seen) < 500:
                for taken in product.expand(todo.pop()):
                    if taken.after not in seen:
                        seen.add(taken.after)
                        todo.append(taken.after)
        finally:
            sys.settrace(None)
    return found


# ---- the score


class Tries:
    """Runs edits in processes of their own, and remembers what has come of each."""

    def __init__(self, memory: Path | None) -> None:
        self._memory, self._known = memory, dict[str, str]()
        self._live: set[subprocess.Popen[str]] = set()
        self._stopped = False
        code = digest_of_code()
        lines = (
            memory.read_text(encoding="utf-8").splitlines() if memory and memory.exists() else []
        )
        if memory and lines[:1] != [code]:  # nothing yet, or of other code
            memory.write_text(f"{code}\n", encoding="utf-8")
        for line in lines[1:] if lines[:1] == [code] else []:
            with contextlib.suppress(ValueError):  # the last line may be cut off
                key, words = json.loads(line)
                self._known[key] = words

    def __call__(self, edit: Edit | None) -> str:
        """How engine and model part with this edit; the empty word if it survives."""
        key = edit.key if edit else "no edit"
        if key not in self._known:
            words = self._run(json.dumps(asdict(edit)) if edit else "")
            if self._stopped:
                return words
            self._known[key] = words
            if self._memory:
                with self._memory.open("a", encoding="utf-8") as file:
                    file.write(f"{json.dumps([key, words])}\n")
        return self._known[key]

    def _run(self, given: str) -> str:
        command = [sys.executable, __file__, "--here", given]
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, start_new_session=True, **pipes) as process:
            self._live.add(process)
            try:
                out, errors = process.communicate(timeout=ENDS_S)
            except subprocess.TimeoutExpired:
                _kill(process)
                return f"does not end in {ENDS_S:g} s"
            except BaseException:
                _kill(process)
                raise
            finally:
                self._live.discard(process)
        if process.returncode != 0:
            return (errors.strip().splitlines() or ["it ends without a word"])[-1]
        words: str = json.loads(out)
        return words

    def stop(self) -> None:
        """End what is being tried; nothing of it is remembered."""
        self._stopped = True
        for process in list(self._live):
            _kill(process)


def _kill(process: subprocess.Popen[str]) -> None:
    """With the processes that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def digest_of_code() -> str:
    """A number for all that an outcome depends on."""
    files = sorted(path for root in ROOTS for path in (HERE.parent / root).rglob("*.py"))
    return sha256(b"".join(path.read_bytes() for path in [Path(__file__), *files])).hexdigest()


def main() -> int:
    """Draw edits, try them, print the score."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--edits", type=at_least_one, default=40, help="of each side (40)")
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn (1)")
    parser.add_argument("--only", choices=list(SIDES), help="one side")
    parser.add_argument("--jobs", type=at_least_one, default=os.cpu_count() or 1,
                        help="tries at once")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="list what is drawn, try nothing")
    parser.add_argument(
        "--resume", type=Path, metavar="FILE", help="keep outcomes, go on with them"
    )
    parser.add_argument("--here", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here is not None:
        try_here(options.here)
        return 0
    try:
        tries = Tries(options.resume)
    except (OSError, UnicodeDecodeError) as error:
        parser.error(f"{options.resume}: {error}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return run(options, tries)
    except KeyboardInterrupt:
        tries.stop()
        print("ended", file=sys.stderr)
        return 130


def at_least_one(text: str) -> int:
    """A number of edits or of processes."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def run(options: argparse.Namespace, tries: Tries) -> int:
    """Draw for each side and score it; returns the exit code."""
    if not options.list and (words := tries(None)):
        print(f"without an edit engine and model part: {words}", file=sys.stderr)
        return 2
    reasons: dict[str, str] = json.loads(SURVIVORS.read_text(encoding="utf-8"))
    running = lines_that_run()
    well = True
    for side in [options.only] if options.only else SIDES:
        places = [edit for module in SIDES[side] for edit in edits_of(module, running[module])]
        drawn = Random(options.seed).sample(places, min(options.edits, len(places)))
        print(f"{side}: {len(drawn)} of {len(places)} edits, seed {options.seed}", flush=True)
        if options.list:
            for edit in drawn:
                print(f"   {edit.key}")
            continue
        well &= score(drawn, reasons, options.jobs, tries)
    return 0 if well else 1


def score(drawn: list[Edit], reasons: dict[str, str], jobs: int, tries: Tries) -> bool:
    """Try the edits; whether enough are red and each survivor has its reason."""
    started, red, explained = time.monotonic(), 0, True
    pool = ThreadPoolExecutor(jobs)
    try:
        for edit, words in zip(drawn, pool.map(tries, drawn), strict=True):
            red += bool(words)
            if words:
                print(f"   red       {edit.key}\n             {words[:150]}", flush=True)
            else:
                why = reasons.get(edit.key, "NO REASON")
                explained &= edit.key in reasons
                print(f"   SURVIVES  {edit.key}\n             {why}", flush=True)
    except KeyboardInterrupt:
        tries.stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    share = red / len(drawn)
    print(f"   {red} of {len(drawn)} red ({share:.0%}) in {time.monotonic() - started:.0f} s")
    return share >= WANTED and explained


if __name__ == "__main__":
    sys.exit(main())
