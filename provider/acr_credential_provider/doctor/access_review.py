"""What the API server lets this node do, asked with the kubelet's own credentials.

The question is a SelfSubjectAccessReview: it changes nothing, and every client may ask it about itself. The same
authorizer decides on the kubelet's request for a ServiceAccount token, so the answer is as good as a pull.
"""

from __future__ import annotations

from acr_credential_provider.cloud.dial import dial
from acr_credential_provider.kube_api.client import ApiRefusedError, ApiUnreachableError, NodeKubeClient
from acr_credential_provider.kube_api.kubeconfig import read_kubeconfig
from acr_credential_provider.model.errors import ConfigurationError

VERB = "request-serviceaccounts-token-audience"
"""The verb that a node needs on an audience (as if it were a resource) to ask for tokens that are meant for it."""
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
SECONDS = 5.0


class ReviewUnavailableError(Exception):
    """The API server could not be asked; the text says why, and holds no secret."""


def may_ask_for_tokens(kubeconfig: str, audience: str, *, namespace: str = "", name: str = "") -> bool:
    """True if the node of *kubeconfig* (a path) may ask for tokens for *audience*.

    Of the ServiceAccount *namespace*/*name*, or without these of every ServiceAccount. Raises
    `ReviewUnavailableError`.
    """
    attributes = {"verb": VERB, "group": "", "resource": audience, "namespace": namespace, "name": name}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    url = kubeconfig
    try:
        server = read_kubeconfig(kubeconfig)
        url = f"https://{server.host}:{server.port}"
        answer = NodeKubeClient(lambda: server, seconds=SECONDS, connect=dial).post(REVIEWS, review)
    except ConfigurationError as error:
        problem = error.problem
    except ApiRefusedError as error:
        problem = f"{url} answered with status {error.status}"
    except ApiUnreachableError as error:
        problem = f"{url} could not be asked: {error.reason}"
        if error.is_tls:
            problem = f"{url} and this kubeconfig do not trust each other: {kubeconfig}"
    else:
        status = answer.get("status")
        allowed = status.get("allowed") if isinstance(status, dict) else None
        if isinstance(allowed, bool):
            return allowed
        problem = f"{url} answered with something other than a review"
    raise ReviewUnavailableError(problem)
