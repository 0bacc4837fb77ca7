"""Units as systemd reads them: the forms in which we and it once differed. `tests/systemd` asks systemd itself."""

import os
import time

import pytest
from acr_node_config.discovery import unit_files, unit_folders
from acr_node_config.discovery.kubelet_unit import read_unit
from acr_node_config.hostfs.host_reader import LARGEST, HostReader
from acr_node_config.model.command_line import UNKNOWN, words_of
from acr_node_config.model.facts import KubeletUnit, NodeFacts
from acr_node_config.placement.profiles import Wanted, place

CONFIG, BIN_DIR = "--image-credential-provider-config=/etc/c.yaml", "--image-credential-provider-bin-dir=/opt/bin"


def parsed(*texts, name="kubelet.service"):
    return unit_files.parse([text if isinstance(text, bytes) else text.encode() for text in texts], name)


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("$A", ["--x", "y z"]),
        ("${A}", ["--x 'y z'"]),
        ("a${A}b${B}", ["a--x 'y z'b"]),
        ("$$A", ["$A"]),
        ("$$$$", ["$$"]),
        ("$A-y", []),
        ("$NONE", []),
        ("${NONE}", [""]),
        ("${A", ["${A"]),
        ("${A$$", ["${A$$"]),
        ("x$A", ["x$A"]),
        ("$", []),
        ("${}", [""]),
        ("$PATH", [f"{UNKNOWN}PATH"]),
        ("a${HOME}", [f"a{UNKNOWN}{{HOME}}"]),
        ("$OPEN", [f"{UNKNOWN}OPEN"]),
        ("$C", [f"{UNKNOWN}C"]),
        (f"$A{UNKNOWN}1", [f"$A{UNKNOWN}1"]),
    ],
)
def test_a_word_becomes_what_systemd_makes_of_it(word, words):
    assert words_of([word], {"A": "--x 'y z'", "B": "", "C": None, "OPEN": "'"}) == words


def test_a_name_that_a_file_which_cannot_be_read_may_set_is_unknown():
    assert words_of(["$A", "$B"], {"A": "x"}, is_complete=False) == ["x", f"{UNKNOWN}B"]


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (r"ExecStart=/k a\ b", ["/k", r"a\ b"]),
        (r"ExecStart=/k a\q\x41", ["/k", r"a\qA"]),
        ("ExecStart=/k 'a \\\n   b'", ["/k", "a     b"]),
        ("ExecStart=/k a \\\n# why \\\n b", ["/k", "a", "b"]),
        ("ExecStart=/k a \\", ["/k", "a"]),
        ("ExecStart=/k a\u00a0b\x0b", ["/k", "a\u00a0b\x0b"]),
        ("ExecStart=/k \\; ; /l", ["/k", ";"]),
        ("ExecStart=/k a;b", ["/k", "a;b"]),
        ("ExecStart=@/k zero one", ["zero", "one"]),
        ("ExecStart=-@/k zero", ["zero"]),
        ("ExecStart=//k/./l", ["//k/./l"]),
        ("ExecStart=k", ["k"]),
        ("ExecStart=/k a \\ \\\n\nb", ["/k", "a", "\\"]),
        ("ExecStart=/k $e%1 %%1", ["/k", f"$e{UNKNOWN}1", "%1"]),
        ("ExecStart=/k %1 %%1", ["/k", f"{UNKNOWN}1", "%1"]),
        ("ExecStart=/k %n %i%%n %J", ["/k", "kubelet.service", "%n", "kubelet"]),
        ("ExecStart=/k %H %%H", ["/k", f"{UNKNOWN}H", "%H"]),
        ("\ufeff[Service]\nExecStart=/l", ["/k"]),
    ],
)
def test_a_command_has_the_words_that_systemd_takes(line, command):
    first = "" if line.startswith("\ufeff") else "[Service]\n"
    text = parsed(first + line if first else line.replace("/l", "/k"))
    assert list(text.command) == command


