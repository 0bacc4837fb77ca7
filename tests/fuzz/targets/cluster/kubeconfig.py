"""A kubeconfig that an operator names: an API server, or one error."""

import atexit
import os
import shutil

from acr_credential_provider.kube_api.kubeconfig import read_kubeconfig
from acr_credential_provider.model.errors import ConfigurationError
from fuzz.promises import check_error, in_memory

FOLDER = in_memory("kubeconfig")
PATH = f"{FOLDER}/kubeconfig"
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


def fuzz(data):
    with open(PATH, "wb") as file:
        file.write(data)
    try:
        server = read_kubeconfig(PATH)
    except ConfigurationError as error:
        check_error(error)
        return
    finally:
        os.truncate(PATH, 0)
    assert server.host
    assert isinstance(server.token, str)
