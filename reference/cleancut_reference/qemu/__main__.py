"""`python -m cleancut_reference.qemu`: the same as `cleancut-qemu`."""

import sys

from cleancut_reference.qemu.main import main

sys.exit(main())
