"""`python -m modelyard_serve` is the command `modelyard-serve`."""

import sys

from modelyard_serve.cli import main

sys.exit(main())
