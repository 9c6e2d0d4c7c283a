"""The older PyPI package of this name, as its user calls it; `venvs/tagent_old` has it, under the same import name.

It runs under conditions that favour it: without its terminal animation, for whose frames each call waits, with its
printing thrown away, and with its price list read from disk.
"""

import contextlib
import io
import os
from importlib import import_module

from benchmarks.agents.goals import Goal, tools_for
from benchmarks.agents.measuring import KEY, MODEL, Reach, Reached, main


def load(base_url: str) -> Reach:
    """Import the package and return what works on a goal."""
    os.environ.update(
        LITELLM_LOCAL_MODEL_COST_MAP="True",
        OPENAI_API_BASE=base_url,
        OPENAI_BASE_URL=base_url,
        TAGENT_UI_STYLE=os.environ.get("TAGENT_UI_STYLE", "institutional"),
    )
    run_agent = import_module("tagent.agent").run_agent

    def reach(goal: Goal) -> Reached:
        with contextlib.redirect_stdout(io.StringIO()):
            result = run_agent(goal=goal.text, model=f"openai/{MODEL}", api_key=KEY, tools=tools_for(goal))
        return Reached(achieved=result.goal_achieved, output=str(result.output), planning_cycles=result.planning_cycles)

    return reach


if __name__ == "__main__":
    main("older tagent", load)
