"""Where things go on each kind of node, and what is refused, with which way out."""

from dataclasses import replace

import pytest
from acr_node_config.model.environment_file import EnvironmentFile, split
from acr_node_config.model.facts import (
    ACK_ARGUMENTS,
    Folder,
    HostFile,
    KubeletUnit,
    NodeFacts,
    OperatingSystem,
    ProviderConfig,
)
from acr_node_config.placement.profiles import EnvironmentFlags, Placement, RancherFlags, Refusal, Wanted, place
from acr_node_config.placement.rancher import drop_in
from support import node_samples as nodes
from support.kubelet_configs import YAML

OPT, VAR = "/opt/aliyun-acr-credential-provider/bin", "/var/lib/aliyun-acr-credential-provider/bin"
OWN = "/etc/aliyun-acr-credential-provider/credential-providers.yaml"
DEFAULT = Wanted()


def placed(facts, mode="auto", wanted=DEFAULT):
    placement = place(facts, mode, wanted)
    assert isinstance(placement, Placement), placement
    return placement


def refused(facts, mode="auto", wanted=DEFAULT):
    refusal = place(facts, mode, wanted)
    assert isinstance(refusal, Refusal), refusal
    assert refusal.remedy
    return refusal


def installed(facts, placement):
    """The same node after the flags have come and the kubelet has started with them."""
    flags = placement.flag_values
    sources = list(facts.unit.environment_files)
    for at, source in enumerate(sources):
        if source.path == placement.flags.path:
            before = source.file.content if source.file else b""
            data = EnvironmentFile.parse(before).with_flags(placement.flags.variable, flags)
            sources[at] = replace(source, file=HostFile(source.path, data))
    running = replace(
        facts.kubelet,
        config=placement.config,
        bin_dir=placement.bin_dir,
        arguments=(*facts.kubelet.arguments, *(f"--{name}={value}" for name, value in flags.items())),
    )
    file = HostFile(placement.config, YAML.encode())
    return replace(
        facts,
        kubelet=running,
        unit=replace(facts.unit, environment_files=tuple(sources)),
        config=ProviderConfig(placement.config, is_directory=False, files=(file,)),
    )


PATCHED = {
    "kubeadm-deb": (nodes.kubeadm(), nodes.DEBIAN, "KUBELET_EXTRA_ARGS", OPT),
    "kubeadm-rpm": (
        nodes.kubeadm(nodes.RED_HAT, "KUBELET_EXTRA_ARGS=\n"),
        nodes.RED_HAT,
        "KUBELET_EXTRA_ARGS",
        OPT,
    ),
    "ack": (nodes.ack(), ACK_ARGUMENTS, "KUBELET_CUSTOMIZED_ARGS", OPT),
    "ack-containeros": (nodes.container_os(), ACK_ARGUMENTS, "KUBELET_CUSTOMIZED_ARGS", VAR),
    "generic": (
        nodes.kubeadm("/etc/kubernetes/kubelet.env", "A=1\n"),
        "/etc/kubernetes/kubelet.env",
        "KUBELET_EXTRA_ARGS",
        OPT,
    ),
}
EACH_PATCHED = pytest.mark.parametrize(("profile", "sample"), PATCHED.items(), ids=PATCHED)


@EACH_PATCHED
def test_flags_go_where_the_operators_flags_come_from(profile, sample):
    facts, path, variable, bin_dir = sample
    placement = placed(facts)
    assert placement.profile == profile
    assert placement.flags == EnvironmentFlags(path, variable)
    assert (placement.bin_dir, placement.config, placement.unit) == (bin_dir, OWN, "kubelet.service")
    assert placement.is_config_ours


@EACH_PATCHED
@pytest.mark.parametrize("mode", ["auto", "patch"])
def test_a_second_look_finds_the_same_place(profile, sample, mode):
    facts = sample[0]
    placement = placed(facts, mode)
    after = installed(facts, placement)
    assert placed(after, mode) == placement
    assert after.given == (OWN, placement.bin_dir)


def test_the_flags_are_seen_in_what_a_stopped_kubelet_would_be_started_with():
    facts = nodes.kubeadm()
    after = replace(installed(facts, placed(facts)), kubelet=None)
    assert after.given == (OWN, OPT)
    assert placed(after) == placed(facts)


