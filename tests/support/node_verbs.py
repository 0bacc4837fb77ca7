"""What an installer can be told to do, on nodes that are in the state for it."""

from __future__ import annotations

from acr_node_config.install.state import FOLDER

from support.node_world import covering, request

MORE = covering("*.*.cr.aliyuncs.com", "images.example.com", tokens=("shop.example.com",))
BEFORE = {
    "install": [],
    "upgrade": ["install"],
    "rollback": ["install", "upgrade"],
    "uninstall": ["install", "upgrade"],
}
"""Each of them, and what has to be done to a node before."""


def do(which: str, node, site, programs) -> None:
    """Do *which*, on a node that the steps before it have been done to."""
    first, second = programs
    if which == "install":
        node.install(request(first, site.placement, settings=b"a: b\n"))
    elif which == "upgrade":
        node.install(request(second, site.placement, covered=MORE, settings=b"c: d\n"))
    elif which == "rollback":
        node.rollback()
    else:
        node.uninstall()


def of_the_node(world) -> dict[str, str]:
    """Return the tree without what is the installer's own."""
    return {path: what for path, what in world.tree().items() if not path.startswith(FOLDER.lstrip("/"))}
