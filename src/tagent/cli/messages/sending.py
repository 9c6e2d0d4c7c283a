"""`tagent messages send`."""

import click
from pydantic_core import to_json

from tagent.cli.messages.addresses import to_option, topic_meant, topic_option
from tagent.cli.runs.options import json_option, look_at, store_option, verbose_option
from tagent.cli.values import as_option, value_of
from tagent.names import mail_address
from tagent.payloads import LARGEST_MESSAGE, encoded
from tagent.ports import Services
from tagent.ports.effects import Effects
from tagent.ports.messages import NewMessage


@click.command("send")
@click.argument("data")
@to_option
@topic_option
@as_option
@click.option("--key", default="", metavar="KEY", help="Send it only if no message with this key is there.")
@store_option
@json_option
@verbose_option
def send_command(
    data: str, address: str | None, topic: str | None, form: str, key: str, store: str | None, as_json: bool
) -> None:
    """Send DATA to a pipeline, a run or a topic."""
    where = topic_meant(address, topic, may_be_dead=False)
    if where is None:
        raise click.UsageError("Say where it goes: --to pipeline:NAME, --to run:ID or --topic NAME.")
    payload = encoded(value_of(data, form), what="The message", largest=LARGEST_MESSAGE)

    async def work(services: Services) -> int:
        message = NewMessage(where, payload, key, services.processes.user())
        return (await services.store.write(Effects(messages=(message,)))).seqs[0]

    seq = look_at(store, work)
    if as_json:
        click.echo(to_json({"to": mail_address(where), "seq": seq}, indent=2).decode())
    else:
        click.echo(f"message {seq} of {mail_address(where)}")
