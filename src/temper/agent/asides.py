"""Parts of the agent that enforcement does not need: the linter, HTTP. What breaks one leaves the layers in force."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable
from typing import Any

from temper.agent.events import warning
from temper.agent.facts import Gather
from temper.kube.reviews import Review

AGAIN_S = 60.0
PORT_AGAIN_S = 10.0


async def keep_going(name: str, part: Callable[[], Awaitable[None]]) -> None:
    """Run a part until cancelled. What breaks it is logged with its traceback, and it starts again after a while."""
    while True:
        try:
            await part()
        except Exception as error:  # noqa: BLE001 - the point of this function
            warning("part_failed", part=name, again_s=AGAIN_S, exc_info=error)
        await asyncio.sleep(AGAIN_S)


async def serve_http(address: tuple[str, int], gather: Gather, review: Review | None) -> None:
    """HTTP at this address, until cancelled. Where the port is taken it is asked for again, and said once."""
    # Imported in a thread, for the loop must beat meanwhile.
    web: Any = await asyncio.to_thread(importlib.import_module, "temper.agent.web")
    said = False
    while True:
        try:
            listening = web.listen(address)
            break
        except OSError as error:
            if not said:
                where = f"{address[0]}:{address[1]}"
                warning("http_off", listen=where, reason=error.strerror, again_s=PORT_AGAIN_S, enforcement="goes on")
            said = True
        await asyncio.sleep(PORT_AGAIN_S)
    await web.serve(listening, web.Pages(gather, review))
