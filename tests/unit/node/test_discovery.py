"""A node is found as it is: against a folder that looks like one, with a /proc of its own."""

import os
from dataclasses import replace

import pytest
from acr_credential_provider.model.errors import ConfigurationError
from acr_node_config.discovery.discovery import _runner
from acr_node_config.discovery.unit_files import UnitText
from acr_node_config.hostfs.host_reader import HostReader
from acr_node_config.model.facts import ACK_ARGUMENTS, Folder
from acr_node_config.placement.profiles import EnvironmentFlags, Placement, Refusal, Wanted, place
from support.kubelet_configs import YAML
from support.node_tree import DROP_IN, DROP_IN_PATH, KUBEADM, Tree


@pytest.fixture
def world(tmp_path):
    return Tree(tmp_path)


@pytest.fixture
def debian(world):
    world.write("/etc/os-release", 'ID=debian\nVERSION_ID="12"\nID_LIKE="x y"\n')
    world.write("/usr/lib/systemd/system/kubelet.service", KUBEADM).write(DROP_IN_PATH, DROP_IN)
    world.write("/var/lib/kubelet/kubeadm-flags.env", 'KUBELET_KUBEADM_ARGS="--a=b"\n')
    return world.program("/usr/bin/kubelet")


def test_a_node_of_kubeadm(debian):
    debian.process(70, "/usr/bin/kubelet", "--config=/var/lib/kubelet/config.yaml", "--a=b")
    debian.write("/etc/default/kubelet", "KUBELET_EXTRA_ARGS=--v=2\n", 0o600)
    (debian.folder / "run/systemd/system").mkdir(parents=True)
    facts = debian.look()
    assert facts.system.name == "debian"
    assert (facts.kubelet.pid, facts.kubelet.program, facts.kubelet.unit) == (70, "/usr/bin/kubelet", "kubelet.service")
    assert facts.kubelet.arguments[-1] == "--a=b"
    assert facts.version == (1, 34)
    assert debian.asked == [("/usr/bin/kubelet", "--version")]
    assert facts.unit.words() == ["/usr/bin/kubelet", "--config=/var/lib/kubelet/config.yaml", "--a=b", "--v=2"]
    assert [(each.path, each.is_optional) for each in facts.unit.environment_files] == [
        ("/var/lib/kubelet/kubeadm-flags.env", True),
        ("/etc/default/kubelet", True),
    ]
    assert facts.unit.environment_files[1].file.mode == 0o600
    assert not facts.is_user_namespaced
    assert facts.given == ("", "")
    assert facts.config is None
    placement = place(facts, "auto", Wanted())
    assert isinstance(placement, Placement), placement
    assert placement.flags == EnvironmentFlags("/etc/default/kubelet", "KUBELET_EXTRA_ARGS")


def test_a_kubelet_that_left_its_units_cgroup_is_of_that_unit(debian):
    debian.process(70, "/usr/bin/kubelet", "--kubelet-cgroups=/kubelet.slice", unit="kubelet.slice")
    assert debian.look().unit.name == "kubelet.service"
    os.unlink(debian.folder / "usr/lib/systemd/system/kubelet.service")
    assert debian.look().unit is None


def test_systemd_is_believed_before_its_files(debian):
    debian.process(70, "/usr/bin/kubelet")
    debian.write("/etc/sysconfig/kubelet", "KUBELET_EXTRA_ARGS=\n")
    asked = []

    def ask(unit):
        asked.append(unit)
        return UnitText(
            command=("/usr/bin/kubelet", "$KUBELET_EXTRA_ARGS"),
            environment=("A=b=c",),
            files=(("/etc/sysconfig/kubelet", False),),
        )

    facts = debian.look(ask_unit=ask)
    assert asked == ["kubelet.service"]
    assert facts.unit.environment == {"A": "b=c"}
    assert place(facts, "auto", Wanted()).profile == "kubeadm-rpm"


def test_where_systemd_does_not_answer_its_files_do(debian):
    def ask(_unit):
        raise ConfigurationError("no bus", remedy="none")

    debian.process(70, "/usr/bin/kubelet")
    assert place(debian.look(ask_unit=ask), "auto", Wanted()).profile == "kubeadm-deb"


