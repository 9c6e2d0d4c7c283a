"""Parallel: one step, then two at the same time, then one that joins both.

    python examples/patterns/parallel.py
    tagent run examples/patterns/parallel.py --input city=Porto

`weather` and `trains` start together as soon as `place` is there; `plan` waits for both.
"""

import asyncio

from tagent.pipeline import ExecutionMode, Pipeline

SECONDS = 0.5
"""How long each of the two services takes to answer."""


def find_place(city: str) -> dict[str, float]:
    """Return where a city is."""
    return {"Porto": {"north": 41.15, "west": 8.63}, "Lisbon": {"north": 38.71, "west": 9.14}}[city]


async def ask_weather(place: dict[str, float]) -> str:
    """Return tomorrow's weather, from a slow service."""
    await asyncio.sleep(SECONDS)
    return "rain" if place["north"] > 40 else "sun"


async def ask_trains(place: dict[str, float]) -> list[str]:
    """Return when trains leave tomorrow, from another one."""
    await asyncio.sleep(SECONDS)
    return ["08:10", "10:40"] if place["west"] < 9 else ["09:00"]


def write_plan(city: str, weather: str, trains: list[str]) -> str:
    """Return what to do."""
    return f"Tomorrow there is {weather} in {city}. Take the train at {trains[-1] if weather == 'rain' else trains[0]}."


pipeline = (
    Pipeline("parallel", default_mode=ExecutionMode.CONCURRENT)
    .step("place", run=find_place)
    .step("weather", run=ask_weather)
    .step("trains", run=ask_trains)
    .step("plan", run=write_plan)
)

if __name__ == "__main__":
    from tagent import run_agent

    result = run_agent(pipeline, inputs={"city": "Porto"})
    print(result.final_output)
    took = {name: result.step_metadata[name]["execution_time"] for name in ("weather", "trains")}
    alone = " and ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items())
    print(f"{alone}, the whole run {result.execution_time:.1f} s: they were asked at the same time.")
