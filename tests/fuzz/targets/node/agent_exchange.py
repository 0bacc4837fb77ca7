"""What the agent and the reporter leave for each other: a document of known form, or none."""

import atexit
import json
import math
import shutil

from acr_node_config.rollout import json_exchange
from acr_node_config.rollout.agent_status import AgentStatus, RestartGrant
from fuzz.promises import check_text, in_memory

FOLDER = in_memory("exchange")
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


def fuzz(data):
    with open(f"{FOLDER}/status.json", "wb") as file:
        file.write(data)
    document = json_exchange.get(FOLDER, "status.json")
    if document is None:
        return
    for kind in (AgentStatus, RestartGrant):
        try:
            value = kind.from_dict(document)
        except ValueError as error:
            check_text(str(error))
            continue
        assert kind.from_dict(json.loads(json.dumps(value.to_dict()))) == value
        if kind is AgentStatus:
            check_text(
                value.message, value.remedy, value.version, value.content, value.request, *value.settings.problems
            )
            times = [value.beat, *(time for token in value.tokens for time in (token.refresh_in, token.expires_in))]
            check_text(*value.counts)
        else:
            check_text(value.request, value.refusal)
            times = [value.until]
        assert all(map(math.isfinite, times))
