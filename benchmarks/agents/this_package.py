"""tagent, as a user calls it."""

import asyncio

from benchmarks.agents.goals import Goal, tools_for
from benchmarks.agents.measuring import KEY, MODEL, Reach, Reached, main


def load(base_url: str) -> Reach:
    """Import the package and return what works on a goal."""
    from tagent import arun_agent

    def reach(goal: Goal) -> Reached:
        work = arun_agent(
            goal.text, base_url=base_url, model=f"openai-chat:{MODEL}", api_key=KEY, tools=tools_for(goal)
        )
        result = asyncio.run(work)
        return Reached(achieved=result.goal_achieved, output=str(result.output), planning_cycles=result.planning_cycles)

    return reach


if __name__ == "__main__":
    main("tagent", load)
