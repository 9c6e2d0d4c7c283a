"""A trip of several stays: a pipeline that books one stay is a step of the pipeline that plans the whole.

    tagent run examples/trip.py
    tagent run examples/trip.py --input nights=0       # the first stay cannot be booked: the trip says where and why
    tagent run examples/trip.py --input cities='["Porto", "Faro"]'

All steps are functions, so that it runs without a key. What happens inside each stay is a part of the one run: the
live view and `tagent runs show` have it, and a run that was cut off goes on in the middle of a stay.
"""

from pydantic import BaseModel, Field

from tagent.pipeline import Pipeline

RATES = {"Lisbon": 90.0, "Porto": 70.0, "Faro": 60.0}
"""What a night costs, in EUR."""


class Stay(BaseModel):
    """What is to be booked."""

    city: str
    nights: int


class Booking(BaseModel):
    """What is booked."""

    city: str
    euros: float
    code: str


class Trip(BaseModel):
    """What the traveller wants."""

    cities: list[str] = ["Lisbon", "Porto"]
    nights: int = Field(default=2, description="How many nights in each city.")


def rate(city: str) -> float:
    """Return what a night costs."""
    return RATES[city]


def room(city: str, nights: int) -> str:
    """Return the code of a free room."""
    if nights < 1:
        raise ValueError(f"A stay in {city} of {nights} nights is none.")
    return f"{city[:3].upper()}-{nights}"


def book(city: str, nights: int, rate: float, room: str) -> Booking:
    """Return the booking."""
    return Booking(city=city, euros=rate * nights, code=room)


def itinerary(stays: list[Booking]) -> str:
    """Return the whole trip in one line."""
    told = ", ".join(f"{stay.city} ({stay.code})" for stay in stays)
    return f"{told}: {sum(stay.euros for stay in stays):.2f} EUR"


stay = Pipeline("stay", "Books one stay.", inputs=Stay)
stay.step("rate", run=rate).step("room", run=room, max_retries=0).step("book", run=book)

pipeline = Pipeline("trip", "Books a stay in each city, and tells what the trip costs.", inputs=Trip)
pipeline.step("stays", pipeline=stay, for_each="cities", inputs={"city": "item", "nights": "nights"}, max_concurrency=4)
pipeline.step("itinerary", run=itinerary)
