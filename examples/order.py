"""An order from basket to parcel: which steps run, what happens when one fails, and what is undone.

    tagent run examples/order.py
    tagent run examples/order.py --input country=CH                         # a customs form, and a rate that is missing
    tagent run examples/order.py --input card_limit=10                      # the card is refused: the goods go back
    tagent run examples/order.py --input with_note=true --model embedded    # a model writes a note

All but the note are functions, so that it runs without a key. What is reserved is kept in the memory of the
pipeline, in the store of the runs: order again and again, and the goods run out.
"""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from tagent.pipeline import Budget, ExecutionMode, Pipeline, RetryPolicy, StepContext, field

PRICES = {"teapot": 20.0, "cup": 4.5, "tray": 12.0}
STOCK = 20
"""How many there are of each article before anybody orders."""

EU = ["DE", "FR", "PT"]


class Line(BaseModel):
    """What somebody wants."""

    article: str
    count: int = Field(ge=1)


class Offer(BaseModel):
    """What he can have."""

    article: str
    count: int
    euros: float


class OrderInputs(BaseModel):
    """What the pipeline is given."""

    basket: list[Line] = [
        Line(article="teapot", count=1),
        Line(article="cup", count=6),
        Line(article="samovar", count=1),
    ]
    country: Literal["CH", "DE", "FR", "PT"] = "PT"
    card_limit: float = Field(default=100.0, description="What the card pays at most, in the currency of the country.")
    with_note: bool = Field(default=False, description="Whether a model writes a note for the parcel.")


class CardRefusedError(Exception):
    """The card does not pay as much as that."""


def offer(item: Line) -> Offer:
    """Return what one line of the basket costs."""
    return Offer(article=item.article, count=item.count, euros=PRICES[item.article] * item.count)


def read_rate(country: str) -> float:
    """Return what a euro is worth there, from a file that something else keeps up to date."""
    rates: dict[str, float] = json.loads(Path("rates.json").read_text(encoding="utf-8"))
    return rates[country]


def usual_rate() -> float:
    """Return what a euro is worth in Switzerland, more or less."""
    return 0.95


def fill_in_customs_form(offers: list[Offer], country: str) -> str:
    """Return what the customs of a country want to know."""
    goods = ", ".join(f"{it.count} {it.article}" for it in offers)
    return f"Goods for {country}: {goods}, worth EUR {_total(offers):.2f}"


def reserve(offers: list[Offer], context: StepContext) -> dict[str, int]:
    """Reserve the goods; it counts when this step succeeds, and not if somebody else was faster."""
    reserved: dict[str, int] = {}
    for wanted in offers:
        reserved[wanted.article] = reserved.get(wanted.article, 0) + wanted.count
    for article, count in reserved.items():
        entry = context.memory.pipeline.entry(article)
        taken = entry.value if entry else 0
        if taken + count > STOCK:
            raise ValueError(f"only {STOCK - taken} x {article} left")
        context.memory.pipeline.put(article, taken + count, expected_version=entry.version if entry else 0)
    return reserved


def release(reserve: dict[str, int], context: StepContext) -> None:
    """Undo a reservation."""
    for article, count in reserve.items():
        context.memory.pipeline.put(article, -count, merge=lambda there, new: there + new)


def charge(offers: list[Offer], card_limit: float, context: StepContext, rate: float = 1.0) -> str:
    """Return the receipt; by the reference a bank knows a call that is made again after a crash."""
    amount = _total(offers) * rate
    if amount > card_limit:
        raise CardRefusedError(f"it pays up to {card_limit:.2f}, not {amount:.2f}")
    return f"{amount:.2f} paid, reference {context.idempotency_key}"


def pack(reserve: dict[str, int], charge: str, customs: str = "", note: str = "") -> str:
    """Return what is in the parcel and on it."""
    goods = [f"{count} x {article}" for article, count in reserve.items()]
    return "\n".join([*goods, charge, *filter(None, [customs, note])])


def _total(offers: list[Offer]) -> float:
    return sum(it.euros for it in offers)


pipeline = (
    Pipeline(
        "order",
        "An order from basket to parcel",
        inputs=OrderInputs,
        default_mode=ExecutionMode.CONCURRENT,
        on_failure="rollback",
        budget=Budget(max_model_calls=5, deadline_seconds=300),
        final="pack",
    )
    .step(  # each line by itself: what the shop does not have is left out, as long as it has something
        "offers",
        run=offer,
        for_each="basket",
        min_success=1,
        retry=RetryPolicy(never=[LookupError]),
    )
    .step(  # only where there is another currency, and if the file is missing, not the newest rate
        "rate",
        run=read_rate,
        condition=field("inputs.country") == "CH",
        retry=RetryPolicy(never=[FileNotFoundError]),
        on_error="usual_rate",
    )
    .step("usual_rate", run=usual_rate)
    .step("customs", run=fill_in_customs_form, condition=~field("inputs.country").is_in(EU))
    .step("reserve", run=reserve, compensate=release, retry=RetryPolicy(never=[ValueError]))
    .step("charge", run=charge, depends_on=["reserve"], retry=RetryPolicy(never=[CardRefusedError]))
    .step(  # nice to have
        "note",
        "Thank somebody in {country} in one friendly sentence for buying {offers}.",
        enabled="inputs.with_note",
        optional=True,
        timeout=60,
        max_retries=1,
    )
    .step("pack", run=pack)
)

if __name__ == "__main__":
    from tagent import run_agent

    result = run_agent(pipeline, inputs={"country": "CH"})
    print(result.final_output)
    print(result.explain())
