"""The nursery of victims, the run to compare with, and the figures of the sweep."""

from collections.abc import Callable, Iterator

import pytest

from crash.drive import Case, Figures, Nursery, Undisturbed, undisturbed_run

FIGURES = pytest.StashKey[Figures]()


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with Nursery() as opened:
        yield opened


@pytest.fixture(scope="session")
def undisturbed(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    undisturbed_run(nursery, tmp_path_factory.mktemp("warm"))
    return undisturbed_run(nursery, tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> Figures:
    return pytestconfig.stash.setdefault(FIGURES, Figures())


@pytest.fixture
def new_case(
    nursery: Nursery, undisturbed: Undisturbed, figures: Figures, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Case]:
    return lambda: Case(tmp_path_factory.mktemp("case"), nursery, undisturbed, figures)


@pytest.fixture
def case(new_case: Callable[[], Case]) -> Case:
    return new_case()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if (figures := config.stash.get(FIGURES, None)) is not None:
        terminalreporter.section("crashes")
        for line in figures.lines():
            terminalreporter.write_line(line)
