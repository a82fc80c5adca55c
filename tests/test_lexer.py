"""The request stream, cut anywhere, gives the same values; and no input breaks it."""

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cleancut_reference.outputs import Reply
from cleancut_reference.qmp.lexer import MAX_DEPTH, Lexer
from cleancut_reference.qmp.parser import Bad, Value
from cleancut_reference.qmp.session import Session
from tests.engine_harness import Harness

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)
CONTAINER = st.lists(JSON, max_size=4) | st.dictionaries(st.text(max_size=5), JSON)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(edges)]


@given(
    st.lists(CONTAINER, max_size=4),
    st.lists(st.integers(0, 10_000), max_size=8),
    st.sampled_from(["", " ", "\n", "\r\n\t"]),
    st.booleans(),
)
def test_any_cutting_gives_the_same_values(
    values: list[object], cuts: list[int], separator: str, ascii_only: bool
) -> None:
    text = separator.join(json.dumps(value, ensure_ascii=ascii_only) for value in values)
    lexer, found = Lexer(), []
    for piece in pieces(text.encode(), cuts):
        found += lexer.feed(piece)
    assert found == [Value(value) for value in values]


@given(st.dictionaries(st.text('ab ,:{}[]"', max_size=6), st.text("xy\\ '\"", max_size=6)))
def test_single_quotes_are_quotes(value: dict[str, str]) -> None:
    def quote(text: str) -> str:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    text = "{" + ",".join(f"{quote(k)}: {quote(v)}" for k, v in value.items()) + "}"
    assert list(Lexer().feed(text.encode())) == [Value(value)]


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=4))
def test_no_input_breaks_the_stream(noise: bytes, cuts: list[int]) -> None:
    lexer = Lexer()
    for piece in pieces(noise, cuts):
        list(lexer.feed(piece))
    list(lexer.feed(b"\xff"))  # a client's way to begin anew
    assert list(lexer.feed(b'{"a": [1]}')) == [Value({"a": [1]})]


def test_deep_nesting_is_read_to_its_limit() -> None:
    text = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    [item] = Lexer().feed(text)
    assert isinstance(item, Value)
    first = next(Lexer().feed(b"[" + text + b"]"))
    assert first == Bad("JSON nesting depth limit exceeded")


def test_a_long_string_is_read_in_linear_time() -> None:
    lexer = Lexer()
    text = b'{"a": "' + b"x" * (8 << 20) + b'"}'
    found = [
        item for at in range(0, len(text), 65536) for item in lexer.feed(text[at : at + 65536])
    ]
    assert isinstance(found[0], Value) and len(found[0].value["a"]) == 8 << 20


def replies_to(text: bytes) -> list[dict[str, object]]:
    harness, session = Harness([8]), Session()
    for request, answer in session.feed(text):
        harness.engine.receive(request, answer)
    harness.run()
    return [output.body for output in harness.outputs if isinstance(output, Reply)]


def test_negotiation_and_the_shape_of_requests() -> None:
    def kind(reply: dict[str, object]) -> object:
        error = reply.get("error")
        return error["class"] if isinstance(error, dict) else "return"

    text = b"""{"execute": "query-status"}{"execute": "bogus", "id": {"a": [null]}}
        {'execute': 'qmp_capabilities', "arguments": {"enable": ["oob"]}}
        {'execute': 'qmp_capabilities'} {"execute": "qmp_capabilities"} {"execute": "bogus"}
        [] {"execute": 1} {"execute": "query-status", "arguments": null} {"id": 1}
        {"execute": "query-status", "foo": 1, "id": 7} {"execute": "query-status"}"""
    replies = replies_to(text)
    assert [kind(reply) for reply in replies] == [
        "CommandNotFound", "CommandNotFound", "return", "CommandNotFound", "CommandNotFound",
        "CommandNotFound", *["GenericError"] * 5, "return",
    ]  # fmt: skip
    assert replies[1]["id"] == {"a": [None]}
    assert replies[10]["id"] == 7 and replies[9]["id"] == 1
