"""Who it is that answers: the version in the greeting."""

from collections.abc import Iterable

from cleancut_spec.trace import Record


def greeter(records: Iterable[Record]) -> dict[str, str]:
    """Who greeted in this trace: its name as baselines use it, its version, its package."""
    kind = "qemu"
    for record in records:
        if record.dir == "meta" and str(record.note.get("target")).startswith("qsd:"):
            kind = "qsd"  # one version with qemu, and deviations of its own
        if record.dir == "recv" and isinstance(record.msg, dict) and "QMP" in record.msg:
            try:
                known = record.msg["QMP"]["version"]
                package = str(known.get("package", ""))
                major, minor, micro = (known["qemu"][k] for k in ("major", "minor", "micro"))
            except (TypeError, KeyError, AttributeError):
                return {}
            name = "cleancut" if package.startswith("cleancut") else f"{kind}-{major}.{minor}"
            return {"implementation": name, "qemu": f"{major}.{minor}.{micro}", "package": package}
    return {}
