"""Where the tests of crowds leave their figures until the end."""

import pytest

CROWDS = pytest.StashKey[list[str]]()
