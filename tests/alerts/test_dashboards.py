"""A real Prometheus scrapes a real controller and real reporters, and has an answer to each panel's query."""

import contextlib
import itertools
import json
import subprocess
import time
import urllib.parse
import urllib.request

import pytest
import yaml
from acr_credential_provider.fastpath.lookup import TRACE
from acr_node_config.agent.agent import CACHE
from acr_node_config.reporter import node_report
from acr_node_config.reporter.health_server import HealthServer
from alerts.prometheus import program
from cluster.loopback_api import LoopbackApi, free_ports
from cluster.replicas import CONFIGURATION, create, find
from controller.test_webhook_of_the_controller import Processes
from support.harness import ROOT
from support.replica import PATIENCE, Team, eventually
from unit.node_agent.fakes import Clock, FakeApi
from unit.node_agent.machine import Machine

FILES = ROOT / "packaging/chart/files"
HOST = "shop-registry.cn-hangzhou.cr.aliyuncs.com"
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((FILES / "dashboards").glob("*.json"))}
QUERIES = {
    f"{name}: {panel['title']} {target['refId']}": target["expr"]
    for name, board in BOARDS.items()
    for panel in board["panels"]
    for target in panel["targets"]
}
ALERTS = 17


class RealClock(Clock):
    def boot(self):
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self):
        return time.time()


class Server:
    """Prometheus, which scrapes *targets* (ports by the node that each is on) each second."""

    def __init__(self, folder, targets):
        (self.port,) = free_ports(1)
        scrapes = [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"node": node}} for node, ports in targets for port in ports
        ]
        document = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "scrape_configs": [{"job_name": "acr", "static_configs": scrapes}],
            "rule_files": [str(path) for path in FILES.glob("*-alerts.yaml")],
        }
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(document))
        words = [f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data"]
        words += [f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=error"]
        self._process = subprocess.Popen([program("prometheus"), *words])

    def __enter__(self):
        eventually(self._is_ready)
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()

    def _is_ready(self):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5).close()
            return True
        return False

    def get(self, path, **words):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(words)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def series(self, query):
        return self.get("query", query=query)["result"]


@contextlib.contextmanager
def reporter(machine):
    """Serve the page of a node's reporter as `reporter_cli` does; yield the port."""
    pages = {}
    server = HealthServer("127.0.0.1", 0, pages)
    clock = machine.clock
    pages["/metrics"] = lambda: (
        200,
        node_report.metrics(machine.reporter.agent, clock.boot(), clock.wall(), server.faults),
    )
    server.start()
    try:
        yield server.port
    finally:
        server.stop()


@pytest.fixture
def machines(tmp_path):
    """Two nodes: one that works, and one whose kubelet rejects the change."""
    clock = RealClock()
    clock.now = clock.boot()
    api = FakeApi(slots=1, nodes=("node-1", "node-2"))
    found = [
        Machine(tmp_path / name, clock, name=name, api=api, window=0.0, lives_with=lambda _config, lives=lives: lives)
        for name, lives in (("node-1", True), ("node-2", False))
    ]
    for machine in found:
        machine.push("match: *.*.cr.aliyuncs.com\nregistry: one\n")
        trace = machine.node.at(f"{CACHE}/{TRACE}")
        trace.parent.mkdir(parents=True)
        trace.touch()
    return found


def work(machines):
    for machine in machines:
        machine.clock.now = machine.clock.boot()
        machine.agent.tick()
        machine.reporter.tick()


@pytest.fixture(scope="module")
def api():
    with LoopbackApi() as api:
        yield api


@pytest.fixture
def settings(api, sandbox, tmp_path):
    """Settings of two instances: one that ACR knows, and one that it does not."""
    team = Team(api, api.namespace("team-1"))
    chosen = {"namespaces": [f"{team.prefix}-*"], "serviceAccounts": ["*"], "secretName": team.name}
    document = {**sandbox.settings(), "pullSecrets": {**chosen, "admission": {"mode": "webhook"}}}
    unknown = {**document["registries"][0], "instanceId": "cri-fedcba9876543210", "domains": ["other.example.com"]}
    document["registries"].append(unknown)
    path = tmp_path / "settings.yaml"
    path.write_text(json.dumps(document))
    path.chmod(0o600)
    return team, path


def test_every_panel_has_data_of_a_fleet_at_work(api, settings, machines, tmp_path):
    team, file = settings
    # A Secret of another's with the name of ours: an Event says so.
    taken = team.open("taken")
    api.create(f"/api/v1/namespaces/{taken}/secrets", {"metadata": {"name": team.name}})
    with contextlib.ExitStack() as stack:
        processes = stack.enter_context(Processes(api, team, file))
        processes.start()
        ports = [health for _process, health in processes.running.values()]
        nodes = [(machine.name, [stack.enter_context(reporter(machine))]) for machine in machines]
        (folder := tmp_path / "prometheus").mkdir()
        server = stack.enter_context(Server(folder, [*nodes, ("node-9", ports)]))
        eventually(lambda: find(api, CONFIGURATION))
        api.restart("kube-apiserver")  # ends watches, which last for minutes otherwise
        machines[0].node.pull(HOST)
        numbers = itertools.count()
        without, end = set(QUERIES), time.monotonic() + PATIENCE
        while without and time.monotonic() < end:
            work(machines)
            create(api, team.open(f"app-{next(numbers)}"), "app")
            without -= {name for name in without if server.series(QUERIES[name].replace("$node", "node-1"))}
            time.sleep(0.5)
        assert without == set()
        rules = [rule for group in server.get("rules")["groups"] for rule in group["rules"]]
        assert {rule["health"] for rule in rules} == {"ok"}
        assert len(rules) == ALERTS
        listed = server.get("label/node/values", **{"match[]": "acr_node_agent_up"})
        assert listed == ["node-1", "node-2"]
