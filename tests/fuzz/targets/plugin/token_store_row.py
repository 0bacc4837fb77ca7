"""A row of the token store: a value of ours, or none."""

import atexit
import shutil

from acr_credential_provider.cache.token_store import TokenStore
from fuzz.promises import in_memory

FOLDER = in_memory("tokens")
STORE = TokenStore(FOLDER)
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


def fuzz(data):
    text = data.decode("utf-8", "surrogateescape")
    try:
        STORE._cache.set("name", text)
    except UnicodeEncodeError:  # no text that SQLite holds
        return
    value = STORE.get("name", times=("expires_at",))
    assert value is None or (isinstance(value, dict) and isinstance(value["expires_at"], float))
    assert STORE._cache is not None, "one odd row costs all others"
