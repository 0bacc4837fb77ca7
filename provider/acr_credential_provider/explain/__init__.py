"""Which answer an image would get, and why: read from the settings and this node's disk, nothing asked of anyone.

It walks the very code of a pull, with a transport that refuses to send and a store that
keeps nothing: where a pull would call out, it says whom.
"""

from .entries import NOWHERE, candidates, is_of_pods, of_the_node, roles_of
from .explanation import ASK_FIRST, FAILURE, NOTHING, TOKEN_OF_AN_ENTRY, Explanation, document, text
from .walk import explain
from .why_not import Reason, why_not

__all__ = [
    "ASK_FIRST",
    "FAILURE",
    "NOTHING",
    "NOWHERE",
    "TOKEN_OF_AN_ENTRY",
    "Explanation",
    "Reason",
    "candidates",
    "document",
    "explain",
    "is_of_pods",
    "of_the_node",
    "roles_of",
    "text",
    "why_not",
]
