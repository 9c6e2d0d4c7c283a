"""How a command is told where messages go."""

import click

from tagent.names import checked_topic, dead_letters, mailbox, topic_of

to_option = click.option("--to", "address", metavar="ADDRESS", help="A mailbox: pipeline:NAME or run:ID; dead:NAME.")
topic_option = click.option("--topic", metavar="TOPIC", help="A topic, like orders.created.")

_DEAD = "dead:"


def topic_meant(address: str | None, topic: str | None) -> str | None:
    """Return the store's name of the topic that two options mean together; None if neither is given.

    Raises:
        click.UsageError: If both are given.
        InvalidNameError: If one cannot be used.
    """
    if address is not None and topic is not None:
        raise click.UsageError("Give --to or --topic, not both.")
    if topic is not None:
        return topic_of(checked_topic(topic))
    if address is None:
        return None
    return dead_letters(address.removeprefix(_DEAD)) if address.startswith(_DEAD) else mailbox(address)
