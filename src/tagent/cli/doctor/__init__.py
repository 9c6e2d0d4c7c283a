"""`tagent doctor`: checks what runs need, one line a check, and says how to mend what is wrong."""

import asyncio
from collections.abc import AsyncGenerator, Iterable

import click
from pydantic_core import to_json

from tagent.cli.doctor.findings import Finding, Outcome, findings_of
from tagent.cli.doctor.installation import INSTALLATION_CHECKS
from tagent.cli.doctor.models import MODEL_CHECKS
from tagent.cli.doctor.storage import STORE_CHECKS, findings_of_store
from tagent.cli.errors import DONE, FAILED, printable
from tagent.cli.runs.options import json_option, store_option, verbose_option
from tagent.cli.stores import with_store
from tagent.config import TAgentConfig
from tagent.exceptions import ConfigurationError

SIGNS = {
    Outcome.FINE: click.style("✓", fg="green"),
    Outcome.WARNING: click.style("!", fg="yellow"),
    Outcome.FAILED: click.style("✗", fg="red"),
}

NAME_WIDTH = 10


@click.command()
@store_option
@json_option
@verbose_option
def doctor(store: str | None, as_json: bool) -> int:
    """Check what runs need: the installation, the model, the store. Calls no model, and leaves no trace."""
    findings = asyncio.run(_examined(store))
    is_well = all(finding.outcome is not Outcome.FAILED for finding in findings)
    if as_json:
        click.echo(to_json({"ok": is_well, "findings": findings}, indent=2).decode())
    else:
        for line in _lines(findings):
            click.echo(line)
    return DONE if is_well else FAILED


async def _examined(store: str | None) -> list[Finding]:
    return [finding async for finding in _all_findings(store)]


async def _all_findings(store: str | None) -> AsyncGenerator[Finding, None]:
    for check in INSTALLATION_CHECKS:
        yield check()
    try:
        config = with_store(TAgentConfig.load(), store)
    except ConfigurationError as error:  # without settings nobody knows which model and which store are meant
        yield Finding("settings", error.message, Outcome.FAILED, error.hint or "Correct it, or take it out.")
        return
    for model_check in MODEL_CHECKS:
        for finding in await findings_of("model", model_check(config)):
            yield finding
    for finding in await findings_of("store", findings_of_store(config.store, STORE_CHECKS)):
        yield finding


def _lines(findings: Iterable[Finding]) -> Iterable[str]:
    for finding in findings:
        yield f"{SIGNS[finding.outcome]} {finding.name:<{NAME_WIDTH}} {printable(finding.what)}"
        if finding.remedy:
            yield f"  {'':<{NAME_WIDTH}} {click.style('remedy', fg='cyan')}: {printable(finding.remedy)}"
