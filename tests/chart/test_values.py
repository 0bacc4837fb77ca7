"""The chart's values: each one is described, has a type, is used and says in values.yaml what it is by default."""

import json
import re
from pathlib import Path

import pytest
import yaml

from generate import chart_readme, values_schema

CHART = Path(__file__).resolve().parents[2] / "packaging/chart"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
TEMPLATES = "\n".join(path.read_text() for path in sorted((CHART / "templates").rglob("*.*")))
NOT_OURS = {"global", "enabled"}
"""Values of a chart around this one."""


def leaves(schema, path=()):
    for name, each in schema["properties"].items():
        if "properties" in each:
            yield from leaves(each, (*path, name))
        elif path or name not in NOT_OURS:
            yield (*path, name), each


PATHS = [path for path, _ in leaves(SCHEMA)]


def test_the_schema_is_the_one_that_is_generated():
    assert (CHART / "values.schema.json").read_text() == values_schema.page(), "run make schema"


def test_the_readme_of_the_chart_is_the_one_that_is_generated():
    assert (CHART / "README.md").read_text() == chart_readme.page(), "run make chart-readme"


@pytest.mark.parametrize("path", PATHS, ids=".".join)
def test_a_value_of_the_schema_has_a_default_and_a_use(path):
    at = VALUES
    for name in path:
        assert name in at, f"values.yaml lacks {'.'.join(path)}"
        at = at[name]
    assert re.search(rf"\.Values\.{re.escape('.'.join(path))}\b", TEMPLATES), f"no template uses {'.'.join(path)}"


@pytest.mark.parametrize(("path", "each"), list(leaves(SCHEMA)), ids=[".".join(path) for path in PATHS])
def test_a_value_of_the_schema_is_described_and_typed(path, each):
    assert each["description"].endswith(".")
    assert each["type"]


def test_no_default_is_outside_of_the_schema():
    def names(values, schema, path=()):
        for name, value in values.items():
            assert name in schema["properties"], ".".join((*path, name))
            if "properties" in schema["properties"][name]:
                names(value, schema["properties"][name], (*path, name))

    names(VALUES, SCHEMA)


def test_no_template_uses_a_value_that_the_schema_has_not():
    used = {tuple(found.split(".")) for found in re.findall(r"\.Values\.([A-Za-z.]+[A-Za-z])", TEMPLATES)}
    assert used
    for path in used:
        assert any(path[: len(known)] == known or known[: len(path)] == path for known in PATHS), ".".join(path)


def test_the_chart_has_the_projects_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = (CHART.parents[1] / "provider/acr_credential_provider/version.py").read_text()
    assert f'VERSION = "{chart["appVersion"]}"' in version
    assert chart["version"] == chart["appVersion"]
