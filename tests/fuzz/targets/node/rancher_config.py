"""The configuration of k3s and RKE2 (config.yaml): the two flags in it, or one error."""

from acr_credential_provider.model.errors import ConfigurationError
from acr_node_config.model.facts import HostFile, Rancher
from acr_node_config.model.placement import PlacementRefusedError
from acr_node_config.placement.rancher import config_file, given
from fuzz.promises import check_error, check_text


def fuzz(data):
    words = data.decode("utf-8", "surrogateescape").split("\0")
    assert isinstance(config_file(words), str)
    for rancher in (
        Rancher("k3s", "k3s.service", (HostFile("/etc/rancher/k3s/config.yaml", data),)),
        Rancher("rke2", "rke2-server.service", arguments=tuple(words)),
    ):
        try:
            config, bin_dir = given(rancher)
        except ConfigurationError as error:
            check_error(error)
            continue
        except PlacementRefusedError as error:
            check_text(error.refusal.reason, error.refusal.remedy)
            continue
        assert bool(config) == bool(bin_dir)
        assert all(path == "" or path.startswith("/") for path in (config, bin_dir))
