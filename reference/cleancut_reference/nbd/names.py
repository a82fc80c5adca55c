"""Exports of NBD servers by file name: `nbd:…` and URIs to options of driver `nbd`, and back."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from cleancut_reference import errors

DEFAULT_PORT: Final = "10809"
#: What a file name begins with that means an export.
PROTOCOLS: Final = frozenset({"nbd", "nbd+tcp", "nbd+unix"})

_HOST_AND_PORT: Final = re.compile(r"(\[[^]]*\]|[^:]*):(.*)", re.DOTALL)
_SPOKEN: Final = {"unix": {"type", "path"}, "inet": {"type", "host", "port"}}


def options_of(name: str) -> dict[str, Any]:
    """The options of an export that a file name means; raises QmpError."""
    protocol, _, rest = name.partition(":")
    return _of_uri(name) if protocol != "nbd" or rest.startswith("//") else _of_address(rest)


def _of_address(text: str) -> dict[str, Any]:
    """`unix:PATH` or `HOST:PORT`, and perhaps `:exportname=NAME`."""
    address, named, export = text.partition(":exportname=")
    if not address or (named and not export):
        raise errors.generic("NBD server address missing")
    if address.startswith("unix:"):
        server = {"type": "unix", "path": address.removeprefix("unix:")}
    elif match := _HOST_AND_PORT.fullmatch(address):
        server = {"type": "inet", "host": match[1].strip("[]"), "port": match[2]}
    else:
        raise errors.generic(f"error parsing address '{address}'")
    return {"server": server} | ({"export": export} if export else {})


def _of_uri(uri: str) -> dict[str, Any]:
    server = _server_of(uri)
    if server is None:
        raise errors.generic("No valid URL specified")
    export = unquote(urlsplit(uri).path.removeprefix("/"))
    return {"server": server} | ({"export": export} if export else {})


def _server_of(uri: str) -> dict[str, str] | None:
    """Where the server of a URI listens; None if the URI is none."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    query = parse_qsl(parts.query, keep_blank_values=True)
    if parts.scheme != "nbd+unix":
        if not host or query:
            return None
        return {"type": "inet", "host": host, "port": str(port or DEFAULT_PORT)}
    if host or [key for key, _ in query] != ["socket"]:
        return None
    return {"type": "unix", "path": query[0][1]}


def name_of(options: Mapping[str, Any]) -> str:
    """The file name that means an export; empty if only all its options do."""
    server, export = options["server"], options.get("export", "")
    if server.keys() != _SPOKEN.get(server["type"]):
        return ""
    if server["type"] == "unix":
        slash = "/" if export else ""
        return f"nbd+unix://{slash}{export}?socket={server['path']}"
    place = f"nbd://{server['host']}:{server['port']}"
    return f"{place}/{export}" if export else place
