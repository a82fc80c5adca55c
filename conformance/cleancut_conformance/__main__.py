"""`python -m cleancut_conformance`: the same as `cleancut`."""

import sys

from cleancut_conformance.cli import main

sys.exit(main())