def test_a_configuration_of_others_is_read_with_its_programs(debian):
    debian.process(
        70,
        "/usr/bin/kubelet",
        "--image-credential-provider-config=/old",
        "--image-credential-provider-bin-dir=/etc/eks/bin",
        "--image-credential-provider-config",
        "/etc/eks/config.yaml",
    )
    debian.write("/etc/eks/config.yaml", YAML, 0o640).program("/etc/eks/bin/a").write("/etc/eks/bin/README", "")
    debian.link("/etc/eks/bin/linked", "/etc/eks/bin/a").link("/etc/eks/bin/dangling", "/nowhere")
    facts = debian.look()
    assert (facts.config.path, facts.config.is_directory) == ("/etc/eks/config.yaml", False)
    assert facts.config.files[0].content == YAML.encode()
    assert facts.config.files[0].mode == 0o640
    assert facts.executables == {"a", "linked"}
    assert place(facts, "auto", Wanted()).profile == "eks"


def test_behind_a_symlink_the_file_itself_is_changed_and_the_flag_stays_as_it_is(debian):
    flags = "--image-credential-provider-config=/etc/p.yaml", "--image-credential-provider-bin-dir=/opt/p"
    debian.process(70, "/usr/bin/kubelet", *flags).program("/opt/p/a")
    debian.write("/srv/real.yaml", YAML).link("/etc/p.yaml", "/srv/real.yaml")
    placement = place(debian.look(), "auto", Wanted())
    assert placement.config == "/srv/real.yaml"
    assert placement.flag_values == {
        "image-credential-provider-config": "/etc/p.yaml",
        "image-credential-provider-bin-dir": "/opt/p",
    }


def test_an_environment_file_behind_a_symlink_keeps_its_symlink(debian):
    debian.process(70, "/usr/bin/kubelet")
    debian.write("/etc/sysconfig/kubelet", "KUBELET_EXTRA_ARGS=--v=2\n").link(
        "/etc/default/kubelet", "../sysconfig/kubelet"
    )
    assert place(debian.look(), "auto", Wanted()).flags.path == "/etc/sysconfig/kubelet"


def test_a_folder_given_with_a_slash_is_the_same_folder(debian):
    flags = "--image-credential-provider-config=/etc/p.d/", "--image-credential-provider-bin-dir=/opt/p"
    debian.process(70, "/usr/bin/kubelet", *flags).write("/etc/p.d/a.yaml", YAML).program("/opt/p/a")
    placement = place(debian.look(), "auto", Wanted())
    assert placement.config == "/etc/p.d/50-aliyun-acr-credential-provider.yaml"
    assert placement.flag_values["image-credential-provider-config"] == "/etc/p.d"


def test_a_configmap_mounted_as_folder_is_read_by_the_names_there(debian):
    flags = "--image-credential-provider-config=/etc/p.d", "--image-credential-provider-bin-dir=/opt/p"
    debian.process(70, "/usr/bin/kubelet", *flags).program("/opt/p/a")
    debian.write("/etc/p.d/..2026/data", YAML).link("/etc/p.d/a.yaml", "..2026/data")
    (file,) = debian.look().config.files
    assert (file.path, file.content) == ("/etc/p.d/a.yaml", YAML.encode())


def test_of_a_folder_of_configurations_the_kubelets_files_are_read(debian):
    flags = "--image-credential-provider-config=/etc/p.d", "--image-credential-provider-bin-dir=/opt/p"
    debian.process(70, "/usr/bin/kubelet", *flags).program("/opt/p/a")
    debian.write("/etc/p.d/b.yaml", YAML).write("/etc/p.d/a.json", "{}").write("/etc/p.d/c.bak", "")
    (debian.folder / "etc/p.d/d.yaml").mkdir()
    facts = debian.look()
    assert facts.config.is_directory
    assert [each.path for each in facts.config.files] == ["/etc/p.d/a.json", "/etc/p.d/b.yaml"]


