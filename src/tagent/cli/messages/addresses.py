"""How a command is told where messages go."""

import click

from tagent.names import checked_topic, dead_letters, mailbox, topic_of

to_option = click.option("--to", "address", metavar="ADDRESS", help="A mailbox: pipeline:NAME or run:ID.")
read_option = click.option(
    "--to",
    "address",
    metavar="ADDRESS",
    help="A mailbox: pipeline:NAME or run:ID; or the dead letters of a reader: dead:NAME.",
)
topic_option = click.option("--topic", metavar="TOPIC", help="A topic, like orders.created.")

_DEAD = "dead:"


def topic_meant(address: str | None, topic: str | None, *, may_be_dead: bool = True) -> str | None:
    """Return the store's name of the topic that two options mean together; None if neither is given.

    Args:
        address: A mailbox.
        topic: A topic.
        may_be_dead: Whether the dead letters of a reader may be meant; nobody sends there.

    Raises:
        click.UsageError: If both are given, or it is about dead letters and must not be.
        InvalidNameError: If one cannot be used.
    """
    if address is not None and topic is not None:
        raise click.UsageError("Give --to or --topic, not both.")
    if topic is not None:
        return topic_of(checked_topic(topic))
    if address is None:
        return None
    if not address.startswith(_DEAD):
        return mailbox(address)
    if not may_be_dead:
        raise click.UsageError("Nobody sends dead letters: a reader puts there what he cannot handle.")
    return dead_letters(address.removeprefix(_DEAD))
