"""Follows what the layers use: from the engine's counters to the sizes that the next plan should have.

Deciding is `temper.plan.demand`'s; this remembers the last reading and each layer's state. Readings that can't be
compared (the first one, another engine's) leave nothing to go by, and then the next plan is sized by requests.
"""

from __future__ import annotations

from collections.abc import Mapping

from temper.agent.events import event
from temper.agent.measurements import Readings
from temper.plan.demand import NO_DEMAND, Demands, State, demands, judge
from temper.plan.layers import Plan, Size
from temper.plan.readings import read
from temper.wire.messages import LayerStats


class Follower:
    """Of one engine's counters.

    demand: for the next plan. used_millicpu: layer -> of the last reading, every layer. nr_resizes: sizes changed.
    """

    def __init__(self) -> None:
        self.demand: Demands = NO_DEMAND
        self.used_millicpu: dict[str, int] = {}
        self.nr_resizes = 0
        self._states: dict[str, State] = {}
        self._readings = Readings()

    def forget(self) -> None:
        """What was measured holds no more: the engine is gone, or nobody wants it followed."""
        self._readings = Readings()
        self._unfollow()

    def _unfollow(self) -> None:
        self.demand, self.used_millicpu, self._states = NO_DEMAND, {}, {}

    def hear(self, stats: Mapping[str, LayerStats], now_ns: int, plan: Plan) -> bool:
        """A reading, when it was taken (CLOCK_MONOTONIC), and the plan in force. True when another plan is due."""
        growth, followed = self._readings.next(stats, now_ns), set(self.demand)
        if not growth.layers:
            self._unfollow()
            return bool(followed)
        protected = {layer.name for layer in plan.layers if layer.protected}
        readings = {each.layer: read(each, growth.over_ns, protected=each.layer in protected) for each in growth.layers}
        self.used_millicpu = {name: reading.used_millicpu for name, reading in readings.items()}
        self._states = judge(self._states, plan.sizes, readings)
        self.demand = demands(self._states, plan.sizes, readings)
        resized = [size for size in plan.sizes if self._resizes(size)]
        self.nr_resizes += len(resized)
        # What was followed and is no more goes back to its requests.
        return bool(resized) or not followed <= set(self.demand)

    def _resizes(self, size: Size) -> bool:
        state = self._states.get(size.layer)
        if state is None or state.cpus == size.owned:
            return False
        used = self.used_millicpu[size.layer]
        event("resized", layer=size.layer, owned=size.owned, cpus=state.cpus, used_millicpu=used)
        return True