@pytest.mark.parametrize(
    "text",
    [
        "[Service] # x\nExecStart=/k\n",
        "[Service]\nExecStart=/k/\n",
        "[Service]\nExecStart=k/l\n",
        "[Service]\nExecStart=/k 'a\n",
        "[Service]\nExecStart=@/k\n",
    ],
)
def test_what_keeps_a_unit_from_being_loaded_is_named_in_its_file_and_ends_a_drop_in(text):
    assert parsed(text).problem == unit_files.NO_UNIT
    main = "[Service]\nExecStart=/main\n"
    drop_in = text.replace("[Service]\n", "[Service]\nEnvironment=A=1\n") + "Environment=B=2\n"
    unit = parsed(main, drop_in)
    assert (unit.command, unit.problem) == (("/main",), "")
    assert unit.environment == (("A=1",) if "[Service]\n" in text else ())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ExecStart=/k\nExecStart=/l", unit_files.SEVERAL),
        ("ExecStart=/k ; /l", unit_files.SEVERAL),
        ("ExecStart=/k\nExecStart=\nExecStart=/l", ""),
        ("ExecStart=|/k", unit_files.NEWER_PREFIX),
        ("ExecStart=-k/l\nExecStart=/k", ""),
    ],
)
def test_a_command_is_only_told_where_there_is_one(text, problem):
    assert parsed(f"[Service]\n{text}\n").problem == problem


@pytest.mark.parametrize(
    ("line", "environment"),
    [
        (r"Environment=A=1 B\q=2 C=3", ["A=1"]),
        ("Environment=A=1 'B=2", ["A=1"]),
        (r"Environment=A=\xff B=2", ["B=2"]),
        ("Environment=1A=x a-b=x B=2", ["B=2"]),
        ("Environment=A=%H B=%p", [f"A={UNKNOWN}H", "B=kubelet"]),
        ("Environment=A=1\r\nEnvironment=B=2\rEnvironment=C=3\r\n", ["A=1", "B=2", "C=3"]),
        ("Environment=A=1\nEnvironment = \nEnvironment=B=2", ["B=2"]),
        ("Environment=A=x \\\n  B=y", ["A=x", "B=y"]),
    ],
)
def test_an_assignment_counts_where_systemd_takes_it(line, environment):
    assert list(parsed(f"[Service]\n{line}\n").environment) == environment


@pytest.mark.parametrize("odd", [b"\xff", b"\xed\xa0\x80", "\ufdd0".encode(), "\U0001ffff".encode()])
def test_a_file_is_read_up_to_bytes_that_are_no_text(odd):
    broken = b"[Service]\n# " + odd + b"\nEnvironment=A=1\nEnvironment=B=" + odd + b"\nEnvironment=C=3\n"
    assert parsed(broken).problem == unit_files.NO_UNIT
    assert parsed(b"[Service]\nExecStart=/k\n", broken).environment == ("A=1",)


@pytest.mark.parametrize(
    ("value", "files"),
    [
        ("-/etc/./x//y/", [("/etc/x/y", True)]),
        ('"/etc/x"', []),
        ("etc/x", []),
        ("-%E/%p", [("/etc/kubelet", True)]),
        ("/etc/%H", [("/etc/%H", False)]),
    ],
)
def test_an_environment_file_is_the_path_that_systemd_reads(value, files):
    assert list(parsed(f"[Service]\nEnvironmentFile={value}\n").files) == files


def test_no_variable_of_a_command_with_a_colon_is_replaced():
    text = parsed("[Service]\nExecStart=:/k $A ${A} $$\n")
    unit = KubeletUnit("k", text.command, {"A": "x"}, is_literal=text.is_literal)
    assert unit.words() == ["/k", "$A", "${A}", "$$"]


@pytest.fixture
def tree(tmp_path):
    def made(files, name="kubelet.service"):
        for path, content in files.items():
            file = tmp_path / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            if content.startswith("->"):
                os.symlink(content[2:], file)
            else:
                file.write_text(f"[Service]\n{content}\n")
        unit = read_unit(HostReader(str(tmp_path)), name, None)
        return None if unit is None else (unit.words(), unit.environment)

    return made


ETC, RUN, LIB = "/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system"


