"""`tagent messages list`, `tail` and `readers`."""

from collections.abc import Iterable, Sequence

import click
from pydantic_core import to_json

from tagent.cli.errors import printable
from tagent.cli.messages.addresses import read_option, topic_meant, topic_option
from tagent.cli.runs.options import json_option, look_at, store_option, verbose_option
from tagent.cli.tables import echo_table, table_lines
from tagent.cli.times import time_text
from tagent.cli.values import shortened
from tagent.messaging.dead_letters import read_letter
from tagent.names import checked_pattern, is_dead, literal_beginning, mail_address, matches, topic_of
from tagent.payloads import PayloadError, decoded
from tagent.ports import Services
from tagent.ports.messages import Message, Topic

LONGEST_WAIT_SECONDS = 5.0
"""How long a follower waits for a hint before it looks anyway."""

_TOPICS = topic_of("")


@click.command("list")
@read_option
@topic_option
@click.option("--after", default=0, type=click.IntRange(0), metavar="N", help="Only messages behind this place.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="The most to list.")
@store_option
@json_option
@verbose_option
def list_command(
    address: str | None, topic: str | None, after: int, limit: int, store: str | None, as_json: bool
) -> None:
    """List the topics that there are, or the messages of one, the oldest first."""
    where = topic_meant(address, topic)

    async def look(services: Services) -> None:
        if where is None:
            _show_topics(await services.store.topics(), as_json=as_json)
        else:
            _show(await services.store.messages(where, after_seq=after, limit=limit), as_json=as_json)

    look_at(store, look)


@click.command("tail")
@click.argument("pattern", required=False)
@read_option
@click.option("--all", "from_start", is_flag=True, help="Begin with the oldest message, not with the next one.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="End after this many.")
@store_option
@json_option
@verbose_option
def tail_command(
    pattern: str | None, address: str | None, from_start: bool, limit: int | None, store: str | None, as_json: bool
) -> None:
    """Print messages as they come, those of topics like PATTERN (orders.*, orders.#) or of a mailbox; Ctrl-C ends it.

    Reading here moves nobody's place.
    """
    if (pattern is None) == (address is None):
        raise click.UsageError("Give a pattern of topics, or a mailbox with --to.")
    mailbox = topic_meant(address, None)
    wanted = None if pattern is None else checked_pattern(pattern)

    async def look(services: Services) -> None:
        read: dict[str, int] = {}
        seen, shown, is_first = 0, 0, not from_start
        while limit is None or shown < limit:
            seen = await services.store.wait_for_change(seen, seconds=LONGEST_WAIT_SECONDS)
            for topic in await _topics(services, mailbox, wanted):
                last = topic.last_seq if is_first else read.get(topic.name, 0)
                for message in await services.store.messages(topic.name, after_seq=last):
                    click.echo(to_json(_as_json(message)).decode() if as_json else _as_line(message))
                    last, shown = message.seq, shown + 1
                    if shown == limit:
                        return
                read[topic.name] = last
            is_first = False

    look_at(store, look)


@click.command("readers")
@store_option
@json_option
@verbose_option
def readers_command(store: str | None, as_json: bool) -> None:
    """List who reads what, how far he has come, and how often he has failed at the next message."""

    async def look(services: Services) -> None:
        newest = {topic.name: topic.last_seq for topic in await services.store.topics()}
        found = [
            {
                "reader": it.subscriber,
                "address": mail_address(it.topic),
                "read": it.seq,
                "waiting": max(0, newest.get(it.topic, it.seq) - it.seq),
                "failures": it.failures,
            }
            for it in await services.store.cursors()
        ]
        if as_json:
            click.echo(to_json(found, indent=2).decode())
        elif found:
            for line in table_lines(list(found[0]), [list(map(str, it.values())) for it in found]):
                click.echo(line)
        else:
            click.echo("Nobody reads anything yet.", err=True)

    look_at(store, look)


async def _topics(services: Services, mailbox: str | None, pattern: str | None) -> Iterable[Topic]:
    if pattern is None:
        return [topic for topic in await services.store.topics(mailbox or "") if topic.name == mailbox]
    found = await services.store.topics(topic_of(literal_beginning(pattern)))
    return [topic for topic in found if matches(pattern, topic.name.removeprefix(_TOPICS))]


def _show_topics(topics: Sequence[Topic], *, as_json: bool) -> None:
    if as_json:
        found = [{"address": mail_address(it.name), "messages": it.messages, "last": it.last_seq} for it in topics]
        click.echo(to_json(found, indent=2).decode())
    elif topics:
        rows = [[mail_address(it.name), str(it.messages), str(it.last_seq)] for it in topics]
        for line in table_lines(["address", "messages", "last"], rows):
            click.echo(line)
    else:
        click.echo("Nothing was sent yet.", err=True)


def _show(messages: Sequence[Message], *, as_json: bool) -> None:
    if as_json:
        click.echo(to_json([_as_json(message) for message in messages], indent=2).decode())
    elif messages:
        echo_table(_table_of_dead(messages) if is_dead(messages[0].topic) else _table(messages))
    else:
        click.echo("No message is found.", err=True)


def _table(messages: Sequence[Message]) -> Iterable[str]:
    rows = [[str(it.seq), time_text(it.at), it.sender, shortened(_data(it))] for it in messages]
    return table_lines(["place", "sent", "by", "data"], rows)


def _table_of_dead(messages: Sequence[Message]) -> Iterable[str]:
    """Return the lines of a table of what could not be handled, with why; whose it was, and its data."""
    rows = []
    for message in messages:
        try:
            letter = read_letter(message)
        except PayloadError:  # somebody else has put it there
            data = shortened(_data(message))
            rows.append([str(message.seq), time_text(message.at), "It cannot be read.", message.sender, data])
            continue
        error = shortened(f"{letter.code}: {letter.error}")
        given_up = time_text(letter.failed_at)
        rows.append([str(letter.id), given_up, error, letter.kept.sender, shortened(_data(letter.kept))])
    return table_lines(["place", "given up", "error", "sent by", "data"], rows)


def _as_line(message: Message) -> str:
    parts = time_text(message.at), mail_address(message.topic), f"{message.seq:>4}", message.sender
    return "  ".join(printable(part) for part in (*parts, shortened(_data(message))) if part)


def _as_json(message: Message) -> dict[str, object]:
    return {
        "address": mail_address(message.topic),
        "seq": message.seq,
        "sent_at": time_text(message.at),
        "sender": message.sender,
        "key": message.key,
        "data": _data(message),
    }


def _data(message: Message) -> object:
    return decoded(message.payload, what=f"The message {message.seq} of {mail_address(message.topic)}")
