import asyncio

import pytest


@pytest.fixture
def event_loop_turn():
    """Let the loop turn until something holds: at most a second."""

    async def turn(holds):
        async with asyncio.timeout(1):
            while not holds():
                await asyncio.sleep(0)

    return turn
