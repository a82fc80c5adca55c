"""The C source of a finite model: `expand`, which checks a state and emits its successors.

The kernel (`kernel.c`) includes it and says what EMIT, BROKEN_STATE, BROKEN_STEP, WITNESS and STUCK
do. A successor's words are `n0`, `n1`, … at EMIT.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import z3

from cleancut_model.explore.layout import WORD_BITS, Layout
from cleancut_model.finite import Instance, Name, spell
from cleancut_model.language import Term
from cleancut_model.printing import C, Printer, conjuncts

PRESENT = 1 << (WORD_BITS - 1)


@dataclass(frozen=True, slots=True)
class Claims:
    """What is checked: claims about states, claims about steps, and what must be seen."""

    states: Mapping[str, Term]
    steps: list[Mapping[str, Term]]  # of each action; each a term over the state before it
    witnesses: Mapping[str, Term]
    may_stop: Term  # where nothing has to go on


@dataclass(frozen=True, slots=True)
class Branch:
    """An action: the parts of its guard that are still to be tested, and what it does."""

    tests: frozenset[str]
    body: list[str]


class Source:
    """The C source in the making."""

    def __init__(self, layout: Layout, initial: Mapping[Name, int]) -> None:
        self._layout = layout
        self._print = Printer(C)
        self._initial = initial
        self._lines: list[str] = []

    def text(self, instances: list[Instance], goes_on: list[bool], claims: Claims) -> str:
        """The whole source; `goes_on` tells which actions a stuck state must not lack."""
        words = self._layout.pack(dict(self._initial))
        words[0] |= PRESENT
        self._lines = [
            f"#define WORDS {self._layout.words}",
            f"#define ACTIONS {len(instances)}",
            f"#define STATE_CLAIMS {len(claims.states)}",
            f"#define WITNESSES {len(claims.witnesses)}",
            f"#define NEXT {{ {', '.join(f'n{w}' for w in range(self._layout.words))} }}",
            "static const word initial[WORDS] = {"
            + ", ".join(f"{word:#x}ull" for word in words)
            + "};",
            "static inline void expand(const word *s, worker *me)",
            "{",
        ]
        self._load()
        self._check(claims)
        branches = [
            self._branch(number, instance, claims.steps[number], goes_on[number])
            for number, instance in enumerate(instances)
        ]
        self._lines.append("    unsigned stuck = 1;")
        self._choose(branches, "    ")
        self._lines.append(f"    if (stuck && !{self._print(claims.may_stop)}) STUCK();")
        self._lines.append("}")
        return "\n".join(self._lines) + "\n"

    def _load(self) -> None:
        for word in range(self._layout.words):
            self._lines.append(f"    const word s{word} = s[{word}];")
        for name, place in self._layout.places.items():
            shifted = f"(unsigned)(s{place.word} >> {place.shift})"
            value = f"{shifted} & {(1 << place.bits) - 1}u" if place.bits else self._initial[name]
            self._lines.append(f"    const unsigned {spell(name)} = {value};")

    def _check(self, claims: Claims) -> None:
        for number, term in enumerate(claims.states.values()):
            if not z3.is_true(term):
                self._lines.append(f"    if (!{self._print(term)}) BROKEN_STATE({number});")
        for number, term in enumerate(claims.witnesses.values()):
            if not z3.is_false(term):
                self._lines.append(
                    f"    if (WANTED({number}) && {self._print(term)}) WITNESS({number});"
                )

    def _branch(
        self, number: int, instance: Instance, claims: Mapping[str, Term], goes_on: bool
    ) -> Branch:
        body = [f"if (!{self._print(term)}) BROKEN_STEP({number}, {place});"
                for place, term in enumerate(claims.values())]  # fmt: skip
        if goes_on:
            body.append("stuck = 0;")
        masks: dict[int, int] = defaultdict(int)
        terms: dict[int, list[str]] = defaultdict(list)
        for name, term in instance.next.items():
            place = self._layout.places[name]
            masks[place.word] |= place.mask
            if place.bits and not _is_zero(term):
                terms[place.word].append(f"((word){self._print(term)} << {place.shift})")
        for word in range(self._layout.words):
            kept = f"(s{word} & {~masks[word] & (2 * PRESENT - 1):#x}ull)"
            value = " | ".join([kept, *terms[word]]) if word in masks else f"s{word}"
            body.append(f"word n{word} = {value};")
        body.append(f"EMIT({number});")
        tests = frozenset(self._print(part) for part in conjuncts(instance.guard))
        return Branch(tests - {C.true}, body)

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


def _is_zero(term: Term) -> bool:
    return bool(z3.is_false(term) or (z3.is_int_value(term) and term.as_long() == 0))