@pytest.mark.parametrize(
    ("files", "name", "environment"),
    [
        ({f"{LIB}/kubelet.service": "ExecStart=/k", f"{ETC}/kubelet.service": "->/dev/null"}, "kubelet.service", None),
        (
            {
                f"{LIB}/real.service": "ExecStart=/k",
                f"{ETC}/kubelet.service": f"->{LIB}/real.service",
                f"{ETC}/kubelet.service.d/1.conf": "Environment=A=%n",
                f"{RUN}/real.service.d/2.conf": "Environment=B=2",
            },
            "kubelet.service",
            {"A": f"{UNKNOWN}n", "B": "2"},
        ),
        (
            {
                f"{LIB}/a-b@.service": "ExecStart=/k",
                f"{ETC}/a-b@x.service.d/3.conf": "Environment=A=%i",
                f"{LIB}/a-b@.service.d/4.conf": "Environment=B=2",
                f"{ETC}/a-@.service.d/5.conf": "Environment=C=3",
                f"{ETC}/service.d/6.conf": "Environment=D=4",
            },
            "a-b@x.service",
            {"A": "x", "B": "2", "C": "3", "D": "4"},
        ),
        (
            {
                f"{LIB}/a-b.service": "ExecStart=/k",
                f"{ETC}/a-.service.d/1.conf": "Environment=A=prefix",
                f"{LIB}/a-b.service.d/1.conf": "Environment=A=exact",
                f"{LIB}/a-b.service.d/2.conf": "Environment=B=2",
                f"{RUN}/a-b.service.d/2.conf": "->/dev/null",
                f"{LIB}/a-b.service.d/.3.conf": "Environment=C=3",
            },
            "a-b.service",
            {"A": "prefix"},
        ),
        (
            {
                f"{ETC}/kubelet.service": "->/opt/kubelet.service",
                "/opt/kubelet.service": "ExecStart=/k\nEnvironment=A=linked",
            },
            "kubelet.service",
            {"A": "linked"},
        ),
    ],
    ids=["a mask", "an alias", "a template", "one name in several folders", "a file elsewhere"],
)
def test_files_and_drop_ins_are_found_as_systemd_finds_them(tree, files, name, environment):
    assert tree(files, name) == (None if environment is None else (["/k"], environment))


def test_a_path_that_only_systemd_knows_is_no_file(tree):
    command = f"/k /etc/{UNKNOWN}H/x".split()
    assert tree({f"{LIB}/kubelet.service": "ExecStart=/k /etc/%H/x"}) == (command, {})


@pytest.mark.parametrize("piece", ["a ", "Environment=A=1\n", "\\\n", "\\; "])
def test_a_large_file_is_read_in_time(piece):
    began = time.process_time()
    text = "[Service]\nExecStart=/k " + piece * (LARGEST // 4 // len(piece))
    KubeletUnit("k", parsed(text).command).words()
    assert time.process_time() - began < 20


def test_an_alias_of_itself_has_an_end(tmp_path):
    folder = tmp_path / "etc/systemd/system"
    folder.mkdir(parents=True)
    for one, other in (("a", "b"), ("b", "a")):
        (folder / f"{one}.service").symlink_to(f"{other}.service")
    assert unit_folders.find(HostReader(str(tmp_path)), "a.service") is None


def facts(*command, environment=None, **more):
    return NodeFacts(unit=KubeletUnit("kubelet.service", command, environment or {}, **more), is_image=True)


def test_providers_that_an_image_gives_in_a_variable_in_braces_are_seen():
    variables = {"A": CONFIG, "B": BIN_DIR}
    assert facts("/k", "${A}", "${B}", environment=variables).given == ("/etc/c.yaml", "/opt/bin")
    assert facts("/k", "$A", "$$B", environment=variables).given == ("/etc/c.yaml", "")
    assert facts("/k", "$A", "$B", environment=variables, is_literal=True).given == ("", "")
    assert facts("/k", "$A", "$B", environment=variables, unset=("A",)).given == ("", "/opt/bin")
    assert facts("/k", "$A", "$B", inherited=variables).given == ("/etc/c.yaml", "/opt/bin")


@pytest.mark.parametrize(
    ("command", "more"),
    [
        (["/k", "$FLAGS"], {"passed": ("FLAGS",)}),
        (["/k", f"{UNKNOWN}H"], {}),
        (["/k", f"--image-credential-provider-config=/etc/{UNKNOWN}H"], {}),
        (["/k"], {"problem": unit_files.SEVERAL}),
    ],
)
def test_where_only_systemd_knows_the_providers_nothing_is_changed(command, more):
    refusal = place(facts(*command, **more), "auto", Wanted())
    assert "it cannot be told which credential providers" in refusal.reason
    assert "Start the kubelet first" in refusal.remedy


def test_an_unknown_value_of_another_flag_does_not_matter():
    assert facts("/k", f"--hostname-override={UNKNOWN}H").doubt == ""
