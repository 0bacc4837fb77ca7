"""An edit of the controller's ConfigMap: it becomes active, or the one before stays; its problems can be shown."""

from acr_credential_provider.pull_secrets.config.configuration import ABSENT, next_config
from acr_credential_provider.pull_secrets.config.loss import InCluster
from acr_credential_provider.pull_secrets.model.objects import Namespace, ServiceAccount
from fuzz.promises import check_problems, check_text

BEFORE = """\
apiVersion: aliyun-acr-credential-provider/v1
kind: ProviderSettings
registries:
  - instanceId: cri-0123456789abcdef
    region: cn-hangzhou
    domains: [demo-registry.cn-hangzhou.cr.aliyuncs.com]
    identity: {kind: nodeRole}
"""
PARSED_AS = {"role": "nodeRole", "keys_directory": "/run/keys", "origin": None}
HELD = next_config(ABSENT, BEFORE, **PARSED_AS)
NAMESPACES = (Namespace("default", "1", "1", {}, {}), Namespace("team", "2", "1", {"a": "b"}, {}))
ACCOUNTS = (ServiceAccount("default", "default"), ServiceAccount("team", "default"))


def fuzz(data):
    text = data.decode("utf-8", "replace")
    for held in (ABSENT, HELD):
        active = next_config(held, text, **PARSED_AS, cluster=InCluster(NAMESPACES, ACCOUNTS))
        check_problems(active.problems)
        check_text(*active.parsed.notes, str(active.loss), *active.loss.lines())
        assert active.settings is not None or held is ABSENT
        assert active.outcome in ("loaded", "partial", "last_good")
