"""Install, install again, upgrade, roll back, uninstall: on each kind of node."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from acr_credential_provider.fastpath.lookup import CACHE, TRACE
from acr_credential_provider.files.cache_mark import MARK
from acr_credential_provider.kubelet.process import BIN_DIR_FLAG, CONFIG_FLAG, flag
from acr_node_config.hostfs.host_files import HostFiles
from acr_node_config.install import bundle
from acr_node_config.install.journal import Journal
from acr_node_config.install.requests import InstallRequest
from acr_node_config.install.rollback_guard import Guard
from acr_node_config.install.state import FOLDER, InstallerFolder
from acr_node_config.kubelet_config.provider_entries import NAME, TOKEN_NAME
from acr_node_config.model import steps
from acr_node_config.model.errors import (
    BundleError,
    NodeConfigError,
    NotAsLeftError,
    RefusedError,
    RejectedError,
    ServiceError,
)
from acr_node_config.model.placement import Wanted
from acr_node_config.placement.profiles import place
from support import node_sites
from support.node_world import COVERED, UNIT, StandinService, World, covering, program, request

MORE = covering("*.*.cr.aliyuncs.com", "images.example.com")


@pytest.fixture(params=node_sites.ALL)
def site(request, tmp_path):
    found = node_sites.ALL[request.param](tmp_path)
    assert found.world.start_kubelet() == ""
    return found


@pytest.fixture
def service(site):
    return StandinService(site.world)


@pytest.fixture
def first(tmp_path):
    return program(tmp_path / "first")


@pytest.fixture
def second(tmp_path):
    return program(tmp_path / "second", "0.2.0")


def installed(site, service, first, **options):
    node = site.world.node(service)
    node.install(request(first, site.placement, **options))
    return node


def target(site) -> str:
    return str(site.world.at(f"{site.placement.bin_dir}/{NAME}").resolve())


def test_the_kubelet_restarts_once_and_finds_the_plugin(site, service, first):
    outcome = site.world.node(service).install(request(first, site.placement))

    assert outcome.confirmed
    assert service.restarts == 1
    assert site.world.kept()["pid"]
    assert site.world.faults(site.world.kept()["words"]) == ""
    assert flag(site.world.kept()["words"], CONFIG_FLAG)
    assert "0.1.0" in target(site)


def test_other_providers_and_their_words_stay(site, service, first):
    before = site.world.at(site.shared).read_text() if site.shared and site.world.at(site.shared).exists() else ""

    installed(site, service, first)

    words = before.replace('"', " ").replace("'", " ").split() if before.startswith("#") else []
    after = site.world.at(site.shared).read_text() if words else ""
    assert [word for word in words if word not in after] == []


def test_installing_it_again_writes_nothing_and_restarts_nothing(site, service, first):
    installed(site, service, first)
    before, written = site.world.tree(), []

    node = site.world.node(service, after_each=written.append)
    outcome = node.install(request(first, site.placement))

    assert site.world.tree() == before
    assert (outcome.changed, outcome.restarted, service.restarts) == ((), False, 1)
    assert [each for each in written if FOLDER not in each] == []
    assert node.plan(request(first, site.placement)).missing == ()


def test_a_new_program_alone_needs_no_restart(site, service, first, second):
    node = installed(site, service, first)
    pid = site.world.kept()["pid"]

    outcome = node.install(request(second, site.placement))

    assert "0.2.0" in target(site)
    assert (outcome.restarted, service.restarts, site.world.kept()["pid"]) == (False, 1, pid)
    assert len(list(site.world.at(f"{site.placement.bin_dir}/{bundle.HIDDEN}").iterdir())) == 2


def test_new_patterns_need_one(site, service, first):
    node = installed(site, service, first)

    outcome = node.install(request(first, site.placement, covered=MORE))

    assert (outcome.restarted, service.restarts) == (True, 2)
    assert "images.example.com" in site.world.at(site.placement.config).read_text()


def test_rolling_an_upgrade_back_is_the_version_before(site, service, first, second):
    node = installed(site, service, first)
    before = site.world.tree()
    node.install(request(second, site.placement, covered=MORE))

    node.rollback()

    after = site.world.tree()
    ours = {path for path in {*before, *after} if FOLDER.lstrip("/") in path}
    assert {path: after.get(path) for path in {*after, *before} - ours} == {
        path: before.get(path) for path in {*after, *before} - ours
    }
    assert node.status().installed.version == "0.1.0"
    assert node.status().is_good


def test_after_rolling_back_and_uninstalling_nothing_is_left(site, service, first, second):
    before = site.world.tree()
    node = installed(site, service, first)
    node.install(request(second, site.placement, covered=MORE))
    node.rollback()

    node.uninstall()

    assert site.world.tree() == before


def test_rolling_the_first_installation_back_is_the_node_as_it_was(site, service, first):
    before = site.world.tree()
    node = installed(site, service, first)

    node.rollback()

    after = {path: what for path, what in site.world.tree().items() if not path.startswith(FOLDER.lstrip("/"))}
    assert after == before


def test_uninstalling_leaves_bytes_and_modes_as_they_were(site, service, first, second):
    before = site.world.tree()
    node = installed(site, service, first, settings=b"apiVersion: x\n")
    node.install(request(second, site.placement, covered=MORE, settings=b"apiVersion: y\n"))
    site.world.write(f"{CACHE}/{MARK}", "", 0o600)
    site.world.write(f"{CACHE}/memo/x", "a token", 0o600)

    outcome = node.uninstall()

    assert site.world.tree() == before
    assert outcome.restarted
    assert site.world.faults(site.world.kept()["words"]) == ""


@pytest.mark.parametrize("what", ["another program's", "with our mark, but others can change it"])
def test_a_cache_folder_that_is_not_ours_alone_is_neither_baked_away_nor_uninstalled(site, service, first, what):
    node = installed(site, service, first)
    site.world.write(f"{CACHE}/memo/x", "theirs", 0o600)
    if what.startswith("with"):
        site.world.write(f"{CACHE}/{MARK}", "", 0o600)
        os.chmod(site.world.at(CACHE), 0o777)

    assert f"{CACHE} was not made by this program" in node.forget_cache()[0]
    outcome = node.uninstall()

    assert any("stays as it is" in note for note in outcome.notes)
    assert site.world.at(f"{CACHE}/memo/x").read_text() == "theirs"


def test_a_cache_of_ours_is_baked_away_by_its_mark_or_because_nothing_else_is_in_it(site, service, first):
    node = installed(site, service, first)
    for ours in (MARK, f"memo/{64 * 'a'}.memo"):
        site.world.write(f"{CACHE}/{ours}", "", 0o600)
        os.chmod(site.world.at(CACHE), 0o700)
        assert node.forget_cache() == ()
        assert not site.world.at(CACHE).exists()


def test_uninstalling_after_a_run_that_was_killed_says_what_became_of_that(site, service, first):
    before = site.world.tree()
    node = installed(site, service, first)
    journal = Journal("install", "applied", "key", (), record=node.state.record(), unit=UNIT, restarts=True)
    node.state.write_journal(journal)

    outcome = node.uninstall()

    assert outcome.notes == ("an interrupted install was brought to its end",)
    assert site.world.tree() == before


def test_uninstalling_twice_says_that_nothing_is_there(site, service, first):
    node = installed(site, service, first)
    node.uninstall()

    assert node.uninstall().notes == ("nothing was installed",)


def test_the_kubelets_restart_comes_before_the_program_goes(site, service, first):
    node = installed(site, service, first)
    seen = []
    node = site.world.node(service, after_each=lambda what: seen.append((what, service.restarts)))

    node.uninstall()

    link = f"{site.placement.bin_dir}/{NAME}"
    assert [restarts for what, restarts in seen if what == f"removed {link}"] == [2]


def test_what_an_operator_added_meanwhile_survives_uninstalling(site, service, first):
    if not site.shared:
        pytest.skip("no file is shared here")
    node = installed(site, service, first)
    path = site.world.at(site.shared)
    text = path.read_text()
    if site.placement.flags:
        path.write_text("# by hand\n" + text)
    elif path.suffix == ".json":
        document = json.loads(text)
        document["providers"].append({**node_sites.OTHERS_CONFIG["providers"][0], "name": "gcr"})
        path.write_text(json.dumps(document, indent=2))
        site.world.add_provider(node_sites.EKS, "gcr")
    else:
        path.write_text("# by hand\n" + text)

    node.uninstall()

    left = path.read_text()
    assert ("by hand" in left) or ("gcr" in left)
    assert "aliyun-acr" not in left
    assert site.world.boot() == ""


def test_drift_is_seen_and_repaired(site, service, first):
    node = installed(site, service, first)
    site.world.at(f"{site.placement.bin_dir}/{NAME}").unlink()

    assert node.status().drifted == (f"{site.placement.bin_dir}/{NAME}",)
    outcome = node.install(request(first, site.placement))

    assert (outcome.restarted, node.status().is_good) == (False, True)


def test_a_kubelet_that_does_not_live_with_it_gets_its_files_back(site, service, first):
    before = site.world.tree()
    site.world.refuses = "cr.aliyuncs.com"
    node = site.world.node(service)

    with pytest.raises(RejectedError) as error:
        node.install(request(first, site.placement))

    kept = {path: what for path, what in site.world.tree().items() if not path.startswith(FOLDER.lstrip("/"))}
    assert kept == before
    assert site.world.kept()["pid"]
    assert "crash-loops" in str(error.value)
    assert "All was put back, and it runs again" in str(error.value)


def test_what_was_rejected_is_not_tried_again_unless_it_differs_or_is_asked_for(site, service, first):
    site.world.refuses = "cr.aliyuncs.com"
    node = site.world.node(service)
    with pytest.raises(RejectedError):
        node.install(request(first, site.placement))
    restarts = service.restarts

    with pytest.raises(RejectedError) as error:
        node.install(request(first, site.placement))
    assert service.restarts == restarts
    assert "before" in str(error.value)
    assert len(node.status().rejected) == 1

    site.world.refuses = ""
    assert node.install(request(first, site.placement, retries=True)).confirmed
    assert node.status().rejected == ()


def test_healthz_that_never_comes_is_a_rejection(site, service, first):
    node = site.world.node(service)
    host = node.host

    class Sick(node.system.kubelet_type):
        def is_healthy(self):
            return service.restarts != 1

    node.system.kubelet_type = Sick
    with pytest.raises(RejectedError, match="healthz"):
        node.install(request(first, site.placement))
    assert host.stat(f"{site.placement.bin_dir}/{NAME}").is_absent


def test_a_kubelet_that_does_not_run_is_not_touched(site, service, first):
    site.world.keep(site.world.kept() | {"pid": 0, "crashes": True})
    before = site.world.tree()

    with pytest.raises(RefusedError, match="does not run"):
        site.world.node(service).install(request(first, site.placement))

    assert {path: what for path, what in site.world.tree().items() if FOLDER.lstrip("/") not in path} == before


def test_a_program_that_does_not_run_here_changes_nothing_but_is_remembered(site, service, first):
    def tried(_tree):
        raise BundleError("the program does not run", remedy="Compare its checksum.")

    before = site.world.tree()
    node = site.world.node(service, tried=tried)

    with pytest.raises(BundleError):
        node.install(request(first, site.placement))

    assert {path: what for path, what in site.world.tree().items() if FOLDER.lstrip("/") not in path} == before
    assert service.restarts == 0
    assert len(node.status().rejected) == 1


def test_an_operator_who_edits_the_same_file_meanwhile_wins(site, service, first):
    if not site.shared or not site.world.at(site.shared).exists():
        pytest.skip("no file is shared here")
    path = site.world.at(site.shared)

    def edit(_tree):
        path.write_text("# by hand\n" + path.read_text())

    with pytest.raises(NotAsLeftError):
        site.world.node(service, tried=edit).install(request(first, site.placement))

    assert path.read_text().startswith("# by hand\n")
    assert "aliyun-acr" not in path.read_text()
    assert service.restarts == 0
    if path.suffix != ".json":
        assert site.world.node(service).install(request(first, site.placement)).confirmed
        assert path.read_text().startswith("# by hand\n")


@pytest.mark.parametrize("word", ["reload", "start"])
def test_without_dbus_nothing_is_changed(site, service, first, word):
    before = site.world.tree()
    service.fails_on = {word}

    with pytest.raises(ServiceError):
        site.world.node(service).install(request(first, site.placement))

    assert {path: what for path, what in site.world.tree().items() if FOLDER.lstrip("/") not in path} == before


def test_an_installation_without_a_service_manager_is_confirmed_later(site, first):
    baked = site.world.node(None)
    baked.install(request(first, site.placement))
    assert not baked.status().installed.confirmed
    assert site.world.boot() == ""
    service = StandinService(site.world)

    outcome = site.world.node(service).install(request(first, site.placement))

    assert (outcome.confirmed, service.restarts) == (True, 0)


def test_what_nobody_restarted_for_is_restarted_for_later(site, first):
    site.world.node(None).install(request(first, site.placement))
    service = StandinService(site.world)
    node = site.world.node(service)
    mark = node.system.kubelet(site.placement).start_id()
    record = node.state.record()
    node.state.host.apply(steps.MakeFolder(FOLDER, 0o700, is_ours=True))
    node.state.write_record(replace(record, installed=replace(record.installed, applied_under=mark)))

    outcome = node.install(request(first, site.placement))

    assert (outcome.confirmed, service.restarts) == (True, 1)


def test_a_baked_node_whose_kubelet_crashes_is_left_to_its_operator_who_can_uninstall(site, first):
    before = site.world.tree()
    site.world.node(None).install(request(first, site.placement))
    site.world.refuses = "cr.aliyuncs.com"
    assert site.world.boot()
    service = StandinService(site.world)
    node = site.world.node(service)

    with pytest.raises(RefusedError, match="does not run"):
        node.install(request(first, site.placement))
    node.uninstall()

    assert site.world.tree() == before
    assert site.world.kept()["pid"]


def test_the_guard_is_there_while_the_kubelet_restarts_and_gone_afterwards(site, service, first):
    seen = []

    class Watching(StandinService):
        def restart(self, unit):
            guard = Guard(HostFiles(str(site.world.root)), FOLDER, None)
            seen.append((guard.is_armed, InstallerFolder(HostFiles(str(site.world.root))).journal().phase))
            super().restart(unit)

    node = site.world.node(Watching(site.world))
    node.install(request(first, site.placement))

    assert seen == [(True, "applied")]
    assert not node.guard.is_armed
    assert not site.world.at(f"{FOLDER}/guard").exists()


def test_old_programs_go_once_nothing_needs_them(site, service, first, second, tmp_path):
    node = installed(site, service, first)
    node.install(request(second, site.placement))
    node.install(request(program(tmp_path / "third", "0.3.0"), site.placement))

    names = sorted(path.name[:5] for path in site.world.at(f"{site.placement.bin_dir}/{bundle.HIDDEN}").iterdir())
    assert names == ["0.2.0", "0.3.0"]


def test_a_program_that_a_process_has_mapped_stays(site, service, first, second, tmp_path):
    node = installed(site, service, first)
    tree = node.status().installed.tree
    site.world.write("/proc/4711/maps", f"7f00-7f01 r-xp 00000000 00:00 1 {tree}/{NAME}\n")
    node.install(request(second, site.placement))
    node.install(request(program(tmp_path / "third", "0.3.0"), site.placement))

    assert site.world.at(tree).is_dir()


def test_a_program_stays_while_it_cannot_be_seen_what_processes_have_mapped(site, service, first, second, tmp_path):
    node = installed(site, service, first)
    tree = node.status().installed.tree
    site.world.at("/proc/4711/maps").mkdir(parents=True)  # root itself is refused no file of ours
    node.install(request(second, site.placement))
    node.install(request(program(tmp_path / "third", "0.3.0"), site.placement))

    assert site.world.at(tree).is_dir()


def test_pods_own_identities_are_a_provider_of_their_own_and_only_where_kubelets_know_them(site, service, first):
    covered = covering("*.*.cr.aliyuncs.com", tokens=("images.example.com",))
    node = installed(site, service, first, covered=covered)
    token = site.world.at(f"{site.placement.bin_dir}/{TOKEN_NAME}")
    assert token.is_symlink()
    assert TOKEN_NAME in site.world.at(site.placement.config).read_text()

    node.install(request(first, site.placement))

    assert not token.is_symlink()
    assert TOKEN_NAME not in site.world.at(site.placement.config).read_text()


def test_a_kubelet_before_1_34_is_spared_them(site, service, first):
    site.world.version = (1, 33)
    if site.placement.is_directory:
        pytest.skip("kubelets before 1.34 read no folders")
    installed(site, service, first, covered=covering("*.*.cr.aliyuncs.com", tokens=("images.example.com",)))

    assert TOKEN_NAME not in site.world.at(site.placement.config).read_text()
    assert site.world.boot() == ""


def test_a_kubelet_upgraded_in_place_gets_what_it_then_knows(site, service, first):
    if site.placement.is_directory:
        pytest.skip("kubelets before 1.34 read no folders")
    site.world.version = (1, 33)
    covered = covering("*.*.cr.aliyuncs.com", tokens=("images.example.com",))
    node = installed(site, service, first, covered=covered)
    for version in ((1, 34), (1, 35), (1, 36)):
        site.world.version = version
        assert site.world.boot() == ""
        node.install(request(first, site.placement, covered=covered))
        assert TOKEN_NAME in site.world.at(site.placement.config).read_text()
        assert site.world.boot() == ""
    assert service.restarts == 2


def test_a_config_the_kubelet_would_refuse_is_never_written(site, service, first):
    before = site.world.tree()
    with pytest.raises(RefusedError) as error:
        site.world.node(service).install(request(first, site.placement, covered=covering("a b%zz")))
    assert "would not start" in str(error.value)
    assert {path: what for path, what in site.world.tree().items() if FOLDER.lstrip("/") not in path} == before


@pytest.mark.parametrize("lone", [CONFIG_FLAG, BIN_DIR_FLAG])
def test_one_flag_alone_is_refused_and_nothing_is_changed(tmp_path, first, lone):
    world = World(tmp_path, base=("/usr/bin/kubelet", f"--{lone}=/opt"))
    before = world.tree()
    wanted = InstallRequest(first, COVERED, lambda facts: place(facts, "auto", Wanted()))

    with pytest.raises(RefusedError, match=lone):
        world.node(StandinService(world)).install(wanted)

    assert {path: what for path, what in world.tree().items() if FOLDER.lstrip("/") not in path} == before


def test_verify_finds_what_others_could_change(site, service, first):
    node = installed(site, service, first)
    assert node.verify() == []

    site.world.at(site.placement.bin_dir).chmod(0o777)

    assert any("others than root" in problem for problem in node.verify())


@pytest.mark.parametrize(
    "change", [lambda file: file.chmod(0o666), lambda file: file.write_text("changed")], ids=["mode", "bytes"]
)
def test_verify_runs_no_program_beside_which_a_file_was_changed(site, service, first, change):
    tried = []
    node = installed(site, service, first)
    (file,) = site.world.at(site.placement.bin_dir).rglob("lib/data")
    change(file)

    (problem,) = site.world.node(service, tried=tried.append).verify()

    assert "is not as it was installed" in problem
    assert tried == []
    node.install(request(first, site.placement))
    assert node.verify() == []


def test_a_record_that_is_not_ours_is_told_and_nothing_is_touched(site, service, first):
    node = installed(site, service, first)
    site.world.at(f"{FOLDER}/record.json").write_text("{")
    before = site.world.tree()

    with pytest.raises(NodeConfigError, match=r"record\.json"):
        node.install(request(first, site.placement))

    assert site.world.tree() == before


def test_where_others_give_the_kubelet_its_flags_it_is_confirmed_once_it_has_them(site, first):
    placement = replace(site.placement, unit="", flags=None)
    node = site.world.node(None)
    node.install(request(first, placement, mode="files-only"))
    had = bool(flag(site.world.kept()["words"], CONFIG_FLAG))
    assert node.status().installed.confirmed is had

    values = placement.flag_values.items()
    site.world.base += tuple(f"--{name}={value}" for name, value in values)
    assert site.world.boot() == ""

    assert node.status().installed.confirmed
    node.uninstall()


def test_the_unit_is_the_one_that_was_asked_for(site, service, first):
    installed(site, service, first)
    assert {word for word in service.asked if word.startswith("restart")} == {f"restart {UNIT}"}


def test_status_tells_of_the_kubelets_first_call_and_an_uninstalled_plugin_has_none(site, service, first):
    """Also where the cache was there before, and so stays."""
    trace = site.world.at(f"{CACHE}/{TRACE}")
    trace.parent.mkdir(parents=True)
    for folder in (trace.parent, trace.parent.parent):
        folder.chmod(0o700)
    node = site.world.node(service)
    node.install(request(first, site.placement))
    assert node.status().to_dict()["firstCall"] == ""

    trace.touch(0o600)
    os.utime(trace, (1764583200, 1764583200))
    told = node.status().to_dict()
    assert (told["firstCall"], told["isCalled"]) == ("2025-12-01T10:00:00Z", True)

    node.uninstall()
    assert trace.parent.exists()
    assert not trace.exists()
    assert node.status().first_call == 0.0
