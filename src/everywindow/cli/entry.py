"""The command ``everywindow``: its commands, and how errors reach people."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, TextIO

import click

from everywindow import __version__
from everywindow.cli.comparing import compare
from everywindow.cli.evaluating import evaluate
from everywindow.cli.explaining import explain
from everywindow.cli.exporting import export
from everywindow.cli.files import convert, info
from everywindow.cli.pricing import cost
from everywindow.cli.probing import probe
from everywindow.cli.scanning import scan
from everywindow.cli.try_out import demo
from everywindow.cli.words import as_options, error_text, is_option
from everywindow.errors import EverywindowError, StoppedError

FAILED, USAGE, INTERRUPTED = 1, 2, 130
TRACEBACK = "EVERYWINDOW_TRACEBACK"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="everywindow %(version)s")
def cli() -> None:
    """Run a trained classifier on every window of an image of any size.

    \b
    Start with:   everywindow demo
    Then:         everywindow scan IMAGE --model MODEL --out heatmap.png
    """


for command in (demo, scan, compare, evaluate, cost, explain, probe, export, convert, info):
    cli.add_command(command)


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line; gives the exit code.

    0 on success, 1 where something cannot be done, 2 where the command line or an option's value is wrong, 3 where
    parts could not be done, 128 and the signal's number after one (130 after Ctrl-C).
    Errors are one line on stderr: the thing, the reason, the remedy.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = _note
        try:
            code = cli.main(None if args is None else list(args), "everywindow", standalone_mode=False)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            return USAGE
        except click.UsageError as error:
            return _complain(_usage(error), USAGE)
        except StoppedError as error:
            return _complain(error_text(error), 128 + error.signal)
        except EverywindowError as error:
            return _complain(error_text(error), USAGE if is_option(error) else FAILED)
        except (click.Abort, KeyboardInterrupt):
            return _complain("interrupted: stopped on request; run it again", INTERRUPTED)
        except BrokenPipeError:
            # Nobody reads on; Python would complain once more when it flushes stdout at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED
        except Exception as error:
            if os.environ.get(TRACEBACK):
                raise
            return _complain(_unexpected(error), FAILED)
    return code if isinstance(code, int) else 0


def _complain(line: str, code: int) -> int:
    click.echo(f"everywindow: {_one_line(line)}", err=True)
    return code


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _usage(error: click.UsageError) -> str:
    where = error.ctx.command_path if error.ctx else "everywindow"
    return f"{error.format_message().rstrip('.')}; see '{where} --help'"


def _unexpected(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or 'file'}: {error.strerror or error}; check the path"
    why = _one_line(str(error))[:200]
    return f"{type(error).__name__}: {why}; set {TRACEBACK}=1 to see where it comes from"


def _note(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> Any:
    click.echo(f"everywindow: note: {_one_line(as_options(str(message)))}", err=True)
