"""`python -m pykraft` is the command `pykraft`."""

import sys

from pykraft.cli.main import main

sys.exit(main())
