import shutil

import pytest
from acr_node_config.agent.agent import CHECK_EVERY, DROPPED, LOOK_EVERY, RETRY_FIRST
from acr_node_config.agent.mounted_settings import CREDENTIALS, FOLDER
from acr_node_config.agent.plugin_runner import BUSY, REFUSED, Plan
from acr_node_config.agent.program_run import ProgramError
from acr_node_config.agent.settings_rollout import GONE_FOR
from acr_node_config.hostfs.host_files import HostFiles
from acr_node_config.rollout import agent_status
from unit.node_agent.fakes import CONFIG, PROGRAM, SETTINGS, Clock
from unit.node_agent.machine import Machine

GOOD = "match: *.*.cr.aliyuncs.com\nregistry: one\n"
BETTER = "match: *.*.cr.aliyuncs.com\nregistry: two\n"
WIDER = "match: *.*.cr.aliyuncs.com\nmatch: images.example.com\nregistry: two\n"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def machine(tmp_path, clock):
    machine = Machine(tmp_path, clock)
    machine.push(GOOD)
    return machine


@pytest.fixture
def installed(machine):
    machine.run(10)
    assert machine.status["state"] == agent_status.READY
    return machine


def test_a_fresh_node_has_all_of_it_at_once(machine):
    machine.run(10)

    assert machine.node.text(PROGRAM) == "1"
    assert machine.settings == GOOD
    assert machine.status["state"] == agent_status.READY
    assert machine.status["is_serving"] is True
    assert machine.status["settings"]["outcome"] == agent_status.IN_FORCE
    assert machine.node.restarts == 1


def test_a_node_that_is_as_it_should_be_is_left_alone(installed):
    installed.run(3 * CHECK_EVERY)
    installed.start()
    installed.run(CHECK_EVERY)

    assert len(installed.node.installs) == 1
    assert installed.node.restarts == 1
    assert installed.status["is_serving"] is True


def test_two_looks_at_files_lie_well_within_the_ten_seconds_that_are_promised_for_drift():
    assert 2 * LOOK_EVERY <= 10


@pytest.mark.parametrize("path", [PROGRAM, CONFIG, SETTINGS])
@pytest.mark.parametrize("what", ["changed", "gone"])
def test_drift_is_repaired_within_two_looks_and_told_of(installed, path, what):
    before = installed.node.text(path)
    if what == "gone":
        installed.node.at(path).unlink()
    else:
        installed.node.at(path).write_text("somebody else's")

    installed.run(2 * LOOK_EVERY)

    assert installed.node.text(path) == before
    assert installed.status["counts"]["drift_repairs"] == 1


def test_drift_that_no_look_can_see_is_repaired_by_the_slow_comparison(installed):
    plan = installed.node.plan
    installed.node.plan = lambda settings: Plan(("mode of a folder",), restarts=False)
    installed.node.install = lambda settings: setattr(installed.node, "plan", plan)

    installed.run(CHECK_EVERY + LOOK_EVERY)

    assert installed.node.plan is plan


def test_new_settings_are_in_force_without_a_restart_while_matchimages_stay(installed):
    installed.push(BETTER)
    installed.run(310)

    assert installed.settings == BETTER
    assert installed.node.restarts == 1
    assert installed.status["counts"]["settings_changes"] == 2


def test_new_matchimages_restart_the_kubelet(installed):
    installed.push(WIDER)
    installed.run(310)

    assert installed.settings == WIDER
    assert installed.node.restarts == 2


def test_new_settings_wait_for_their_turn_and_say_so(tmp_path, clock):
    took = {}
    for number in range(20):
        machine = Machine(tmp_path / str(number), clock, name=f"node-{number}")
        machine.push(GOOD)
        machine.run(10)
        machine.push(BETTER)
        began = clock.now
        machine.run(8)
        if machine.settings == GOOD:
            assert machine.status["settings"]["outcome"] == agent_status.SPREADING
            assert machine.status["state"] == agent_status.READY
        while machine.settings == GOOD:
            machine.run(4)
        took[number] = clock.now - began
    assert max(took.values()) <= 300 + 2 * LOOK_EVERY
    assert max(took.values()) - min(took.values()) > 150
    assert len({round(each / 20) for each in took.values()}) >= 8


