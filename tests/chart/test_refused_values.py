"""Values that cannot work are refused by Helm, before anything is applied."""

import pytest
from chart.helm import CHART, VALUES, helm

SETTINGS = '{"registries": [{"instanceId": "cri-0123456789abcdef", "identity": {"kind": "nodeRole"}}]}'
CONTROLLER = ["--set=pullSecrets.enabled=true", f"--set-json=pullSecrets.settings={SETTINGS}"]
EMPTY_TERM = '{"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{}]}}}'


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set=image.repository="], "image.repository is needed"),
        (["--set=plugin.settings=null"], "plugin.settings.registries is required"),
        (["--set=image.repository=demo-registry.cn-hangzhou.cr.aliyuncs.com/a/b"], "a new node could never pull it"),
        (["--set=image.repository=images.example.com/a,plugin.settings.registries[0].domains={images.example.com}"],
         "a new node could never pull it"),
        (["--set=platform=windows"], "platform"),
        (["--set=plugin.replicas=3"], "replicas"),
        (["--set=plugin.rollout.restartsAtOnce=-1"], "restartsAtOnce"),
        (["--set=image.digest=latest"], "digest"),
        # One place for settings, and they are judged for it.
        (["--set=settings.log=info"], "additional properties 'settings' not allowed"),
        (["--set=plugin.settings.foo=bar"], "additional properties 'foo' not allowed"),
        (["--set=plugin.settings.registries[0].instanceID=x"], "additional properties 'instanceID' not allowed"),
        (["--set=plugin.settings.registries=abc"], "/plugin/settings/registries': got string, want array"),
        (["--set=plugin.settings.registries[0].identity.kind=managedRole"], "/plugin/settings/registries/0/identity"),
        (["--set=plugin.settings.registries[0].identity.kind=rrsa"], "'tokenFile'"),
        ([*CONTROLLER, "--set=pullSecrets.settings.registries[0].identity.kind=serviceAccount"],
         "/pullSecrets/settings/registries/0/identity"),
        ([*CONTROLLER, "--set=pullSecrets.configMap=team-1/acr-configuration"], "/pullSecrets"),
        (["--set=pullSecrets.configMap=acr-configuration"], "/pullSecrets/configMap"),
        # Nulls, and nonsense that an API server or a registry would refuse later.
        (["--set=plugin=null"], "missing property 'plugin'"),
        (["--set=pullSecrets.webhook=null"], "missing property 'webhook'"),
        (["--set=plugin.rollout.maxUnavailable=null"], "missing property 'maxUnavailable'"),
        (["--set=plugin.rollout.maxUnavailable=150%"], "/plugin/rollout/maxUnavailable"),
        (["--set=plugin.rollout.maxUnavailable=0"], "/plugin/rollout/maxUnavailable"),
        (["--set=image.repository=host/acr:1.0"], "/image/repository"),
        (["--set=image.repository=host/Acr"], "/image/repository"),
        (["--set=plugin.serviceAccount.create=false"], "/plugin/serviceAccount/name"),
        (["--set=pullSecrets.serviceAccount.create=false"], "/pullSecrets/serviceAccount/name"),
        (["--set=plugin.podLabels.app\\.kubernetes\\.io/name=mine"], "/plugin/podLabels"),
        (["--set=commonLabels.team=a b"], "/commonLabels/team"),
        (["--set=commonLabels.team=true"], "/commonLabels/team': got boolean, want string"),
        (["--set=plugin.nodeSelector.kubernetes\\.io/os=windows"], "/plugin/nodeSelector"),
        (["--set=plugin.tolerations[0].value=x"], "/plugin/tolerations/0"),
        (["--set=plugin.agentResources.requests.memory=1Gi"], "the request of memory is above its limit: 1Gi, 192Mi"),
        (["--set=plugin.agentResources.limits.memory=32Mi"], "the request of memory is above its limit: 64Mi, 32Mi"),
        (["--set=plugin.extraEnv[0].name=NODE_NAME,plugin.extraEnv[0].value=x"], "/plugin/extraEnv/0/name"),
        (['--set-json=plugin.extraEnv=[{"name": "A", "value": "x"}, {"name": "A", "value": "y"}]'],
         "plugin.extraEnv: A is there twice"),
        (["--set=plugin.extraVolumes[0].name=host"], "/plugin/extraVolumes/0"),
        (["--set=plugin.extraVolumeMounts[0].name=x,plugin.extraVolumeMounts[0].mountPath=/x"],
         "x is none of plugin.extraVolumes"),
        ([f"--set-json=plugin.affinity={EMPTY_TERM}"], "/nodeSelectorTerms/0"),
    ],
)  # fmt: skip
def test_values_that_cannot_work_are_refused_before_anything_is_applied(words, said):
    done = helm("template", "acr", str(CHART), f"--values={VALUES / 'plugin'}.yaml", *words)
    assert done.returncode != 0
    assert said in done.stderr


@pytest.mark.parametrize(
    "value",
    [
        "plugin.nodeSelector",
        "plugin.tolerations",
        "plugin.settings.proxy",
        "pullSecrets.resources",
        "image.pullSecrets",
    ],
)
def test_a_map_or_list_of_the_operators_own_may_be_null(value):
    done = helm("template", "acr", str(CHART), f"--values={VALUES}/plugin.yaml", f"--set={value}=null")
    assert done.returncode == 0, done.stderr
