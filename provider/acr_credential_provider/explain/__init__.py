"""Which answer an image would get, and why, from the settings and this node's disk alone: nothing is sent.

The checks run the code of a pull with a transport that refuses to send and a store that keeps nothing. Imports tokens
and below.
"""
