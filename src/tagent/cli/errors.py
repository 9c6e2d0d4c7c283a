"""Errors on the command line: one message, a hint, and an exit code; a traceback only when asked for.

0 done · 1 run failed · 2 usage or invalid pipeline · 3 waiting · 4 key or configuration missing
5 budget exceeded · 6 partial success · 130 interrupted
"""

import json
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from tagent.exceptions import TAgentError, text_of

DONE = 0
FAILED = 1
USAGE = 2
WAITING = 3
CONFIGURATION = 4
OVER_BUDGET = 5
PARTIAL = 6
INTERRUPTED = 130

# By code, not by class: the classes would have to be loaded for every `--help`.
_EXIT_CODES = {
    "pipeline.invalid": USAGE,
    "pipeline.inputs": USAGE,
    "pipeline.load": USAGE,
    "tool.load": USAGE,
    "name.invalid": USAGE,
    "run.fork": USAGE,
    "run.selection": USAGE,
    "approval.output": USAGE,
    "configuration": CONFIGURATION,
    "configuration.missing_extra": CONFIGURATION,
    "model.authentication": CONFIGURATION,
    "model.not_chosen": CONFIGURATION,
    "model.unknown": CONFIGURATION,
}


def run_and_exit(command: click.Command, arguments: list[str]) -> NoReturn:
    """Run `command` and leave the process; whatever goes wrong becomes a message and an exit code."""
    try:
        require_text(arguments)
        outcome = command.main(arguments, prog_name="tagent", standalone_mode=False)
        sys.exit(outcome if isinstance(outcome, int) else DONE)
    except click.ClickException as error:
        error.show()
        _report_to_programs(arguments, code="usage", message=error.format_message())
        sys.exit(USAGE)
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        _report_to_programs(arguments, code="interrupted", message="Interrupted.")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader, like `head`, has had enough
        sys.stderr.close()
        sys.exit(DONE)
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - every error ends in an exit code
        report(error, arguments)
        sys.exit(exit_code(error))


def require_text(arguments: Sequence[str]) -> None:
    r"""Refuse arguments that can be kept nowhere: with bytes that are no UTF-8, which Python hides in them.

    Raises:
        click.UsageError: If there is one; it says which.

    Example:
        >>> require_text(["runs", "approve", "1f2e", "refund", "--comment", "d\udce9j\xe0"])
        Traceback (most recent call last):
        ...
        click.exceptions.UsageError: Argument 6, behind --comment, is no UTF-8: see its character 2.
    """
    for number, argument in enumerate(arguments, 1):
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            before = arguments[number - 2] if number > 1 else ""
            which = f", behind {before}," if before.startswith("-") else ""
            told = f"Argument {number}{which} is no UTF-8: see its character {error.start + 1}."
            raise click.UsageError(told) from None


def report(error: BaseException, arguments: list[str]) -> None:
    """Write what went wrong: for people to stderr, with `--json` for programs to stdout too."""
    if "--verbose" in arguments:
        traceback.print_exception(error)
    if isinstance(error, TAgentError):
        code, message, hint = error.code, error.message, error.hint
    else:
        code, message = "internal", f"{type(error).__name__}: {text_of(error)}"
        hint = "This is a mistake in tagent. Run it again with --verbose and report what it prints."
    click.echo(f"{click.style('error', fg='red')}[{code}]: {printable(message)}", err=True)
    if hint:
        click.echo(f"{click.style('hint', fg='cyan')}: {printable(hint)}", err=True)
    _report_to_programs(arguments, code=code, message=message, hint=hint)


def _report_to_programs(arguments: list[str], *, code: str, message: str, hint: str = "") -> None:
    if "--json" in arguments:
        error = {"code": code, "message": message, "hint": hint}
        click.echo(json.dumps({"run_id": None, "status": "failed", "success": False, "error": error}))


def printable(text: str) -> str:
    r"""Return `text` with everything escaped that would steer a terminal; line breaks stay.

    Example:
        >>> printable("\x1b[2Jgone")
        '\\x1b[2Jgone'
    """
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def exit_code(error: BaseException) -> int:
    """Return the exit code for an error that kept the command from its work."""
    return _EXIT_CODES.get(error.code, FAILED) if isinstance(error, TAgentError) else FAILED