@pytest.mark.parametrize(
    ("facts", "profile"),
    [
        (nodes.eks(), "eks"),
        (
            nodes.with_providers(
                "/etc/srv/kubernetes/cri_auth_config.yaml",
                "/home/kubernetes/bin",
                HostFile("/etc/srv/kubernetes/cri_auth_config.yaml", YAML.encode()),
            ),
            "gke",
        ),
        (
            nodes.with_providers(
                "/var/lib/kubelet/credential-provider-config.yaml",
                "/var/lib/kubelet/credential-provider",
                HostFile("/var/lib/kubelet/credential-provider-config.yaml", YAML.encode()),
            ),
            "aks",
        ),
        (nodes.with_providers("/x/y.yaml", "/x/bin", HostFile("/x/y.yaml", YAML.encode())), "existing"),
    ],
)
def test_a_configuration_of_others_is_joined(facts, profile):
    for mode in ("auto", "merge"):
        placement = placed(facts, mode)
        assert placement.profile == profile
        assert (placement.config, placement.bin_dir) == (facts.config.path, facts.kubelet.bin_dir)
        assert placement.flags is None
        assert not placement.is_config_ours
        assert placement.unit == "kubelet.service"
    assert bool(placement.notes) == (profile in ("eks", "gke"))


def test_in_a_folder_of_configurations_we_have_a_file_of_our_own():
    placement = placed(nodes.directory())
    assert placement.config == "/etc/kubernetes/providers.d/50-aliyun-acr-credential-provider.yaml"
    assert (placement.is_directory, placement.is_config_ours) == (True, True)
    assert placement.flag_values["image-credential-provider-config"] == "/etc/kubernetes/providers.d"


@pytest.mark.parametrize(
    ("text", "config"),
    [
        ("image-credential-provider-config: |\n  /x.yaml\n", "/x.yaml"),
        ('image-credential-provider-config: " /x.yaml"\n', "/x.yaml"),
        ("image-credential-provider-config: [/x.yaml]\nimage-credential-provider-config+: null\n", "/x.yaml"),
        ("image-credential-provider-config: ~\nimage-credential-provider-config+: [/x.yaml]\n", "/x.yaml"),
        ("kubelet-arg: [image-credential-provider-config=/x.yaml]\nkubelet-arg+: ~\n", "/x.yaml"),
    ],
    ids=["a block", "spaces", "null added", "added to null", "null added to kubelet-arg"],
)
def test_values_of_k3s_are_read_as_it_reads_them(text, config):
    key = "kubelet-arg+: [image-credential-provider-bin-dir=/b]\n"
    other = key if "kubelet-arg" in text else "image-credential-provider-bin-dir: /b\n"
    facts = nodes.rancher("k3s", "k3s.service", HostFile("/etc/rancher/k3s/config.yaml", (text + other).encode()))

    assert placed(facts).config == config


@pytest.mark.parametrize("name", ["k3s", "rke2"])
def test_before_its_first_start_it_can_be_baked_by_name_and_not_installed(name):
    image = NodeFacts(is_image=True, folders={"/": Folder(is_writable=True)})

    assert placed(image, wanted=Wanted(name)).config == "/var/lib/rancher/credentialprovider/config.yaml"
    assert "node bake" in refused(replace(image, is_image=False), wanted=Wanted(name)).remedy


@pytest.mark.parametrize(("name", "unit"), [("k3s", "k3s.service"), ("rke2", "rke2-agent.service")])
def test_k3s_and_rke2_need_no_flags(name, unit):
    placement = placed(nodes.rancher(name, unit))
    assert placement.profile == name
    assert placement.flags is None
    assert placement.config == "/var/lib/rancher/credentialprovider/config.yaml"
    assert placement.bin_dir == "/var/lib/rancher/credentialprovider/bin"
    assert (placement.unit, placement.is_config_ours) == (unit, True)
    assert bool(placement.notes) == (unit == "k3s.service")


def test_k3s_with_places_of_its_operators_is_joined_there():
    path = "/etc/rancher/k3s/config.yaml.d/10.yaml"
    text = "image-credential-provider-config: /x/c.yaml\nimage-credential-provider-bin-dir: /x/bin\n"
    first = HostFile("/etc/rancher/k3s/config.yaml", b"image-credential-provider-config: /old\ntoken: s3cret\n")
    config = ProviderConfig("/x/c.yaml", is_directory=False, files=(HostFile("/x/c.yaml", YAML.encode()),))
    facts = nodes.rancher("k3s", "k3s.service", first, HostFile(path, text.encode()), config=config)
    placement = placed(facts)
    assert (placement.config, placement.bin_dir, placement.flags) == ("/x/c.yaml", "/x/bin", None)
    assert not placement.is_config_ours
    assert "s3cret" not in repr(facts)


def test_k3s_is_told_of_other_places_by_a_drop_in_of_ours():
    wanted = Wanted(bin_dir="/var/x/bin", config="/var/x/c.yaml")
    facts = nodes.rancher()
    placement = placed(facts, wanted=wanted)
    assert placement.flags == RancherFlags("/etc/rancher/k3s/config.yaml.d/50-aliyun-acr-credential-provider.yaml")
    written = drop_in(placement)
    assert (
        written == b"image-credential-provider-config: /var/x/c.yaml\nimage-credential-provider-bin-dir: /var/x/bin\n"
    )
    again = nodes.rancher("k3s", "k3s-agent.service", HostFile(placement.flags.path, written))
    assert placed(again, wanted=wanted) == placement


