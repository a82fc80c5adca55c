"""The C source of a finite model: what a state allows, and what it breaks.

The model falls into parts, each of which reads some of a state's bits only: a drive's own actions
and claims, and what else does not look at the data (`control`). `answer` is what a part says of a
state, for the kernel (`kernel.c`) to remember by those bits: whether it GOES_ON, and whether it
STIRS the rest. `rest` is what reads nearly all; it has nothing to say where nothing stirs it.
`look` is for the witnesses that read nearly all. The kernel says what EMIT, REMEMBER, BROKEN_STATE,
BROKEN_STEP and WITNESS do. A successor's words are `n0`, `n1`, …
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import z3

from cleancut_model.explore.layout import WORD_BITS, Layout, drive_of, drives_of
from cleancut_model.explore.partial_order import Safe
from cleancut_model.explore.splitting import pieces, possible
from cleancut_model.finite import Finite, Instance, Name, spell
from cleancut_model.language import Term
from cleancut_model.printing import C, Printer, Variables, conjuncts

PRESENT = 1 << (WORD_BITS - 1)
LEFT_OUT_BITS = 8  # that a part must not read, for what it says to be worth remembering


@dataclass(frozen=True, slots=True)
class Claims:
    """What is checked: claims about states, claims about steps, and what must be seen."""

    states: Mapping[str, Term]
    steps: Sequence[Mapping[str, Term]]  # of each action; each a term over the state before it
    witnesses: Mapping[str, Term]
    may_stop: Term  # where nothing has to go on


@dataclass(frozen=True, slots=True)
class Branch:
    """An action: the parts of its guard that are still to be tested, and what it does."""

    tests: frozenset[str]
    body: list[str]


@dataclass(slots=True)
class Part:
    """Checks and actions that read these bits at most; `reads` are those they do read."""

    name: str
    side: str  # LEFT, RIGHT or BOTH halves of the drives
    within: frozenset[Name]
    reads: set[Name] = field(default_factory=set)
    checks: list[str] = field(default_factory=list)
    branches: list[Branch] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Halves:
    """The globals, those with the first half of the drives, and the other half of the drives."""

    shared: frozenset[Name]
    left: frozenset[Name]
    right: frozenset[Name]

    @classmethod
    def of(cls, language: Finite, names: list[Name]) -> "Halves":
        """The halves of these variables."""
        drives = drives_of(language, names)
        first = {-1, *drives[: (len(drives) + 1) // 2]}
        shared = frozenset(name for name in names if drive_of(language, name) == -1)
        left = frozenset(name for name in names if drive_of(language, name) in first)
        return cls(shared, left, frozenset(names) - left)


class Source:
    """The C source in the making."""

    def __init__(self, language: Finite, layout: Layout, initial: Mapping[Name, int]) -> None:
        self._layout = layout
        self._print = Printer(C)
        self._variables = Variables()
        self._initial = initial
        self._lines: list[str] = []
        changing = [name for name, place in layout.places.items() if place.bits]
        self._names = {spell(name): name for name in changing}
        self._halves = Halves.of(language, changing)
        self._parts = list(self._divide(language, changing))
        self._control = self._parts[-1]
        self._rest = Part("rest", "BOTH", frozenset(changing))
        self._look = Part("look", "BOTH", frozenset(changing))
        self._stirs: list[Term] = []  # where the rest has something to say
        self._looked_for = 0  # witnesses, a bit each

    def _divide(self, language: Finite, changing: list[Name]) -> Iterator[Part]:
        """Each drive's own part, and one for what does not look at the data."""
        for drive in drives_of(language, changing):
            own = [name for name in changing if drive_of(language, name) in (-1, drive)]
            side = "LEFT" if self._halves.left.issuperset(own) else "RIGHT"
            yield Part(f"drive {drive}", side, frozenset(own))
        control = [name for name in changing if language.fields[name[0]].sort.name != "Value"]
        yield Part("control", "BOTH", frozenset(control))

    def text(
        self,
        instances: Sequence[Instance],
        goes_on: Sequence[bool],
        claims: Claims,
        safe: Sequence[Safe] = (),
    ) -> str:
        """The whole source; `goes_on` tells which actions a stuck state must not lack."""
        for number, term in enumerate(claims.states.values()):
            self._check(term, f"BROKEN_STATE({number});")
        for number, term in enumerate(claims.witnesses.values()):
            self._witness(number, term)
        for number, instance in enumerate(instances):
            for place, term in enumerate(claims.steps[number].values()):
                self._check(term, f"BROKEN_STEP({number}, {place});")
            self._add(number, instance, goes_on[number])
        self._head(instances, claims)
        self._stir()
        self._answers([p for p in self._parts if p.checks or p.branches or p is self._control])
        self._define("static unsigned rest(const word *s, worker *me)", self._rest)
        self._define("static unsigned look(const word *s, worker *me)", self._look)
        self._lines += ["static int may_stop(const word *s)", "{", *self._load(claims.may_stop)]
        self._lines += [f"    return {self._print(claims.may_stop)};", "}"]
        self._safe(instances, safe)
        return "\n".join(self._lines) + "\n"

    def _names_in(self, terms: list[Term]) -> set[Name]:
        found = {name for term in terms for name in self._variables(term)}
        return {self._names[name] for name in found if name in self._names}

    def _part_for(self, *terms: Term, writes: set[Name] | None = None) -> Part:
        """The first part that reads all of this, and not nearly everything."""
        names = self._names_in(list(terms)) | {
            name for name in writes or () if self._layout.places[name].bits
        }
        for part in self._parts:
            if names <= part.within and self._leaves_out(part.within):
                part.reads |= names
                return part
        return self._rest

    def _leaves_out(self, names: frozenset[Name]) -> bool:
        bits = sum(self._layout.places[name].bits for name in names)
        return bits + LEFT_OUT_BITS <= self._layout.bits

    def _check(self, term: Term, otherwise: str) -> None:
        """Check a claim, each of its pieces where it belongs."""
        for piece in pieces(term):
            if not z3.is_true(piece):
                part = self._part_for(piece)
                part.checks.append(f"if (!{self._print(piece)}) {otherwise}")
                if part is self._rest:
                    self._stirs.append(possible(piece, self._is_control, positive=False))

    def _witness(self, number: int, term: Term) -> None:
        """Look for an interesting state, where it belongs."""
        if z3.is_false(term):
            return
        part = self._part_for(term)
        if part is self._rest:
            part = self._look
            self._looked_for |= 1 << number
        part.checks.append(f"if (WANTED({number}) && {self._print(term)}) WITNESS({number});")

    def _is_control(self, term: Term) -> bool:
        return self._names_in([term]) <= self._control.within

    def _stir(self) -> None:
        """Let the control part tell where the rest has something to say."""
        self._control.reads |= self._names_in(self._stirs)
        for term in dict.fromkeys(self._print(term) for term in self._stirs):
            self._control.checks.append(f"if ({term}) says |= STIRS;")

    def _add(self, number: int, instance: Instance, goes_on: bool) -> None:
        """An action, where it belongs."""
        terms = [instance.guard, *instance.next.values()]
        part = self._part_for(*terms, writes=set(instance.next))
        if part is self._rest:
            self._stirs.append(possible(instance.guard, self._is_control))
        body = ["says |= GOES_ON;"] if goes_on else []
        body += self._next(instance)
        body.append(f"{'EMIT' if part is self._rest else 'REMEMBER'}({number});")
        part.branches.append(Branch(self._tests(instance.guard), body))

    def _tests(self, guard: Term) -> frozenset[str]:
        return frozenset(self._print(part) for part in conjuncts(guard)) - {C.true}

    def _next(self, instance: Instance) -> Iterator[str]:
        """The words of the state after an action."""
        masks: dict[int, int] = defaultdict(int)
        values: dict[int, list[str]] = defaultdict(list)
        for name, term in instance.next.items():
            place = self._layout.places[name]
            masks[place.word] |= place.mask
            if place.bits and not _is_zero(term):
                values[place.word].append(f"((word){self._print(term)} << {place.shift})")
        for word in range(self._layout.words):
            kept = f"(s{word} & {~masks[word] & (2 * PRESENT - 1):#x}ull)"
            value = " | ".join([kept, *values[word]]) if word in masks else f"s{word}"
            yield f"word n{word} = {value};"

    def _safe(self, instances: Sequence[Instance], safe: Sequence[Safe]) -> None:
        """`safe`: the number of a safe action that is possible, or -1, and the state after it."""
        self._lines += ["static int safe(const word *s, word *after)", "{", *self._load(None)]
        for each in safe:
            instance = instances[each.action]
            guard = z3.And(instance.guard, each.condition)
            self._lines.append(f"    if ({' && '.join(sorted(self._tests(guard)))}) {{")
            self._lines += [f"        {line}" for line in self._next(instance)]
            for word in range(self._layout.words):
                self._lines.append(f"        after[{word}] = n{word};")
            self._lines += [f"        return {each.action};", "    }"]
        self._lines += ["    return -1;", "}"]

    def _head(self, instances: Sequence[Instance], claims: Claims) -> None:
        words = self._layout.pack(dict(self._initial))
        words[0] |= PRESENT
        self._lines = [
            f"#define WORDS {self._layout.words}",
            f"#define ACTIONS {len(instances)}",
            f"#define LOOKED_FOR {self._looked_for:#x}ull",
            "enum { GOES_ON = 1, STIRS = 2 };",
            f"#define NEXT {{ {', '.join(f'n{w}' for w in range(self._layout.words))} }}",
            f"static const word initial[WORDS] = {_words(words)};",
        ]

    def _answers(self, parts: list[Part]) -> None:
        """`answer`, and the bits that each part reads."""
        masks = [self._mask(part.reads) for part in parts]
        sides = [part.side for part in parts]
        self._lines += [
            f"#define PARTS {len(parts)}",
            f"static const word reads[][WORDS] = {{ {', '.join(masks)} }};",
            "enum { LEFT, RIGHT, BOTH };",
            f"static const int sides[] = {{ {', '.join(sides)} }};",
            f"static const word shared[WORDS] = {self._mask(self._halves.shared)};",
            f"static const word left[WORDS] = {self._mask(self._halves.left)};",
            f"static const word right[WORDS] = {self._mask(self._halves.right)};",
            f"enum {{ CONTROL = {parts.index(self._control)} }};",
        ]
        for number, part in enumerate(parts):
            head = f"static unsigned part{number}(const word *s, worker *me, memory *answer)"
            self._lines.append(f"/* {part.name} */")
            self._define(head, part)
        self._lines += [
            "static unsigned answer(int part, const word *s, worker *me, memory *answer)",
            "{",
            "    switch (part) {",
            *[f"    case {n}: return part{n}(s, me, answer);" for n in range(len(parts))],
            "    }",
            "    return 0;",
            "}",
        ]

    def _mask(self, names: Iterable[Name]) -> str:
        words = [0] * self._layout.words
        for name in names:
            words[self._layout.places[name].word] |= self._layout.places[name].mask
        return _words(words)

    def _define(self, head: str, part: Part) -> None:
        """A function that checks a state and tells its successors."""
        self._lines += [head, "{", *self._load(None), "    unsigned says = 0;"]
        self._lines += [f"    {check}" for check in part.checks]
        self._choose(part.branches, "    ")
        self._lines += ["    return says;", "}"]

    def _load(self, term: Term | None) -> Iterator[str]:
        """Load the variables of a term, or all."""
        wanted = None if term is None else self._variables(term)
        for word in range(self._layout.words):
            yield f"    const word s{word} = s[{word}];"
        for name, place in self._layout.places.items():
            if wanted is None or spell(name) in wanted:
                shifted = f"(unsigned)(s{place.word} >> {place.shift})"
                masked = f"{shifted} & {(1 << place.bits) - 1}u"
                value = masked if place.bits else self._initial[name]
                yield f"    const unsigned {spell(name)} = {value};"

    def _choose(self, branches: list[Branch], indent: str) -> None:
        """Test what most guards share first, and once for all of them."""
        while branches:
            counts = Counter(test for branch in branches for test in branch.tests)
            test, count = min(counts.items(), key=lambda item: (-item[1], item[0]), default=("", 0))
            if count < 2:
                break
            inside = [Branch(b.tests - {test}, b.body) for b in branches if test in b.tests]
            self._lines.append(f"{indent}if ({test}) {{")
            self._choose(inside, indent + "  ")
            self._lines.append(f"{indent}}}")
            branches = [branch for branch in branches if test not in branch.tests]
        for branch in branches:
            condition = " && ".join(sorted(branch.tests, key=len)) or "1"
            self._lines.append(f"{indent}if ({condition}) {{")
            self._lines += [f"{indent}  {line}" for line in branch.body]
            self._lines.append(f"{indent}}}")


def _words(words: list[int]) -> str:
    return "{" + ", ".join(f"{word:#x}ull" for word in words) + "}"


def _is_zero(term: Term) -> bool:
    return bool(z3.is_false(term) or (z3.is_int_value(term) and term.as_long() == 0))
