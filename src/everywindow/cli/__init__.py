"""The command line. What needs torch is imported when a command runs, so ``--help`` answers at once."""

from everywindow.cli.entry import main

__all__ = ["main"]
