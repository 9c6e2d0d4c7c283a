"""`tagent runs diff`."""

import click
from pydantic_core import to_json
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tagent.cli.runs.naming import short_ids
from tagent.cli.runs.options import json_option, look_at, store_option, verbose_option
from tagent.pipeline.transfer.comparing import RunDifference, compare_runs
from tagent.pipeline.transfer.differences import StepOutcome
from tagent.ports import Services


@click.command("diff")
@click.argument("one")
@click.argument("other")
@click.option("--step", metavar="STEP", help="Show how the outputs of this step differ.")
@store_option
@json_option
@verbose_option
@short_ids("one", "other")
def diff_command(one: str, other: str, step: str | None, store: str | None, as_json: bool) -> None:
    """Compare two runs step by step: where each stands and why, whether outputs are equal, cost and time."""

    async def look(services: Services) -> RunDifference:
        return await compare_runs(services.store, one, other)

    found = look_at(store, look)
    if step is not None:
        steps = {it.step: it for it in found.steps}
        if step not in steps:
            raise click.BadParameter(f"Neither run has a step {step!r}.", param_hint="--step")
        click.echo("\n".join(steps[step].output_diff(*found.runs)))
    elif as_json:
        click.echo(to_json(_as_values(found), indent=2).decode())
    else:
        Console().print(_table(found))


def _as_values(found: RunDifference) -> dict[str, object]:
    return {
        "runs": found.runs,
        "statuses": found.statuses,
        "codes": found.codes,
        "inputs": found.inputs,
        "costs_usd": found.costs_usd,
        "steps": [
            {
                "step": step.step,
                "is_equal": step.is_equal,
                "is_output_equal": step.is_output_equal,
                "before": step.before,
                "after": step.after,
            }
            for step in found.steps
        ],
    }


def _table(found: RunDifference) -> Table:
    table = Table("step", *found.runs, "output", "cost", "seconds", box=None, pad_edge=False)
    fates = (_fate(status, code) for status, code in zip(found.statuses, found.codes, strict=True))
    table.add_row("(the run)", *fates, "", _change(*found.costs_usd, sign="$"), "")
    for it in found.steps:
        table.add_row(
            Text(it.step),
            _standing(it.before),
            _standing(it.after),
            "equal" if it.is_output_equal else "differs",
            _change(it.before.cost_usd, it.after.cost_usd, sign="$"),
            _change(it.before.seconds, it.after.seconds),
        )
    return table


def _standing(outcome: StepOutcome) -> Text:
    """Return where a step stands, why, and how many of its parts."""
    counted = sum(outcome.parts.values())
    parts = f" {outcome.parts.get('completed', 0)}/{counted} parts" if counted else ""
    return _fate(outcome.status, outcome.code, more=parts)


def _fate(status: str, code: str, *, more: str = "") -> Text:
    return Text(f"{status}{f' [{code}]' if code else ''}{more}")


def _change(one: float, other: float, *, sign: str = "") -> str:
    return f"{sign}{one:.4f} > {sign}{other:.4f}" if one != other else f"{sign}{one:.4f}"
