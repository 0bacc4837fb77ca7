"""Prints packaging/chart/README.md: every value of the chart with its default, from its schema and values.yaml."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import yaml

from freeze.bundles import REPOSITORY
from generate import values_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUES = REPOSITORY / "packaging" / "chart" / "values.yaml"
HEAD = """\
# aliyun-acr-credential-provider

Pull private images from Alibaba Cloud Container Registry (ACR), with no Secret in any workload: a kubelet image
credential provider plugin on each node, or a controller that maintains `imagePullSecrets` where no kubelet can be
configured. Kubernetes 1.28 to 1.37.

```yaml
image:
  repository: registry.example.com/tools/aliyun-acr-credential-provider   # where you pushed the image
plugin:
  settings:
    registries:
      - instanceId: cri-0123456789abcdef
        identity:
          kind: nodeRole
```

```sh
helm install acr aliyun-acr-credential-provider-VERSION.tgz --namespace kube-system --values values.yaml
```

`make chart-readme` writes this page. Helm refuses values that this page does not have, and settings that cannot work.
An object or field that the cluster's version does not know is left out, and the notes after an installation say what is
weaker then.

| value | default | meaning |
|---|---|---|
"""


def page() -> str:
    """Return the whole page."""
    schema = json.loads(values_schema.page())
    return HEAD + "".join(rows(schema, yaml.safe_load(VALUES.read_text())))


def rows(schema: dict[str, Any], values: dict[str, Any], at: str = "") -> Iterator[str]:
    """Yield the lines of the values in *schema*, with their defaults in *values*; *at* is the path to them."""
    for name, each in schema["properties"].items():
        if name not in values:
            continue  # of a chart around this one
        if "properties" in each:
            yield from rows(each, values[name], f"{at}{name}.")
            continue
        allowed = f" One of: {', '.join(f'`{word}`' for word in each['enum'])}." if "enum" in each else ""
        yield f"| `{at}{name}` | `{json.dumps(values[name])}` | {each['description']}{allowed} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
