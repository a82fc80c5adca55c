"""One client's dialogue: negotiation, and the shape of requests. Pure: bytes in, requests out."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from cleancut_reference.errors import QmpError, command_not_found, generic
from cleancut_reference.qmp.arguments import check_arguments
from cleancut_reference.qmp.lexer import Lexer
from cleancut_reference.qmp.parser import Bad
from cleancut_spec import cites
from cleancut_spec.profiles import DEFAULT
from cleancut_spec.qmp import schema

_MEMBERS: Final = {
    "execute": (str, "a string"),
    "arguments": (dict, "an object"),
    "id": (object, ""),
}
_OUT_OF_BAND: Final = _MEMBERS | {"exec-oob": (str, "a string")}

#: The command that comes first, and that the session answers itself.
NEGOTIATION: Final = "qmp_capabilities"

#: What a client may enable: commands out of band.
CAPABILITIES: Final = ("oob",)


class Session:
    """Turns a client's bytes into requests, each with its answer where that is known at once."""

    def __init__(self, profile: str = DEFAULT.name) -> None:
        self._profile = profile
        self._lexer = Lexer()
        self._negotiated = False
        self._members: Mapping[str, tuple[type, str]] = _MEMBERS

    @cites("QMP-STREAM-1", "QMP-BAD-1")
    def feed(self, data: bytes) -> Iterator[tuple[dict[str, Any], Any]]:
        """The requests that are complete now, in order, each with its answer or None."""
        for item in self._lexer.feed(data):
            if isinstance(item, Bad):
                yield {}, generic(item.desc)
            elif not isinstance(item.value, dict):
                yield {}, generic("QMP input must be a JSON object")
            else:
                try:
                    yield item.value, self._check(item.value)
                except QmpError as error:
                    yield item.value, error

    @cites("QMP-NEGOTIATE-1")
    def _check(self, request: dict[str, Any]) -> Any:
        for name, value in request.items():
            if name not in self._members:
                raise generic(f"QMP input member '{name}' is unexpected")
            kind, text = self._members[name]
            if not isinstance(value, kind):
                raise generic(f"QMP input member '{name}' must be {text}")
        if "exec-oob" in request:
            return _check_out_of_band(request, self._profile)
        if "execute" not in request:
            raise generic("QMP input lacks member 'execute'")
        if request["execute"] == NEGOTIATION:
            return self._negotiate(request.get("arguments", {}))
        if not self._negotiated:
            raise command_not_found(f"Expecting capabilities negotiation with '{NEGOTIATION}'")
        return None

    def _negotiate(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if self._negotiated:
            raise command_not_found("Capabilities negotiation is already complete, command ignored")
        check_arguments(NEGOTIATION, arguments, self._profile)
        if "oob" in arguments.get("enable", []):
            self._members = _OUT_OF_BAND
        self._negotiated = True
        return {}


def _check_out_of_band(request: dict[str, Any], profile: str) -> None:
    """Refuse a command that cannot be executed out of band; raises QmpError."""
    name = request["exec-oob"]
    if "execute" in request:
        raise generic("QMP input member 'exec-oob' clashes with 'execute'")
    if name not in schema(profile):
        raise command_not_found(f"The command {name} has not been found")
    if not schema(profile)[name].get("allow-oob"):
        raise generic(f"The command {name} does not support OOB")