def test_an_agent_that_restarts_does_not_wait_again_for_settings_that_it_has(installed):
    installed.start()
    installed.run(LOOK_EVERY)

    assert installed.status["settings"]["outcome"] == agent_status.IN_FORCE


def test_poisoned_settings_never_reach_the_node(installed):
    installed.push(BETTER + "poison\n")
    installed.run(2 * CHECK_EVERY)

    assert installed.settings == GOOD
    assert installed.status["state"] == agent_status.READY
    assert installed.status["settings"]["outcome"] == agent_status.UNUSABLE
    assert installed.status["settings"]["problems"] == ["settings.yaml, line 1: poison is not a known field"]
    assert installed.status["counts"]["settings_unusable"] == 1
    assert installed.node.judged_by == ["own", "1"]

    installed.push(BETTER)
    installed.run(310)
    assert installed.settings == BETTER
    assert installed.status["settings"]["outcome"] == agent_status.IN_FORCE


def test_what_new_settings_take_away_is_told_while_they_are_in_force(installed):
    installed.push(BETTER + "entry: cri-one\nentry: cri-two\n")
    installed.run(310)
    assert installed.status["settings"]["lost"] == []
    installed.push(BETTER + "entry: cri-two\n")
    installed.run(310 + 2 * CHECK_EVERY)
    assert installed.status["settings"]["outcome"] == agent_status.IN_FORCE
    assert installed.status["settings"]["lost"] == ["cri-one"]
    installed.push(BETTER + "entry: cri-one\nentry: cri-two\n")
    installed.run(310)
    assert installed.status["settings"]["lost"] == []


def test_drift_is_repaired_to_the_last_good_settings_while_new_ones_are_poisoned(installed):
    installed.push("poison\n")
    installed.run(310)
    installed.node.at(CONFIG).write_text("somebody else's")
    installed.run(2 * LOOK_EVERY)

    assert installed.node.text(CONFIG) == "match: *.*.cr.aliyuncs.com\n"


def test_the_first_settings_of_a_node_may_be_poisoned_too(tmp_path, clock):
    machine = Machine(tmp_path, clock)
    machine.push("poison\n")
    machine.run(60)
    assert machine.status["state"] == agent_status.FAILED
    assert "poison is not a known field" in machine.status["message"]
    assert machine.node.installs == []
    machine.push(GOOD)
    machine.run(8)

    assert machine.status["state"] == agent_status.READY


def test_settings_that_only_a_newer_plugin_knows_are_taken_once_that_is_installed(installed):
    installed.push(BETTER + "new-field\n")
    installed.run(310)
    assert installed.status["settings"]["outcome"] == agent_status.UNUSABLE
    installed.node.version = "2"
    installed.start()
    installed.run(400 + CHECK_EVERY)

    assert installed.settings == BETTER + "new-field\n"


def test_a_program_is_upgraded_without_a_restart(installed):
    installed.node.version = "2"
    installed.start()
    installed.run(8)

    assert installed.node.text(PROGRAM) == "2"
    assert installed.node.restarts == 1


def test_credentials_arrive_before_the_settings_that_name_them_for_root_alone(machine):
    machine.push(GOOD, id="key-1", secret="canary-1")
    seen = {}
    machine.node.before_install = lambda _: seen.update(
        {n: machine.node.text(f"{CREDENTIALS}/{n}") for n in ("id", "secret")}
    )
    machine.run(8)

    assert seen == {"id": "key-1", "secret": "canary-1"}
    folder = machine.node.at(CREDENTIALS).resolve()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "secret").stat().st_mode & 0o777 == 0o600


def test_both_files_of_a_rotated_key_change_at_one_moment(machine):
    machine.push(GOOD, id="key-1", secret="canary-1")
    machine.run(8)
    before = machine.node.at(CREDENTIALS).resolve()
    machine.push(GOOD, id="key-2", secret="canary-2")
    machine.run(310)

    after = machine.node.at(CREDENTIALS).resolve()
    assert after != before
    assert machine.node.text(f"{CREDENTIALS}/id") == "key-2"
    assert not before.exists()


def test_credentials_that_the_settings_in_force_name_stay_until_those_are_replaced(machine):
    machine.push(GOOD, old="canary-1")
    machine.run(8)
    machine.push("poison\n", new="canary-2")
    machine.run(310)
    assert machine.node.text(f"{CREDENTIALS}/old") == "canary-1"
    machine.push(BETTER, new="canary-2")
    present = []
    machine.node.before_install = lambda _: present.extend(
        sorted(HostFiles(str(machine.node.root)).listed(CREDENTIALS))
    )
    machine.run(310)

    assert present == ["new", "old"]
    assert HostFiles(str(machine.node.root)).listed(CREDENTIALS) == ["new"]


