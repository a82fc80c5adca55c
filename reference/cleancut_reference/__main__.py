"""`python -m cleancut_reference`: the server with the standard library alone."""

import sys

from cleancut_reference.cli import main

sys.exit(main())
