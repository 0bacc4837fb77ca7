"""Each way to deploy, tried whole on a real API server: installed, upgraded, taken back, deleted; and what it leaves.

docs/install/ways.md has the outcome as a table, which this test writes (WRITE_GOLDEN=1).
"""

import os
import time

import pytest
from chart.ways.cluster_objects import all_objects, delete, differences
from chart.ways.ways import WAYS, key_of
from support.harness import ROOT

PAGE = ROOT / "docs/install/ways.md"
BEGIN, END = "<!-- table: ways -->\n", "<!-- end -->\n"
SECONDS = 3.0
"""In which the garbage collector does something, if there is something to do."""
OF_HELM = ("Secret", "sh.helm.release.v1.")


def new_objects(api, before):
    """Return what is there now and was not *before*; what Helm remembers of a release aside."""
    found = {key: each for key, each in all_objects(api).items() if key not in before}
    return {key: each for key, each in found.items() if not (key[0] == OF_HELM[0] and key[2].startswith(OF_HELM[1]))}


def settled(api, before, expected):
    """Return what is there, once it is what was *expected*, or has been the same for longer than a collection takes."""
    found, since = new_objects(api, before), time.monotonic()
    while found.keys() != expected and time.monotonic() < since + SECONDS:
        time.sleep(0.5)
        earlier, found = found, new_objects(api, before)
        if found.keys() != earlier.keys():
            since = time.monotonic()
    return found


def told(keys):
    """Return *keys* as the table has them."""
    return ", ".join(sorted(f"{kind} `{name}`" for kind, _, name in keys)) or "nothing"


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_way_brings_what_was_asked_for_and_leaves_what_the_page_says(way, api, admin, tmp_path):
    namespace = "kube-system"
    if way.__name__.endswith("Elsewhere"):
        namespace = api.namespace(f"tools-{way.__name__.lower()}")
    before = all_objects(api).keys()
    way = way(admin, tmp_path, namespace)
    steps = [lambda: way.apply("first"), lambda: way.apply("second"), way.go_back, way.delete]
    outcome = []
    for number, step in enumerate(steps, 1):
        step()
        declared = {} if number == len(steps) else {key_of(each): each for each in way.wanted}
        found = settled(api, before, declared.keys())
        assert declared.keys() <= found.keys()
        assert {key: wrong for key, each in declared.items() if (wrong := differences(each, found[key]))} == {}
        outcome.append(told(found.keys() - declared.keys()))
    assert outcome[-1] == "nothing"
    if os.environ.get("WRITE_GOLDEN"):
        write(way.__doc__, outcome)
    assert rows()[way.__doc__] == outcome


@pytest.fixture(autouse=True)
def _nothing_stays(api):
    """What a way leaves is not there for the next one."""
    before = all_objects(api).keys()
    yield
    left = {key: each for key, each in all_objects(api).items() if key not in before}
    for each in left.values():
        delete(api, each)
    settled(api, before, set())


def rows():
    """Return the table on the page: a way, and what was left after each step."""
    lines = PAGE.read_text().partition(BEGIN)[2].partition(END)[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: left for name, *left in cells}


def write(name, outcome):
    """Write a row of that table."""
    head, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    table = {**rows(), name: outcome}
    lines = [f"| {' | '.join([way.__doc__, *table[way.__doc__]])} |" for way in WAYS if way.__doc__ in table]
    titles = ["| way | after install | after upgrade | after going back | after deletion |", "|---|---|---|---|---|"]
    PAGE.write_text("\n".join([head + BEGIN.strip(), *titles, *lines, END + tail]))
