"""Errors on the command line: one message, a hint, and an exit code; a traceback only when asked for.

0 done · 1 run failed · 2 usage or invalid pipeline · 4 key or configuration missing
6 partial success · 130 interrupted
"""

import json
import sys
import traceback
from typing import NoReturn

import click

from tagent.exceptions import TAgentError

DONE = 0
FAILED = 1
USAGE = 2
CONFIGURATION = 4
PARTIAL = 6
INTERRUPTED = 130

# By code, not by class: the classes would have to be loaded for every `--help`.
_EXIT_CODES = {
    "pipeline.invalid": USAGE,
    "pipeline.inputs": USAGE,
    "pipeline.load": USAGE,
    "configuration": CONFIGURATION,
    "configuration.missing_extra": CONFIGURATION,
    "model.authentication": CONFIGURATION,
    "model.not_chosen": CONFIGURATION,
    "model.unknown": CONFIGURATION,
}


def run_and_exit(command: click.Command, arguments: list[str]) -> NoReturn:
    """Run `command` and leave the process; whatever goes wrong becomes a message and an exit code."""
    try:
        outcome = command.main(arguments, prog_name="tagent", standalone_mode=False)
        sys.exit(outcome if isinstance(outcome, int) else DONE)
    except click.ClickException as error:
        error.show()
        sys.exit(USAGE)
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader, like `head`, has had enough
        sys.stderr.close()
        sys.exit(DONE)
    except Exception as error:  # noqa: BLE001 - every error ends in an exit code
        report(error, as_json="--json" in arguments, is_verbose="--verbose" in arguments)
        sys.exit(exit_code(error))


def report(error: Exception, *, as_json: bool, is_verbose: bool) -> None:
    """Write what went wrong: for people to stderr, with `as_json` for programs to stdout too."""
    if is_verbose:
        traceback.print_exception(error)
    if isinstance(error, TAgentError):
        code, message, hint = error.code, error.message, error.hint
    else:
        code, message = "internal", f"{type(error).__name__}: {error}"
        hint = "This is a mistake in tagent. Run it again with --verbose and report what it prints."
    click.echo(f"{click.style('error', fg='red')}[{code}]: {message}", err=True)
    if hint:
        click.echo(f"{click.style('hint', fg='cyan')}: {hint}", err=True)
    if as_json:
        failure = {"code": code, "message": message, "hint": hint}
        click.echo(
            json.dumps({"run_id": None, "status": "failed", "success": False, "error": failure}, ensure_ascii=False)
        )


def exit_code(error: Exception) -> int:
    """Return the exit code for an error that kept the command from its work."""
    return _EXIT_CODES.get(error.code, FAILED) if isinstance(error, TAgentError) else FAILED
