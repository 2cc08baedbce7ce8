"""The parts put together, without an API server: nothing is asked of it before `run`."""

import asyncio
import subprocess
import sys

import pytest

from temper.agent import node_agent
from temper.agent.live_settings import LiveSettings
from temper.agent.metrics import Collector
from temper.agent.node_agent import NodeAgent
from temper.agent.observing import observe
from temper.agent.states import State
from temper.node.run_dir import RunDir
from temper.settings.sources import SET, Sources

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: u, user: {}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
"""


@pytest.fixture
async def agent(tmp_path):
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    (tmp_path / "cgroup.controllers").touch()
    sets = ["node_name=n1", f"kubernetes.kubeconfig={tmp_path}/kubeconfig", f"cgroups.root={tmp_path}", "http.listen="]
    settings = LiveSettings(Sources(None, {}, tuple((SET, each) for each in sets)))
    made = NodeAgent(settings, RunDir(tmp_path / "run"))
    yield made
    await made._client.close()


async def test_metrics_and_document_of_an_agent_that_only_starts(agent):
    facts = agent.facts()
    assert b'temper_state{state="starting"} 1.0' in Collector(lambda: facts).text()
    document = observe(facts)
    assert (document.state, document.node, document.pods, document.layers) == ("starting", "n1", [], [])


async def test_sizes_follow_demand_unless_the_settings_say_otherwise(agent, tmp_path):
    assert agent._options().follow_demand
    sources = agent._settings.sources
    agent._settings.sources = Sources(None, {}, (*sources.flags, (SET, "sizing.follow_demand=false")))
    agent._settings.reload()
    assert not agent.loop._options.follow_demand


async def test_facts_do_not_change_under_who_reads_them(agent):
    facts = agent.facts()
    agent.loop.status.timings_ns["plan"] = 1
    agent.loop.status.state = State.ENFORCING
    assert (facts.status.timings_ns, facts.status.state) == ({}, State.STARTING)


async def test_http_waits_until_it_is_clear_what_the_node_does(agent, monkeypatch):
    started = asyncio.Event()

    async def serve_http(*_):
        started.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(node_agent, "serve_http", serve_http)
    monkeypatch.setattr(type(agent._settings().http), "address", ("127.0.0.1", 1))
    task = asyncio.create_task(agent._serve())
    agent._hear(agent.loop.status)
    await asyncio.sleep(0.01)
    assert not started.is_set()
    agent.loop.status.state = State.UNSUPPORTED
    agent._hear(agent.loop.status)
    async with asyncio.timeout(1):
        await started.wait()
    task.cancel()


async def test_http_that_is_off_stays_off(agent, monkeypatch):
    monkeypatch.setattr(node_agent, "serve_http", lambda *_: pytest.fail("HTTP is off"))
    task = asyncio.create_task(agent._serve())
    agent._settled.set()
    await asyncio.sleep(0.01)
    assert not task.done()
    task.cancel()


async def test_the_stopwatch_of_the_annotation_is_not_the_local_switchs(agent, monkeypatch):
    heard = []

    async def stand_down(reason, *, heard_ns=0):
        heard.append((reason, heard_ns))

    monkeypatch.setattr(agent.loop._supervisor, "stand_down", stand_down)
    monkeypatch.setattr(agent.loop._supervisor, "keep_spare", lambda: None)
    agent.source._switch, agent.source._heard_ns = "node annotation x=true", 77
    await agent.loop._pass()
    agent.loop._run_dir.engage("03:12")
    await agent.loop._pass()
    assert heard == [("node annotation x=true", 77), ("03:12", 0)]


def test_the_libraries_of_http_are_not_imported_with_the_agent():
    code = "import sys, temper.agent.node_agent; "
    code += "sys.exit(bool({'starlette', 'uvicorn', 'prometheus_client'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], check=True)
