"""Which answer an image would get, and why: read from the settings and this node's disk, nothing asked of anyone.

It walks the very code of a pull, with a transport that refuses to send and a store that
keeps nothing: where a pull would call out, it says whom.
"""

from .candidates import candidates, is_of_pods, of_the_node, roles_of
from .dry_run import explain
from .explanation import ASK_FIRST, FAILURE, NOTHING, TOKEN_OF_AN_ENTRY, Explanation, text, to_dict
from .no_match import Reason, explain_no_match

__all__ = [
    "ASK_FIRST",
    "FAILURE",
    "NOTHING",
    "TOKEN_OF_AN_ENTRY",
    "Explanation",
    "Reason",
    "candidates",
    "explain",
    "explain_no_match",
    "is_of_pods",
    "of_the_node",
    "roles_of",
    "text",
    "to_dict",
]
