"""The ConfigMap ``acr-configuration`` of aliyun-acr-credential-helper, read as our own settings.

Every key gets a meaning, a note about its owner, or a problem with its line and the remedy. Accepted are the
manifest (YAML or JSON), its ``data``, the list in ``acr-registry-info`` alone, and the JSON form of the managed
edition. Key names and meanings: Alibaba Cloud's documentation of both editions. No message of ours holds a value.
"""

from .conversion import Conversion, Role
from .convert import convert
from .identity import KEY_MOVED
from .keys import is_key, is_native, is_one
from .node_access import hosts_in

__all__ = ["KEY_MOVED", "Conversion", "Role", "convert", "hosts_in", "is_key", "is_native", "is_one"]
