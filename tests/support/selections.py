"""Selections of the settings, and namespaces and ServiceAccounts that each tells apart; "{}" is the test's prefix."""

NAMESPACES = {
    "team-a": {"labels": {"team": "a"}},
    "team-b.c": None,
    "team": {"labels": {"team": "b", "tier": "x"}},
    "ops": {"labels": {"team": "a", "tier": "y"}},
    "o-p-s": {"labels": {"aliyun-acr-credential-provider/pull-secrets": "disabled"}},
}
ACCOUNTS = {
    "default": {},
    "robot-1": {"labels": {"team": "a", "tier": "x"}, "annotations": {"pull": 'say "yes"'}},
    "robot": {"annotations": {"pull": "no"}},
    "off": {"labels": {"aliyun-acr-credential-provider/pull-secrets": "disabled"}},
}
SPECS = [
    {"namespaces": ["{}team"]},
    {"namespaces": ["*"]},
    {"namespaces": ["{}team*"], "serviceAccounts": ["*"]},
    {"namespaces": ["{}team-a", "{}o*s"], "serviceAccounts": ["robot-*", "default"]},
    {"namespaces": ["*"], "excludedNamespaces": ["kube-*", "{}*-*-*"], "serviceAccounts": ["*"]},
    {"namespaceSelector": {"matchLabels": {"team": "a"}}, "serviceAccounts": ["*"]},
    {
        "namespaceSelector": {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["x"]}]},
        "serviceAccountSelector": {"matchLabels": {"team": "a"}},
    },
    {"namespaces": ["*"], "serviceAccountSelector": {"matchAnnotations": {"pull": 'say "yes"'}}},
]
