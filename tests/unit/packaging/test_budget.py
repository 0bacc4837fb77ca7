"""The controller costs less than half of what aliyun-acr-credential-helper uses: 0.5 CPU and 0.5 GiB."""

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]


def test_a_chart_asks_for_less_than_half_of_what_the_helper_uses():
    values = yaml.safe_load((ROOT / "packaging/chart/values.yaml").read_text())
    for kind in ("requests", "limits"):
        asked = values["pullSecrets"]["resources"][kind]
        assert int(asked["cpu"].removesuffix("m")) <= 250
        assert int(asked["memory"].removesuffix("Mi")) <= 256
