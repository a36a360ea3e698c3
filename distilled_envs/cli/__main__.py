"""``python -m distilled_envs.cli``."""

import sys

from distilled_envs.cli import main

if __name__ == "__main__":
    sys.exit(main())
