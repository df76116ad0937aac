"""``python -m everywindow``: the same as the command ``everywindow``."""

import sys

from everywindow.cli import main

if __name__ == "__main__":
    sys.exit(main())
