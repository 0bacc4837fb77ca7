"""Stands in for requests.adapters."""

from left_out import LeftOut, left_out


class HTTPAdapter(LeftOut):
    """Made, but never used, when darabonba.core is imported."""

    def __init__(self, **_settings):
        pass

    send = left_out("requests.adapters.HTTPAdapter.send")
    init_poolmanager = left_out("requests.adapters.HTTPAdapter.init_poolmanager")
