"""The crops' own numbers with shared computation: which calls are shared, and the steps that compute them."""

from everywindow.sharing.program import Program, build, constants

__all__ = ["Program", "build", "constants"]
