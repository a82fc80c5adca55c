"""Serve a wrong engine: its name, then the arguments of the reference server."""

import sys

from cleancut_conformance.agreement.wrong import WRONG
from cleancut_reference import cli

if __name__ == "__main__":
    WRONG[sys.argv[1]].patch()
    sys.exit(cli.main(sys.argv[2:]))