def test_k3s_with_one_key_of_the_two_is_refused():
    file = HostFile("/etc/rancher/k3s/config.yaml", b"image-credential-provider-config: /x\n")
    assert "alone" in refused(nodes.rancher("k3s", "k3s.service", file)).reason
    broken = HostFile("/etc/rancher/k3s/config.yaml", b"a: [\n")
    assert "config.yaml, line" in refused(nodes.rancher("k3s", "k3s.service", broken)).reason


def test_files_only_leaves_the_kubelet_alone_and_says_what_it_needs():
    placement = placed(nodes.kubeadm(), "files-only")
    assert (placement.flags, placement.unit, placement.config, placement.bin_dir) == (None, "", OWN, OPT)
    assert f"--image-credential-provider-config={OWN}" in placement.notes[0]


def test_openshift_gets_the_files_and_the_machine_config_brings_the_rest():
    facts = nodes.kubeadm(
        system=OperatingSystem("rhel", is_openshift=True),
        folders={"/": Folder(is_writable=False), "/var": Folder(is_writable=True)},
    )
    refusal = refused(facts)
    assert "node render openshift" in refusal.remedy
    placement = placed(facts, "files-only")
    assert (placement.profile, placement.bin_dir, placement.config, placement.flags) == ("openshift", VAR, "", None)


@pytest.mark.parametrize(
    ("profile", "path", "variable"),
    [
        ("kubeadm-deb", nodes.DEBIAN, "KUBELET_EXTRA_ARGS"),
        ("kubeadm-rpm", nodes.RED_HAT, "KUBELET_EXTRA_ARGS"),
        ("ack", ACK_ARGUMENTS, "KUBELET_CUSTOMIZED_ARGS"),
    ],
)
def test_while_an_image_is_made_the_profile_says_where(profile, path, variable):
    placement = placed(NodeFacts(is_image=True), wanted=Wanted(profile=profile))
    assert placement.flags == EnvironmentFlags(path, variable)
    assert (placement.profile, placement.unit) == (profile, "")


def test_an_image_with_a_unit_needs_no_profile():
    facts = replace(nodes.kubeadm(), kubelet=None, is_image=True)
    placement = placed(facts)
    assert (placement.profile, placement.unit) == ("kubeadm-deb", "")


def test_ack_gets_its_file_even_where_the_unit_does_not_show_it():
    facts = nodes.ack()
    facts = replace(facts, unit=replace(facts.unit, environment_files=(), command=("/usr/bin/kubelet",)))
    assert placed(facts).profile == "ack"


def unit(*command, **changes):
    return replace(nodes.kubeadm().unit, command=command, **changes)


HIDDEN = {"/": Folder(is_writable=False)}
NOEXEC = {"/": Folder(is_writable=True, is_executable=False)}
REFUSALS = {
    "one flag alone": (nodes.kubeadm(kubelet=nodes.kubelet(config="/x")), "without the other flag", "Take it out"),
    "the other flag alone": (nodes.kubeadm(kubelet=nodes.kubelet(bin_dir="/x")), "bin-dir without", "Take it out"),
    "user namespace": (nodes.kubeadm(is_user_namespaced=True), "user namespace", "hostUsers"),
    "Talos": (nodes.kubeadm(system=OperatingSystem("talos")), "from within", "controller"),
    "Bottlerocket": (nodes.kubeadm(system=OperatingSystem("bottlerocket")), "from within", "controller"),
    "an old kubelet": (nodes.kubeadm(version=(1, 23)), "1.23", "1.24"),
    "no kubelet": (NodeFacts(), "no kubelet runs", "--profile"),
    "no systemd unit": (nodes.kubeadm(unit=None), "where the kubelet's flags come from", "files-only"),
    "no variable": (nodes.kubeadm(unit=unit("/usr/bin/kubelet")), "no variable", "files-only"),
    "a variable as one word": (
        nodes.kubeadm(unit=unit("/usr/bin/kubelet", "${KUBELET_EXTRA_ARGS}")),
        "no variable",
        "files-only",
    ),
    "kubeadm's file alone": (nodes.kubeadm("/run/kubelet.env"), "left to the operator", "files-only"),
    "files of something else": (nodes.kubeadm("/etc/os-release", "ID=x\n"), "left to the operator", "files-only"),
    "a value in kubeadm's file": (
        nodes.kubeadm("/var/lib/kubelet/kubeadm-flags.env", "KUBELET_EXTRA_ARGS=--x\n"),
        "not the operator's",
        "files-only",
    ),
    "a value in the unit": (
        nodes.kubeadm(unit=replace(nodes.kubeadm().unit, environment={"KUBELET_EXTRA_ARGS": "--x"})),
        "Environment=",
        "Move",
    ),
    "a file that cannot be rewritten": (nodes.kubeadm(content='KUBELET_EXTRA_ARGS="\n'), "not closed", "Close it"),
    "its configuration is gone": (
        replace(nodes.eks(), config=None),
        "is not there",
        "Restore it",
    ),
    "a configuration that is none": (
        nodes.with_providers("/x/y", "/x/bin", HostFile("/x/y", b"a: b")),
        "no CredentialProviderConfig",
        "Correct",
    ),
    "a bin dir that is read-only": (nodes.eks(folders=HIDDEN), "cannot be written", "image"),
    "a bin dir that is noexec": (nodes.eks(folders=NOEXEC), "noexec", "image"),
    "nowhere to put programs": (nodes.kubeadm(folders=NOEXEC), "none of", "--bin-dir"),
    "read-only /etc": (
        nodes.kubeadm(folders={"/": Folder(is_writable=True), "/etc": Folder(is_writable=False)}),
        "cannot be written",
        "writable",
    ),
    "a path of dots": (
        nodes.kubeadm(kubelet=nodes.kubelet(config="/a/../b", bin_dir="/x")),
        "plain letters",
        "plain path",
    ),
}


