"""Every test of the model plays with small sizes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.model.small import small_sizes


@pytest.fixture(autouse=True)
def _small_sizes() -> Iterator[None]:
    with small_sizes():
        yield
