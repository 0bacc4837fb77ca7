"""Tries a pull's path for real, check by check, and names the first one that fails. Imports explain and below.

It uses the parts of a pull with an empty cache of its own: everything is asked again, and nothing that it gets is kept.
It creates the node's cache folder if that does not exist, as a pull does; and the plugin, run as the kubelet runs it,
caches what it always does.
"""