def test_k3s_is_its_own_kubelet(world):
    world.write("/etc/systemd/system/k3s-agent.service", "[Service]\nExecStart=/usr/local/bin/k3s agent\n")
    world.program("/usr/local/bin/k3s").write("/etc/rancher/k3s/config.yaml", "token: x\n")
    world.write("/etc/rancher/k3s/config.yaml.d/b.yaml", "a: 1\n").write("/etc/rancher/k3s/config.yaml.d/n.txt", "")
    world.process(9, "/usr/local/bin/k3s agent", exe="/usr/local/bin/k3s", unit="k3s-agent.service")
    facts = world.look()
    assert (facts.rancher.name, facts.rancher.unit) == ("k3s", "k3s-agent.service")
    assert [each.path for each in facts.rancher.files] == [
        "/etc/rancher/k3s/config.yaml",
        "/etc/rancher/k3s/config.yaml.d/b.yaml",
    ]
    assert facts.version == (1, 33)
    placement = place(facts, "auto", Wanted())
    assert (placement.profile, placement.unit) == ("k3s", "k3s-agent.service")
    base = "/var/lib/rancher/credentialprovider"
    world.write(f"{base}/config.yaml", YAML).program(f"{base}/bin/a")
    facts = world.look()
    assert facts.given == (f"{base}/config.yaml", f"{base}/bin")
    assert facts.config.path == f"{base}/config.yaml"
    assert not place(facts, "auto", Wanted()).is_config_ours


def test_the_kubelet_of_rke2_belongs_to_it(world):
    world.write(
        "/usr/local/lib/systemd/system/rke2-server.service", "[Service]\nExecStart=/usr/local/bin/rke2 server\n"
    )
    world.process(9, "/usr/local/bin/rke2 server", exe="/usr/local/bin/rke2", unit="rke2-server.service")
    world.process(10, "kubelet", "--v=2", exe="/var/lib/rancher/rke2/bin/kubelet", unit="rke2-server.service", parent=9)
    world.program("/var/lib/rancher/rke2/bin/kubelet")
    facts = world.look()
    assert (facts.rancher.name, facts.rancher.unit, facts.version) == ("rke2", "rke2-server.service", (1, 34))


def test_no_secret_of_the_node_is_in_what_facts_look_like_in_a_log(world):
    world.write("/etc/systemd/system/k3s.service", "[Service]\nExecStart=/usr/local/bin/k3s server --token=CANARY\n")
    world.write("/etc/rancher/k3s/config.yaml", "token: CANARY\n")
    world.process(9, "/usr/local/bin/k3s", "server", "--token=CANARY", exe="/usr/local/bin/k3s", unit="k3s.service")
    world.write("/etc/default/kubelet", "A=CANARY\n")
    facts = world.look()
    assert facts.rancher.files[0].content == b"token: CANARY\n"
    assert "CANARY" not in repr(facts)
    assert "CANARY" not in repr(place(facts, "auto", Wanted()))


def test_an_image_has_no_process_of_this_machine(debian):
    debian.process(70, "/usr/bin/kubelet", "--image-credential-provider-config=/x")
    facts = debian.look(is_image=True)
    assert facts.kubelet is None
    assert facts.version == (1, 34)
    assert place(facts, "auto", Wanted()).unit == ""


def test_ack_is_known_by_its_file(debian):
    debian.process(70, "/usr/bin/kubelet").write(ACK_ARGUMENTS, 'KUBELET_CUSTOMIZED_ARGS=""\n')
    facts = debian.look()
    assert facts.ack_arguments.content == b'KUBELET_CUSTOMIZED_ARGS=""\n'
    assert place(facts, "auto", Wanted()).profile == "ack"


def test_openshift_is_known_by_its_release_and_by_its_daemon(world):
    assert not world.look().system.is_openshift
    world.write("/usr/lib/os-release", "ID=rhel\nVARIANT_ID=coreos\nOPENSHIFT_VERSION=4.19\n")
    assert world.look().system.is_openshift
    world.write("/etc/os-release", "ID=rhel\n")
    assert not world.look().system.is_openshift
    (world.folder / "etc/machine-config-daemon").mkdir()
    assert world.look().system.is_openshift


def test_two_kubelets_are_refused(debian):
    debian.process(70, "/usr/bin/kubelet").process(71, "/usr/bin/kubelet")
    with pytest.raises(ConfigurationError, match="more than one kubelet"):
        debian.look()


