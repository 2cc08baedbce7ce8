"""The scene: every number of the demo in one place, read by the host and by the player in the guest."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from bench.guest.memcached import Load

# In the order played.
PHASES = ("stock_idle", "stock_loaded", "attached", "failover", "reattached", "safe_mode")

TITLES = {
    "stock_idle": "stock scheduler, nothing else runs",
    "stock_loaded": "stock scheduler, background spinners",
    "attached": "Temper attached, same background",
    "failover": "agent killed: stock until it is back",
    "reattached": "Temper attached again",
    "safe_mode": "safe mode on: stock",
}


@dataclass(frozen=True, slots=True)
class Scene:
    """One set of settings. Rates are per second, times in seconds of the guest's clock.

    cpus: of the node; the client and the observer have one more to themselves.
    memcached_threads: workers; memcached_cpus: what it asks for in workloads.toml.
    rate: requests a second; each is a multi-get of `keys` keys out of `keyspace`, `value_bytes` long.
    spinners: threads in the background that never sleep.
    settle_s: after a change, before a window opens; drain_s: the same after an attach, when a queue has to drain.
    measure_s: length of a measured window; loaded_s: of the one on stock with the background, as long as a failover.
    lead_s: still attached before the kill; restart_s: kill to restart, as RestartSec= of a service manager.
    background_weight, memcached_weight, temper_weight: cpu.weight of the cgroups, as a container runtime of 2026 makes
    it (runc 1.3.2, crun 1.23) of a BestEffort pod, of 2 cpus requested, and of a tenth of a cpu requested.
    watch_us: period of the observer.
    """

    cpus: int = 3
    memcached_threads: int = 2
    memcached_cpus: int = 2
    connections: int = 16
    rate: float = 2320.0
    arrivals: str = "poisson"
    seed: int = 1
    keys: int = 100
    keyspace: int = 10_000
    value_bytes: int = 8
    spinners: int = 6
    settle_s: float = 0.3
    drain_s: float = 0.8
    loaded_s: float = 9.0
    measure_s: float = 1.5
    lead_s: float = 0.3
    restart_s: float = 0.5
    background_weight: int = 1
    memcached_weight: int = 174
    temper_weight: int = 17
    tcp: int = 0
    watch_us: int = 2000
    phases: str = ",".join(PHASES)

    def as_dict(self) -> dict[str, object]:
        """For scene.json and summary.json."""
        return asdict(self)

    def load(self) -> Load:
        """memcached and its client, which sends the same in every window of `measure_s`."""
        return Load(
            threads=self.memcached_threads,
            rate=self.rate,
            period_s=self.measure_s,
            connections=self.connections,
            arrivals=self.arrivals,
            seed=self.seed,
            keys=self.keys,
            keyspace=self.keyspace,
            value_bytes=self.value_bytes,
            tcp=bool(self.tcp),
        )