@pytest.mark.parametrize(("facts", "reason", "remedy"), REFUSALS.values(), ids=REFUSALS)
def test_what_cannot_be_done_right_is_refused_with_the_way_that_works(facts, reason, remedy):
    refusal = refused(facts)
    assert reason in refusal.reason
    assert remedy in refusal.remedy


def test_a_value_in_a_later_file_is_not_overridden_behind_the_operators_back():
    facts = nodes.kubeadm(nodes.DEBIAN, "KUBELET_EXTRA_ARGS=--a\n")
    later = nodes.source("/etc/kubernetes/later.env", "KUBELET_EXTRA_ARGS=--b\n")
    changed = replace(facts.unit, environment_files=(*facts.unit.environment_files, later))
    assert placed(replace(facts, unit=changed)).flags.path == later.path
    refusal = refused(replace(facts, unit=changed), wanted=Wanted(profile="kubeadm-deb"))
    assert later.path in refusal.reason


def test_modes_that_do_not_fit_the_node_say_which_do():
    assert "auto or patch" in refused(nodes.kubeadm(), "merge").remedy
    assert "auto or merge" in refused(nodes.eks(), "patch").remedy
    assert "kubeadm-deb" in refused(nodes.kubeadm(), wanted=Wanted(profile="nonsense")).remedy


def test_other_places_than_ours_can_be_asked_for():
    placement = placed(nodes.kubeadm(), wanted=Wanted(bin_dir="/srv/bin", config="/srv/c.yaml"))
    assert placement.flag_values == {
        "image-credential-provider-config": "/srv/c.yaml",
        "image-credential-provider-bin-dir": "/srv/bin",
    }
    refused(nodes.kubeadm(), wanted=Wanted(bin_dir="relative"))
    refused(nodes.kubeadm(), wanted=Wanted(bin_dir="/with space"))


def test_the_words_of_a_unit_are_those_that_systemd_makes():
    facts = nodes.kubeadm(nodes.DEBIAN, "KUBELET_EXTRA_ARGS='--a=\"b c\" --d'\n")
    assert facts.unit.words() == ["/usr/bin/kubelet", "--pod-infra-container-image=x", "--a=b c", "--d"]
    assert split("") == []
    assert KubeletUnit("u", ("k", "$X", "${X}"), {"X": "--a --b"}).words() == ["k", "--a", "--b", "--a --b"]


def test_nodeadm_is_named_only_where_it_is():
    assert any("nodeadm" in note for note in placed(nodes.eks()).notes)
    assert placed(nodes.eks(has_nodeadm=False)).notes == ()  # EKS on Amazon Linux 2


OPERATORS_FILES = [
    "/var/lib/kubelet/extra_args",  # Gardener's
    "/var/lib/kubelet/kubelet-flags.env",
    "/var/lib/kubelet/args/kubelet",
    "/opt/kubernetes/kubelet.env",
]


@pytest.mark.parametrize("path", OPERATORS_FILES)
def test_a_file_beside_those_that_kubeadm_writes_is_an_operators(path):
    placement = placed(nodes.kubeadm(path, "KUBELET_EXTRA_ARGS=--v=2\n"))
    assert placement.flags == EnvironmentFlags(path, "KUBELET_EXTRA_ARGS")


@pytest.mark.parametrize("path", ["/var/lib/kubelet/kubeadm-flags.env", "/run/kubelet.env", "/usr/lib/kubelet.env"])
def test_a_file_that_others_write_anew_is_not(path):
    refused(nodes.kubeadm(path, "KUBELET_EXTRA_ARGS=--v=2\n"))