def delete_secret(machine):
    for key in (machine.folder / "credentials").glob("[!.]*"):
        key.unlink()
    machine.push(GOOD)


def keys(machine):
    return HostFiles(str(machine.node.root)).listed(CREDENTIALS)


def test_a_deleted_secret_takes_its_files_from_the_node_and_says_so(machine):
    machine.push(GOOD, id="key-1", secret="canary-1")
    machine.run(8)
    delete_secret(machine)
    machine.run(GONE_FOR - 20)
    assert keys(machine) == ["id", "secret"], "it may be about to be made anew"
    machine.run(CHECK_EVERY + 30)

    assert keys(machine) == []
    assert not list(machine.node.at(CREDENTIALS).parent.glob(".credentials*"))
    assert DROPPED in machine.logged
    assert DROPPED in machine.status["message"]
    assert machine.status["state"] == "ready"
    machine.push(GOOD, id="key-2")
    machine.run(310)
    assert keys(machine) == ["id"]
    assert DROPPED not in machine.status["message"]


def test_a_secret_that_is_made_anew_in_time_costs_nothing(machine):
    machine.push(GOOD, id="key-1")
    machine.run(8)
    for number in range(4):
        delete_secret(machine)
        machine.run(GONE_FOR - 20)
        machine.push(GOOD, id=f"key-{number}")
        machine.run(310)
        assert machine.node.text(f"{CREDENTIALS}/id") == f"key-{number}"
    assert DROPPED not in machine.logged


def test_each_agent_waits_the_whole_time_after_its_start(machine):
    machine.push(GOOD, id="key-1")
    machine.run(8)
    delete_secret(machine)
    for _ in range(4):
        machine.run(GONE_FOR / 2)
        machine.start()
    assert keys(machine) == ["id"]


def unmount(mount):
    for name in mount.iterdir():
        shutil.rmtree(name) if name.is_dir() and not name.is_symlink() else name.unlink()


