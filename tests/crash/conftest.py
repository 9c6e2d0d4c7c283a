"""The nursery of victims, the runs to compare with, and the figures of the sweep."""

from collections.abc import Callable, Iterator
from functools import cache

import pytest

from crash.case import Case, Figures, Undisturbed, undisturbed_run
from crash.figures import CROWDS
from crash.nursery import Nursery
from crash.scene import Place
from crash.stores import SQLITE, DurableStore

FIGURES = pytest.StashKey[dict[str, Figures]]()


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with Nursery() as opened:
        yield opened


@pytest.fixture(scope="session")
def new_place(tmp_path_factory: pytest.TempPathFactory) -> Callable[[DurableStore], Place]:
    def made(store: DurableStore) -> Place:
        folder = tmp_path_factory.mktemp("case")
        return Place(store, folder, store.url(folder))

    return made


@pytest.fixture(scope="session")
def undisturbed_on(
    nursery: Nursery, new_place: Callable[[DurableStore], Place]
) -> Callable[[DurableStore, str], Undisturbed]:
    @cache
    def run(store: DurableStore, pipeline: str) -> Undisturbed:
        undisturbed_run(nursery, new_place(store), pipeline)  # warm
        return undisturbed_run(nursery, new_place(store), pipeline)

    return run


@pytest.fixture
def store() -> DurableStore:
    """The store of a test that does not name another."""
    return SQLITE


@pytest.fixture
def case_kind() -> type[Case]:
    """The kind of case of a test that does not name another."""
    return Case


@pytest.fixture
def undisturbed(
    undisturbed_on: Callable[[DurableStore, str], Undisturbed], store: DurableStore, case_kind: type[Case]
) -> Undisturbed:
    return undisturbed_on(store, case_kind.pipeline)


@pytest.fixture
def figures(pytestconfig: pytest.Config, store: DurableStore) -> Figures:
    return pytestconfig.stash.setdefault(FIGURES, {}).setdefault(store.name, Figures())


@pytest.fixture
def new_case(
    nursery: Nursery,
    undisturbed: Undisturbed,
    figures: Figures,
    store: DurableStore,
    new_place: Callable[[DurableStore], Place],
    case_kind: type[Case],
) -> Callable[[], Case]:
    return lambda: case_kind(new_place(store), nursery, undisturbed, figures)


@pytest.fixture
def case(new_case: Callable[[], Case]) -> Case:
    return new_case()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for name, figures in config.stash.get(FIGURES, {}).items():
        terminalreporter.section(f"crashes: {name}")
        for line in figures.lines():
            terminalreporter.write_line(line)
    if crowds := config.stash.get(CROWDS, []):
        terminalreporter.section("crowds")
        for line in crowds:
            terminalreporter.write_line(line)