def test_a_node_without_anything_is_no_error(world):
    facts = world.look()
    assert (facts.kubelet, facts.unit, facts.rancher, facts.version) == (None, None, None, None)
    assert "no kubelet runs" in place(facts, "auto", Wanted()).reason


def test_the_kubelet_on_the_disk_is_asked_not_the_one_that_still_runs(debian):
    debian.process(70, "/usr/bin/kubelet", exe="/usr/bin/kubelet (deleted)")
    assert debian.look().kubelet.program == "/usr/bin/kubelet"


def test_no_symlink_of_the_node_leads_out_of_it(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("ours")
    world = Tree(tmp_path / "node")
    world.write("/inside/secret", "the node's")
    world.link("/absolute", str(outside / "secret")).link("/up", "../../../outside/secret").link("/loop", "/loop")
    world.link("/etc/good", "../inside/secret").link("/folder", "/inside").link("/deep/up", "../inside").link(
        "/deep/far", "../../inside"
    )
    tree = HostReader(str(world.folder))
    assert tree.read("/absolute") is None
    assert tree.read("/up") is None
    assert tree.read("/../outside/secret") is None
    assert tree.read("/loop") is None
    assert tree.read("/deep/far/secret") is None  # a chroot would let it end at the root
    for path in ("/etc/good", "/folder/secret", "/deep/up/secret", "/deep/../inside/secret", "//etc/./good"):
        assert tree.read(path).content == b"the node's"
    assert tree.listed("/folder") == ["secret"]
    assert tree.listed("/none") == []


def test_what_is_no_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert HostReader(str(tmp_path)).read("/pipe") is None  # and nobody waits for its other end
    assert HostReader(str(tmp_path)).read("/") is None


def test_a_folder_that_is_not_there_is_as_the_one_above_it(tmp_path):
    (tmp_path / "etc").mkdir()
    assert HostReader(str(tmp_path)).folder("/etc/a/b") == HostReader(str(tmp_path)).folder("/etc")
    assert HostReader("/").folder("/proc/self/nothing").is_executable is bool(
        not os.statvfs("/proc").f_flag & os.ST_NOEXEC
    )
    assert HostReader("/nowhere").folder("/etc") == Folder(is_writable=False, is_executable=False)


def test_a_program_that_hangs_or_is_not_there_says_nothing():
    run = _runner("/")
    assert run(["/bin/echo", "Kubernetes v1.34.1"]) == "Kubernetes v1.34.1\n"
    assert run(["/no/such/program"]) == ""


ECR = "--image-credential-provider-config=/etc/ecr/config.yaml", "--image-credential-provider-bin-dir=/etc/ecr"


def behind_script(world, *flags, unit="kubelet.service", parent=1):
    """A script of the kubelet's unit, which adds flags to those that it is given."""
    world.write("/usr/local/bin/start", '#!/bin/sh\n/usr/bin/kubelet --node-labels=a=b "$@"\n', 0o755)
    world.write(DROP_IN_PATH, DROP_IN.replace("ExecStart=/usr/bin/kubelet", "ExecStart=/usr/local/bin/start"))
    world.process(70, "/bin/sh", "/usr/local/bin/start", exe="/usr/bin/dash", unit=unit, parent=parent)
    world.process(71, "/usr/bin/kubelet", "--node-labels=a=b", *flags, unit=unit, parent=70)
    return world.write("/proc/71/status", "PPid:\t70\nUid:\t0\t0\t0\t0\n")


def test_a_kubelet_behind_a_script_is_found_and_its_providers_are_joined(debian):
    behind_script(debian, *ECR).write("/etc/ecr/config.yaml", YAML).program("/etc/ecr/a")
    facts = debian.look()
    assert (facts.kubelet.pid, facts.kubelet.unit, facts.unit.name) == (71, "kubelet.service", "kubelet.service")
    placement = place(facts, "auto", Wanted())
    assert isinstance(placement, Placement), placement
    assert (placement.config, placement.bin_dir, placement.flags) == ("/etc/ecr/config.yaml", "/etc/ecr", None)


def test_a_script_that_only_adds_other_flags_passes_ours_on(debian):
    placement = place(behind_script(debian).look(), "auto", Wanted())
    assert placement.flags == EnvironmentFlags("/etc/default/kubelet", "KUBELET_EXTRA_ARGS")


@pytest.mark.parametrize(
    ("unit", "parent"), [("kubelet.service", 5), ("runner.service", 1)], ids=["of a node in a container", "of a test"]
)
def test_a_kubelet_of_something_else_is_not_this_nodes(debian, unit, parent):
    behind_script(debian, unit=unit, parent=parent).write("/proc/5/status", "PPid:\t4\n")
    assert debian.look().kubelet is None


def test_a_script_that_names_providers_is_refused_while_nothing_shows_what_it_runs(debian):
    script = f'#!/bin/sh\n/usr/bin/kubelet {" ".join(ECR)} "$@"\n'
    debian.write("/usr/local/bin/start", script, 0o755)
    debian.write(DROP_IN_PATH, DROP_IN.replace("ExecStart=/usr/bin/kubelet", "ExecStart=/usr/local/bin/start"))
    refusal = place(debian.look(is_image=True), "auto", Wanted())
    assert isinstance(refusal, Refusal), refusal
    assert "/usr/local/bin/start" in refusal.reason
    assert "Start the kubelet" in refusal.remedy


PATTERN = DROP_IN.replace("-/etc/default/kubelet", "-/etc/kubernetes/kubelet.d/*.env")


@pytest.mark.parametrize("more", ["", "EnvironmentFile=-/etc/default/kubelet\n"], ids=["alone", "before another file"])
def test_of_files_that_a_pattern_matches_the_last_that_sets_the_variable_is_changed(debian, more):
    debian.process(70, "/usr/bin/kubelet").write(DROP_IN_PATH, PATTERN + more)
    folder = "/etc/kubernetes/kubelet.d"
    debian.write(f"{folder}/10-a.env", "KUBELET_EXTRA_ARGS=--node-ip=192.0.2.1\n")
    debian.write(f"{folder}/20-b.env", "KUBELET_EXTRA_ARGS=--v=2\n").write(f"{folder}/30-c.env", "OTHER=x\n")
    debian.write(f"{folder}/.40-hidden.env", "KUBELET_EXTRA_ARGS=--hidden\n")
    facts = debian.look()
    assert facts.unit.value("KUBELET_EXTRA_ARGS") == "--v=2"
    assert place(facts, "auto", Wanted()).flags == EnvironmentFlags(f"{folder}/20-b.env", "KUBELET_EXTRA_ARGS")


def test_a_pattern_that_matches_nothing_is_no_file_to_change(debian):
    debian.process(70, "/usr/bin/kubelet").write(DROP_IN_PATH, PATTERN)
    assert "left to the operator" in place(debian.look(), "auto", Wanted()).reason


UNTOLD = {
    "a specifier of the machine": ("EnvironmentFile=-/etc/default/%H", "/etc/default/%H"),
    "a folder": ("EnvironmentFile=-/etc/kubernetes", "/etc/kubernetes"),
    "a file that has to be there": ("EnvironmentFile=/etc/gone.env", "/etc/gone.env"),
    "a quote that stays open": ("EnvironmentFile=/etc/open.env", "/etc/open.env"),
    "taken away again": ("UnsetEnvironment=KUBELET_EXTRA_ARGS", "UnsetEnvironment"),
    "taken away by value": ('UnsetEnvironment="KUBELET_EXTRA_ARGS=a b"', "UnsetEnvironment"),
    "passed from systemd": ("PassEnvironment=KUBELET_EXTRA_ARGS", "PassEnvironment"),
    "several in one setting": ('Environment=A=1 "KUBELET_EXTRA_ARGS=--node-ip=192.0.2.1 --v=2" B=2', "Environment="),
    "escaped spaces": ("Environment=KUBELET_EXTRA_ARGS=--a\\x20--b", "Environment="),
}


@pytest.mark.parametrize(("setting", "word"), UNTOLD.values(), ids=UNTOLD)
def test_where_it_cannot_be_told_what_the_variable_is_nothing_is_changed(debian, setting, word):
    debian.process(70, "/usr/bin/kubelet").write(DROP_IN_PATH, f"{DROP_IN}{setting}\n")
    debian.write("/etc/kubernetes/x", "").write("/etc/open.env", "KUBELET_EXTRA_ARGS='--v=2\n")
    refusal = place(debian.look(), "auto", Wanted())
    assert isinstance(refusal, Refusal), refusal
    assert word in refusal.reason
    assert refusal.remedy


def test_a_file_that_an_image_gets_at_its_first_boot_does_not_matter(debian):
    debian.write(DROP_IN_PATH, f"{DROP_IN}EnvironmentFile=/run/metadata/afterburn\n")
    assert isinstance(place(debian.look(is_image=True), "auto", Wanted()), Placement)
    debian.process(70, "/usr/bin/kubelet")
    assert "/run/metadata/afterburn" in place(debian.look(), "auto", Wanted()).reason


def test_a_source_before_the_file_that_holds_does_not_matter(debian):
    debian.process(70, "/usr/bin/kubelet")
    debian.write(DROP_IN_PATH, DROP_IN.replace("-/var/lib/kubelet/kubeadm-flags.env", "-/etc/default/%H"))
    debian.write("/etc/default/kubelet", "KUBELET_EXTRA_ARGS=--v=2\n")
    assert place(debian.look(), "auto", Wanted()).flags.path == "/etc/default/kubelet"


def test_a_drop_in_that_resets_the_command_decides(debian):
    debian.process(70, "/usr/bin/kubelet")
    debian.write(DROP_IN_PATH.replace("10-", "90-"), "[Service]\nExecStart=\nExecStart=/usr/bin/kubelet --v=2\n")
    assert "no variable" in place(debian.look(), "auto", Wanted()).reason


def test_flags_that_the_kubelet_has_from_nowhere_are_not_overridden(debian):
    debian.process(70, "/usr/bin/kubelet", "--token=CANARY", "--v=2")
    debian.write("/proc/70/environ", "A=1\0KUBELET_EXTRA_ARGS=--token=CANARY --v=2\0")
    debian.write("/etc/default/kubelet", "KUBELET_EXTRA_ARGS=--v=2\n")
    refusal = place(debian.look(), "auto", Wanted())
    assert isinstance(refusal, Refusal), refusal
    assert "--token" in refusal.reason
    assert "--v" not in refusal.reason
    assert "CANARY" not in f"{refusal} {debian.look()}"

    debian.write("/etc/default/kubelet", 'KUBELET_EXTRA_ARGS="--v=2 --token=CANARY"\n')
    assert isinstance(place(debian.look(), "auto", Wanted()), Placement)


def with_variable_of_systemd(debian, value):
    facts = debian.look()
    return replace(facts, unit=replace(facts.unit, inherited={"A": "--a", "KUBELET_EXTRA_ARGS": value}))


@pytest.mark.parametrize("environment", ["", "KUBELET_EXTRA_ARGS=--token=CANARY --v=2\0", None])
def test_flags_that_systemd_has_of_its_own_are_not_overridden(debian, environment):
    """Whether the kubelet runs with them already, gets them at its next start, or is stopped."""
    debian.write(DROP_IN_PATH, DROP_IN)
    if environment is not None:
        debian.process(70, "/usr/bin/kubelet", "--token=CANARY", "--v=2").write("/proc/70/environ", environment)
    refusal = place(with_variable_of_systemd(debian, "--token=CANARY --v=2"), "auto", Wanted())
    assert isinstance(refusal, Refusal), refusal
    assert "set-environment" in refusal.reason
    assert "--token, --v" in refusal.reason
    assert "CANARY" not in str(refusal)


def test_a_variable_of_systemd_without_flags_or_that_a_file_sets_does_not_matter(debian):
    debian.write(DROP_IN_PATH, DROP_IN).process(70, "/usr/bin/kubelet")
    assert isinstance(place(with_variable_of_systemd(debian, ""), "auto", Wanted()), Placement)
    debian.write("/etc/default/kubelet", "KUBELET_EXTRA_ARGS=--v=3\n")
    assert isinstance(place(with_variable_of_systemd(debian, "--v=2"), "auto", Wanted()), Placement)


@pytest.mark.parametrize("profile", ["", "ack"])
def test_a_running_kubelets_flags_of_systemds_own_are_not_taken_for_the_units(debian, profile):
    """Also where ACK's file may be read by something else than the unit."""
    variable = "KUBELET_CUSTOMIZED_ARGS" if profile else "KUBELET_EXTRA_ARGS"
    debian.write(DROP_IN_PATH, DROP_IN).process(70, "/usr/bin/kubelet", "--v=2")
    debian.write("/proc/70/environ", f"{variable}=--v=2\0")
    facts = debian.look()
    facts = replace(facts, unit=replace(facts.unit, inherited={variable: "--v=2"}))
    refusal = place(facts, "auto", Wanted(profile=profile))
    assert isinstance(refusal, Refusal), refusal
    assert "--v" in refusal.reason


JOINED = "/x/c.yaml", "/x/bin"
IN_KUBELET_ARG = """\
kubelet-arg:
- v=2
- image-credential-provider-config=/x/c.yaml
- image-credential-provider-bin-dir=/x/bin
"""
KEYS = "image-credential-provider-config: /x/c.yaml\nimage-credential-provider-bin-dir: /x/bin\n"
OTHER_KEYS = KEYS.replace("/x/", "/y/")
ARG = "--kubelet-arg=image-credential-provider-"
RANCHER_GIVES = {
    "a list": ("", {"config.yaml": IN_KUBELET_ARG}),
    "a list in one line": (
        "",
        {
            "config.yaml": 'kubelet-arg: ["image-credential-provider-config=/x/c.yaml", '
            "'image-credential-provider-bin-dir=/x/bin']\n"
        },
    ),
    "with dashes and an underscore": (
        "",
        {"config.yaml": IN_KUBELET_ARG.replace("- image-", "- --image-").replace("provider-bin", "provider_bin")},
    ),
    "kubelet-arg before the keys": ("", {"config.yaml": OTHER_KEYS + IN_KUBELET_ARG}),
    "a later file overrides": (
        "",
        {"config.yaml": IN_KUBELET_ARG.replace("/x/", "/y/"), "config.yaml.d/10.yml": IN_KUBELET_ARG},
    ),
    "a later file adds": (
        "",
        {
            "config.yaml": "kubelet-arg: image-credential-provider-config=/x/c.yaml\n",
            "config.yaml.d/10.yaml": "kubelet-arg+: image-credential-provider-bin-dir=/x/bin\n",
            "config.yaml.d/20.YAML": "kubelet-arg+: [v=4]\n",
        },
    ),
    "only files of the folder": ("", {"config.yaml.d/10.yaml": KEYS}),
    "a key that is there twice": ("", {"config.yaml": OTHER_KEYS + KEYS}),
    "its own flags over the files": (
        f"--image-credential-provider-config=/x/c.yaml {ECR[1].split('=')[0]} /x/bin",
        {"config.yaml": OTHER_KEYS},
    ),
    "kubelet-arg of its command line": (f"{ARG}config=/x/c.yaml {ARG}bin-dir=/x/bin", {"config.yaml": OTHER_KEYS}),
    "another file by its flag": ("--config /srv/k.yaml", {"config.yaml": OTHER_KEYS, "/srv/k.yaml": KEYS}),
    "its other file's folder": ("--config=/srv/k.yaml", {"config.yaml": OTHER_KEYS, "/srv/k.yaml.d/1.yaml": KEYS}),
    "another file by its unit": ("", {"config.yaml": OTHER_KEYS, "/srv/env.yaml": KEYS, "env": "/srv/env.yaml"}),
}


def rancher_node(world, name, options, files, *, role="server", is_running=True):
    lines = [
        "[Service]",
        "EnvironmentFile=-/etc/systemd/system/%N.service.env",
        f"ExecStart=/usr/local/bin/{name} {role} {options}",
    ]
    unit = f"{name}.service" if name == "k3s" else f"{name}-{role}.service"
    world.write(f"/etc/systemd/system/{unit}", "\n".join(lines) + "\n").program(f"/usr/local/bin/{name}")
    for path, text in files.items():
        if path == "env":
            world.write(f"/etc/systemd/system/{unit}.env", f"{name.upper()}_CONFIG_FILE='{text}'\n")
        else:
            world.write(path if path.startswith("/") else f"/etc/rancher/{name}/{path}", text)
    if is_running:
        world.process(9, f"/usr/local/bin/{name} {role}", exe=f"/usr/local/bin/{name}", unit=unit)
    return world.write("/x/c.yaml", YAML).program("/x/bin/a")


@pytest.mark.parametrize("name", ["k3s", "rke2"])
@pytest.mark.parametrize("is_running", [True, False], ids=["running", "baked"])
@pytest.mark.parametrize(("options", "files"), RANCHER_GIVES.values(), ids=RANCHER_GIVES)
def test_k3s_and_rke2_are_joined_where_their_operator_has_providers(world, name, is_running, options, files):
    rancher_node(world, name, options, files, is_running=is_running)
    placement = place(world.look(is_image=not is_running), "auto", Wanted())
    assert isinstance(placement, Placement), placement
    assert (placement.config, placement.bin_dir, placement.flags) == (*JOINED, None)
    assert not placement.is_config_ours


RANCHER_REFUSES = {
    "one in kubelet-arg": ({"config.yaml": "kubelet-arg: [image-credential-provider-config=/x/c.yaml]\n"}, "alone"),
    "turned off": (
        {"config.yaml": "image-credential-provider-config: ''\nimage-credential-provider-bin-dir: ''\n"},
        "to nothing",
    ),
    "turned off in kubelet-arg": ({"config.yaml": IN_KUBELET_ARG.replace("=/x/bin", "=")}, "to nothing"),
    "several in one text": (
        {"config.yaml": "kubelet-arg: v=2,image-credential-provider-config=/x/c.yaml\n"},
        "in one text",
    ),
    "a file of another machine": ({"env": "https://config.example.com/k3s.yaml"}, "absolute path"),
    "a path that leads elsewhere": ({"config.yaml": KEYS.replace("/x/bin", "/x/../bin")}, "plain path"),
    "no YAML": ({"config.yaml": "kubelet-arg: [\n"}, "YAML"),
}


@pytest.mark.parametrize(("files", "word"), RANCHER_REFUSES.values(), ids=RANCHER_REFUSES)
def test_k3s_is_left_alone_where_ours_would_not_be_used(world, files, word):
    rancher_node(world, "k3s", "", files)
    try:
        refusal = place(world.look(), "auto", Wanted())
    except ConfigurationError as error:
        refusal = Refusal(error.problem, error.remedy)
    assert isinstance(refusal, Refusal), refusal
    assert word in refusal.reason
    assert refusal.remedy


def test_flags_of_k3s_go_beside_the_file_that_it_reads(world):
    rancher_node(world, "k3s", "--config=/srv/k.yaml", {"/srv/k.yaml": "token: CANARY\n"})
    facts = world.look()
    placement = place(facts, "auto", Wanted(bin_dir="/var/x/bin", config="/var/x/c.yaml"))
    assert placement.flags.path == "/srv/k.yaml.d/50-aliyun-acr-credential-provider.yaml"
    assert "CANARY" not in repr(facts)


UNDERSCORES = [
    "--image_credential_provider_config=/etc/p.yaml --image_credential_provider_bin_dir=/opt/p",
    "--image-credential_provider-config /etc/p.yaml --image_credential-provider_bin-dir /opt/p",
    (
        "--image_credential_provider_config=/x --image-credential-provider-config=/etc/p.yaml "
        "--image_credential_provider_bin_dir=/opt/p"
    ),
]


@pytest.mark.parametrize("runs", [True, False])
@pytest.mark.parametrize("flags", UNDERSCORES)
def test_a_kubelet_takes_underscores_in_its_flags_and_so_do_we(debian, flags, runs):
    if runs:
        debian.process(70, "/usr/bin/kubelet", *flags.split())
    debian.write("/etc/default/kubelet", f"KUBELET_EXTRA_ARGS={flags}\n")
    debian.write("/etc/p.yaml", YAML)
    assert debian.look().given == ("/etc/p.yaml", "/opt/p")


def test_a_script_that_names_providers_so_is_seen(debian):
    debian.write("/opt/start.sh", '#!/bin/sh\nkubelet --image_credential_provider_config=/x "$@"\n', 0o755)
    debian.write(DROP_IN_PATH, DROP_IN.replace("ExecStart=/usr/bin/kubelet", "ExecStart=/opt/start.sh"))
    assert debian.look().unit.scripts == ("/opt/start.sh",)