UNKNOWN = {
    "nothing is mounted yet": unmount,
    "the mount is not there": shutil.rmtree,
    "the link leads nowhere": lambda mount: (unmount(mount), (mount / "..data").symlink_to("..gone")),
    "a file is in its place": lambda mount: (unmount(mount), (mount / "..data").write_text("")),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_a_mount_that_says_nothing_of_the_secret_takes_nothing_away(machine, case):
    machine.push(GOOD, id="key-1")
    machine.run(8)
    UNKNOWN[case](machine.folder / "credentials")
    machine.start()
    machine.run(4 * GONE_FOR)
    assert keys(machine) == ["id"]


FOREIGN = {
    "a folder of an operator's": lambda parent: ((parent / "credentials").unlink(), make(parent / "credentials")),
    "a link of an operator's": lambda parent: (
        (parent / "credentials").unlink(),
        make(parent / "keys"),
        (parent / "credentials").symlink_to("keys"),
    ),
    "a file more in our folder": lambda parent: (parent / "credentials" / "more").write_text("by hand"),
    "a file of ours that was changed": lambda parent: (parent / "credentials" / "id").write_text("by hand"),
}


def make(folder):
    folder.mkdir(mode=0o700)
    (folder / "id").write_text("by hand")


@pytest.mark.parametrize("case", FOREIGN)
def test_what_the_agent_did_not_write_stays(machine, case):
    machine.push(GOOD, id="key-1")
    machine.run(8)
    delete_secret(machine)
    machine.run(8)
    FOREIGN[case](machine.node.at(CREDENTIALS).parent)
    machine.run(4 * GONE_FOR)
    assert "id" in keys(machine)
    assert DROPPED not in machine.logged


def test_an_agent_that_was_killed_while_it_removed_them_goes_on(machine):
    machine.push(GOOD, id="key-1")
    machine.run(8)
    delete_secret(machine)
    machine.node.at(CREDENTIALS).unlink()
    machine.start()
    machine.run(GONE_FOR + CHECK_EVERY + 30)
    assert not list(machine.node.at(CREDENTIALS).parent.glob(".credentials*"))


def test_a_mount_that_holds_too_much_is_told_of_and_nothing_of_it_is_taken(installed):
    installed.push("x" * (1 << 21))
    installed.run(310)

    assert installed.settings == GOOD
    assert installed.status["settings"]["outcome"] == agent_status.UNUSABLE
    assert "1 MiB" in installed.status["settings"]["problems"][0]


def test_what_fails_is_tried_again_less_and_less_often_and_told_once(machine):
    machine.node.failure = ProgramError("the disk is full", remedy="Free some space.")
    machine.run(600)

    assert machine.status["state"] == agent_status.FAILED
    assert (machine.status["message"], machine.status["remedy"]) == ("the disk is full", "Free some space.")
    assert 4 <= machine.status["counts"]["failures"] <= 10
    assert len(machine.said) == 1
    machine.node.failure = None
    machine.run(310)
    assert machine.status["state"] == agent_status.READY


def test_a_node_that_cannot_be_changed_safely_says_so_and_is_not_nagged(machine):
    machine.node.failure = ProgramError("one flag only", remedy="Set both or none.", code=REFUSED)
    machine.run(CHECK_EVERY)

    assert machine.status["state"] == agent_status.REFUSED
    assert machine.status["is_serving"] is False
    assert machine.status["counts"]["failures"] == 1


def test_another_installer_at_work_is_waited_for(machine):
    machine.node.failure = ProgramError("another installer is at work", remedy="Let it end.", code=BUSY)
    machine.run(RETRY_FIRST)
    machine.node.failure = None
    machine.run(RETRY_FIRST + LOOK_EVERY)

    assert machine.status["state"] == agent_status.READY
    assert machine.status["counts"].get("failures", 0) == 0


def test_what_the_kubelet_did_not_live_with_is_not_tried_again_but_repaired_settings_are(installed):
    installed.node.lives_with = lambda config: "images.example.com" not in config
    installed.push(WIDER)
    installed.run(2 * CHECK_EVERY)
    assert installed.status["state"] == agent_status.REJECTED
    assert installed.status["is_serving"] is True
    assert installed.settings == GOOD
    assert installed.node.restarts == 3
    installed.push(BETTER)
    installed.run(310)

    assert installed.status["state"] == agent_status.READY
    assert installed.settings == BETTER


def test_an_agent_whose_image_would_need_the_plugin_refuses_before_anything_changes(tmp_path, clock):
    machine = Machine(tmp_path, clock)
    machine.push(GOOD)
    machine.options = {"own_image": "shop-registry.cn-hangzhou.cr.aliyuncs.com/team/provider:1.0"}
    machine.start()
    machine.run(60)
    assert machine.status["state"] == agent_status.REFUSED
    assert "*.*.cr.aliyuncs.com" in machine.status["message"]
    assert machine.node.installs == []
    machine.options = {"own_image": "registry.example.com/provider:1.0"}
    machine.start()
    machine.run(8)

    assert machine.status["state"] == agent_status.READY


def test_uninstalling_takes_everything_away_once_and_stays_idle(installed):
    installed.push(GOOD, id="canary")
    installed.run(310)
    installed.options = {"uninstall": True}
    installed.start()
    installed.run(CHECK_EVERY * 2)

    assert installed.status["state"] == agent_status.UNINSTALLED
    assert installed.status["is_serving"] is False
    assert not [path for path in (PROGRAM, CONFIG, SETTINGS, CREDENTIALS, FOLDER) if installed.node.at(path).exists()]
    assert not installed.node.at("/etc/aliyun-acr-credential-provider").exists()
    assert installed.node.restarts == 2


def test_a_change_that_was_killed_is_brought_to_its_end_even_if_all_files_look_right(installed):
    installed.node.interrupted = "install"
    installed.start()
    installed.run(LOOK_EVERY)

    assert installed.node.interrupted == ""
    assert "to do: bring an interrupted install to its end" in installed.logged
    assert installed.node.restarts == 1


def test_no_secret_is_in_the_status_or_the_log(machine):
    machine.push(GOOD + "secret: canary-settings\n", key="canary-credential")
    machine.run(8)
    machine.push("poison: canary-settings\n", key="canary-credential-2")
    machine.run(310)

    told = str(machine.status) + str(machine.logged) + str(machine.said) + repr(machine.agent)
    assert "canary" not in told
