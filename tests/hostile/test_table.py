"""The table of attacks covers the threat model: each attempt has an attack, or a reason why not."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from hostile import attacks

AT_LEAST = 100
OTHER_ACTORS = {
    "Release, image and namespace": "a user who decides what runs here is root by right; the builds are compared in CI",
    "Root on a node": "root is root; what its token can do on other nodes is under Reporter",
}
"""Actors without attacks here, and where their attempts are tried instead."""
OTHER_ATTEMPTS = {
    "stop all kubelets at once": "takes many nodes: controller/test_node_reporter.py",
    "take all logins away by an edit of the controller's settings": "controller/test_emptied_configuration.py",
    "send a registry token to a host of their own": "nothing stops it: that is what domains are for",
    "use other roles": "STS stops it: e2e/test_other_accounts.py",
    "put logins into a namespace of their own": "nothing stops it: that is what namespaces are for",
    "name a file of the folder that leads elsewhere": "unit/settings/test_cluster_origin.py",
    "have an AccessKey's secret handed out as a login": "among the files of the row above it",
    "replace an AccessKey by one of another account": "nothing stops it: that is what the Secret is for",
    "delete the credentials Secret, or delete it for a moment": "unit/node_agent/test_agent.py",
    "read or delete the logins it keeps": "nothing stops it",
    "get a cached token by a request that would be refused without the cache": "e2e and unit tests of the fast path",
    "find a change that was written without a proof": "a test of the code",
    "have root break the node by a remedy that is followed to the letter": "unit tests of the remedies",
    "serve a file system that says that all is root's (FUSE)": "unit tests of the proofs",
    "have root read another file by a folder or symlink on the way, or add a certificate authority": "as above",
    "read secrets from a core dump": "unit/exec",
    "forge lines in a log, a status or on a terminal by an odd name or key": "unit/console and unit/fastpath",
    "have root's commands repeat a file that was named by mistake": "unit/console",
    "answer for the kubelet's `/healthz` while it restarts": "takes a kubelet that restarts: systemd/",
    "fill the log": "unit/pull_secrets/serving",
    "ask the metadata service itself": "not ours",
    "answer as the API server": "unit/kube_api/test_client.py",
    "hang, drip, flood": "among the attacks on traffic and as the metadata service; e2e/test_deadline.py",
}
"""Attempts without an attack here, and why."""


def all_attacks():
    found = []
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        if file.name != Path(__file__).name:
            spec = importlib.util.spec_from_file_location(f"hostile.{file.stem}", file)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            found += [each for table in vars(module).values() if isinstance(table, attacks.Attacks) for each in table]
    return found


def test_there_are_at_least_a_hundred_attacks_each_by_its_own_name():
    every = all_attacks()
    assert len(every) >= AT_LEAST
    named = [(each.actor, str(each)) for each in every]
    assert len(set(named)) == len(named)
    assert all(each.tried and each.must for each in every)


def test_each_attack_belongs_to_an_attempt_of_the_threat_model():
    known = set(attacks.attempts())
    assert {(each.actor, each.attempt) for each in all_attacks()} <= known


def test_each_attempt_has_an_attack_or_a_reason():
    tried = {(each.actor, each.attempt) for each in all_attacks()}
    left = [row for row in attacks.attempts() if row not in tried]
    assert [row for row in left if row[0] not in OTHER_ACTORS and row[1] not in OTHER_ATTEMPTS] == []
    assert {row[0] for row in tried}.isdisjoint(OTHER_ACTORS)


def test_the_report_has_a_row_for_each_outcome(tmp_path):
    seat = type("Seat", (), {"prove": lambda self: None})()
    attack = attacks.Attack("An actor", "an attempt", "it was | tried", "nothing", lambda _: "two\nlines")
    row = {"actor": attack.actor, "attempt": "x", "attack": "x", "tried": attack.tried, "must": "m"}
    row |= {"happened": attack.act(seat), "seconds": 0.1}
    (tmp_path / "one.json").write_text(json.dumps(row))
    assert "| x | it was \\| tried | m | two lines | 0.1 |" in attacks.report(tmp_path)
