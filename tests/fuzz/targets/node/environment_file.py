"""An environment file: read as systemd's own library reads it, or refused; our flags go in and out to the byte."""

import atexit
import shutil

from acr_credential_provider.model.errors import ConfigurationError
from acr_node_config.model.environment_file import MARK, EnvironmentFile, split
from fuzz.promises import check_error, in_memory
from support import libsystemd

VARIABLE = "KUBELET_EXTRA_ARGS"
FLAGS = {"image-credential-provider-config": "/etc/a.yaml", "image-credential-provider-bin-dir": "/opt/bin"}
WORDS = [f"--{name}={value}" for name, value in FLAGS.items()]
FOLDER = in_memory("environment")
SYSTEMD = libsystemd.find()
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


def fuzz(data):
    try:
        file = EnvironmentFile.parse(data)
    except ConfigurationError as error:
        check_error(error)
        return
    check_systemd(file)
    try:
        after = EnvironmentFile.parse(file.with_flags(VARIABLE, FLAGS))
    except ConfigurationError as error:
        check_error(error)
        return
    assert split(after.value(VARIABLE))[-2:] == WORDS or after.data == data
    if not any(word.encode().partition(b"=")[0] in data for word in WORDS) and MARK not in data:
        assert after.without_flags(VARIABLE, FLAGS) == data
    check_systemd(after)


def check_systemd(file):
    if SYSTEMD is None or any(item.key.startswith(b"=") for item in file.assignments):
        return
    path = f"{FOLDER}/file"
    with open(path, "wb") as opened:
        opened.write(file.data)
    assert {item.key: item.value for item in file.assignments} == SYSTEMD.load(path)
