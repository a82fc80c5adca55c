"""Wrong with what is refused, and in which words."""

from typing import Any

from cleancut_conformance.agreement.wrong.table import caught_by, replace
from cleancut_reference import commands, engine, errors, opening, transaction
from cleancut_reference.actions import abort, backup
from cleancut_reference.block.graph import Graph
from cleancut_reference.qmp import arguments as qmp_arguments
from cleancut_reference.qmp import session


def _in_other_words(text: str) -> Any:
    """A refusal whose description names nothing."""
    return errors.generic(text)


@caught_by("arguments/unknown-device", "ARG-DEVICE-1")
def names_no_device() -> None:
    """The refusal of an unknown device does not say which."""
    right = Graph.find

    def wrong(self: Graph, name: str) -> Any:
        try:
            return right(self, name)
        except errors.QmpError:
            raise _in_other_words("No such device") from None

    replace(Graph, "find", wrong)


@caught_by("arguments/missing-directory", "ARG-TARGET-1")
def names_no_target() -> None:
    """The refusal of a target that cannot be opened does not say which."""
    replace(opening.OpenError, "__str__", lambda self: "Could not open an image")


@caught_by("arguments/size-mismatch", "ARG-SIZE-1")
def takes_any_size() -> None:
    """A target of another size is accepted."""
    replace(backup, "_check_together", lambda state, action, source, target: None)


@caught_by("arguments/malformed", "ARG-TYPE-1")
def takes_what_it_does_not_know() -> None:
    """An argument that no command has is passed over."""
    replace(qmp_arguments, "_OPEN", _Everything())


class _Everything:
    def __contains__(self, _: object) -> bool:
        return True


@caught_by("arguments/wrong/speed-text", "QMP-ALIVE-1")
def takes_any_type() -> None:
    """A value of another type is met by code that does not expect it."""
    right = qmp_arguments._fits

    def wrong(kind: str, value: Any) -> bool:
        return right(kind, value) if kind in ("object", "array") else True

    replace(qmp_arguments, "_fits", wrong)


@caught_by("arguments/malformed-transaction/properties-a-list", "QMP-ALIVE-1")
def takes_any_form() -> None:
    """A list or an object is met by code that does not expect it."""
    right = qmp_arguments._check_builtin

    def wrong(kind: str, value: Any, path: str) -> None:
        if kind not in ("object", "array"):
            right(kind, value, path)

    replace(qmp_arguments, "_check_builtin", wrong)


@caught_by("arguments/wrong/sync-unknown", "QMP-ALIVE-1")
def takes_any_word() -> None:
    """A word that an enumeration has not is met by code that does not expect it."""
    right = qmp_arguments.check_value

    def wrong(types: Any, name: str, value: Any, path: str) -> None:
        if types[name]["meta-type"] != "enum" or not isinstance(value, str):
            right(types, name, value, path)

    replace(qmp_arguments, "check_value", wrong)


@caught_by("arguments/wrong/sync-missing", "ARG-TYPE-1")
def misses_nothing() -> None:
    """The want of an argument is met by code that does not expect it."""
    right = qmp_arguments._check_members

    def wrong(types: Any, entity: Any, value: dict[str, Any], path: str) -> set[str]:
        there = [m for m in entity["members"] if m["name"] in value]
        right(types, {**entity, "members": there}, value, path)
        return {member["name"] for member in entity["members"]}

    replace(qmp_arguments, "_check_members", wrong)


@caught_by("arguments/wrong/speed-far-too-big", "ARG-SPEED-1")
def takes_any_number() -> None:
    """A number has no limits, and a whole one may be written as a fraction."""
    right = qmp_arguments._fits

    def wrong(kind: str, value: Any) -> bool:
        return type(value) in (int, float) if kind == "int" else right(kind, value)

    replace(qmp_arguments, "_fits", wrong)


@caught_by("arguments/wrong/speed-negative", "ARG-SPEED-1")
def takes_a_negative_speed() -> None:
    """A negative speed is none."""
    right = qmp_arguments.check_arguments

    def wrong(command: str, arguments: dict[str, Any], *more: Any) -> None:
        right(command, arguments, *more)
        _mend(arguments)

    replace(engine, "check_arguments", wrong)


def _mend(value: Any) -> None:
    if isinstance(value, list):
        for part in value:
            _mend(part)
    elif isinstance(value, dict):
        if value.get("speed", 0) < 0:
            value["speed"] = 0
        for part in value.values():
            _mend(part)


@caught_by("arguments/malformed-last-action", "QMP-ALIVE-1")
def checks_the_first_action_only() -> None:
    """What is wrong in a later action is met by code that does not expect it."""
    right = qmp_arguments.check_arguments

    def wrong(command: str, arguments: dict[str, Any], *more: Any) -> None:
        if command == "transaction":
            arguments = {**arguments, "actions": arguments["actions"][:1]}
        right(command, arguments, *more)

    replace(engine, "check_arguments", wrong)


@caught_by("protocol/second-negotiation", "QMP-NEGOTIATE-1")
def negotiates_again() -> None:
    """Capabilities can be negotiated at any time."""
    replace(session.Session, "_negotiate", lambda self, arguments: _negotiated(self))


def _negotiated(client: session.Session) -> dict[str, Any]:
    client._negotiated = True
    return {}


@caught_by("protocol/unknown-command", "QMP-UNKNOWN-1")
def knows_no_unknown_command() -> None:
    """The refusal of an unknown command has class GenericError."""
    replace(engine, "command_not_found", errors.generic)


@caught_by("transaction/empty", "TX-EMPTY-1")
def wants_an_action() -> None:
    """A transaction without actions is refused."""
    right = transaction.Transaction.result

    def wrong(self: transaction.Transaction) -> Any:
        return right(self) if self.actions else errors.generic("Parameter 'actions' is empty")

    replace(transaction.Transaction, "result", wrong)


@caught_by("transaction/abort-first", "TX-ABORT-1")
def aborts_at_the_end_only() -> None:
    """An abort that other actions follow does nothing."""
    right = transaction.Transaction._prepare_next

    def wrong(self: transaction.Transaction, state: Any, action: Any) -> Any:
        last = self.position == len(self.actions) - 1
        if isinstance(action, abort.Abort) and not last:
            self.actions.pop(self.position)
            return right(self, state, self.actions[self.position])
        return right(self, state, action)

    replace(transaction.Transaction, "_prepare_next", wrong)


@caught_by("transaction/abort-last", "TX-ABORT-1")
def forgives_an_abort() -> None:
    """An abort does nothing."""
    right = commands.COMMANDS["transaction"]

    def wrong(state: Any, arguments: dict[str, Any]) -> Any:
        kept = [each for each in arguments["actions"] if each["type"] != "abort"]
        return right(state, {**arguments, "actions": kept})

    commands.COMMANDS["transaction"] = wrong


@caught_by("protocol/greeting", "QMP-GREET-1")
def tells_no_version() -> None:
    """query-version has another form than the greeting."""
    commands.COMMANDS["query-version"] = lambda state, arguments: {"version": "7.2"}
