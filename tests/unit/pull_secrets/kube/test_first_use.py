"""Several threads use a type of msgspec for the first time at once: that could crash the process at its start."""

import re
import subprocess
import sys
from pathlib import Path

import acr_credential_provider

MANY_AT_ONCE = """
import sys, threading
sys.setswitchinterval(1e-6)
from acr_credential_provider.pull_secrets.kube import informer
from acr_credential_provider.pull_secrets.model.decoding import decode, service_account
begin = threading.Barrier(16)
item = {"metadata": {"name": "a", "namespace": "b", "managedFields": [{"manager": "x"}]}}
def use(number):
    begin.wait()
    if number % 2:
        decode(item, service_account)
    else:
        informer._LISTS.decode(b'{"metadata": {"resourceVersion": "1"}, "items": [{"metadata": {"name": "a"}}]}')
threads = [threading.Thread(target=use, args=(number,)) for number in range(16)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
"""


def test_many_threads_that_decode_at_once_in_a_new_process_crash_nothing():
    codes = [subprocess.run([sys.executable, "-c", MANY_AT_ONCE], check=False).returncode for _ in range(10)]
    assert codes == [0] * 10


def test_no_type_is_decoded_without_a_decoder_that_was_made_at_import():
    sources = Path(acr_credential_provider.__file__).parent.rglob("*.py")
    found = [path.name for path in sources if re.search(r"msgspec\.json\.decode\(.*type=", path.read_text())]
    assert found == []
