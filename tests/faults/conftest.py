"""Fixtures: one world for the tests of a module, whole again behind each of them."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults.world import World, world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """The daemon and the exchange of a module."""
    async with world(tmp_path_factory.mktemp("world")) as one:
        yield one


@pytest_asyncio.fixture(loop_scope="module")
async def place(shared: World) -> AsyncIterator[World]:
    """The same, with nothing left of the test before, and whole again after this one."""
    yield shared
    shared.mend()
    await shared.whole()
    await shared.flat()
    shared.lines.clear()
