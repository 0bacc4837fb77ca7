"""The metadata service's answers: the first byte chooses the status, the rest is the body."""

from acr_credential_provider.cloud.imds import Imds
from acr_credential_provider.cloud.transport import HttpResponse
from acr_credential_provider.model.errors import CloudUnreachableError, IdentityUnavailableError
from fuzz.promises import check_error

STATUSES = (200, 200, 200, 401, 403, 404, 429, 500, 302, 204)


class Answers:
    """Answers each request but that for a session token with one response."""

    def __init__(self, status, body):
        self._response = HttpResponse(status, {"date": "Fri, 02 Jan 2026 03:04:05 GMT"}, body)

    def send(self, request):
        return HttpResponse(200, {}, b"token") if request.method == "PUT" else self._response

    def time_left(self):
        return 0.0


def fuzz(data):
    status, body = STATUSES[(data[:1] or b"\0")[0] % len(STATUSES)], data[1:]
    imds = Imds(Answers(status, body), clock=lambda: 1767323045.0)
    for call in (imds.region_id, imds.role_name, lambda: imds.role_credential("KubernetesWorkerRole")):
        try:
            value = call()
        except (IdentityUnavailableError, CloudUnreachableError) as error:
            check_error(error)
            continue
        texts = [value] if isinstance(value, str) else [value.access_key_id, value.access_key_secret]
        assert all(text.isascii() and text.isprintable() and " " not in text for text in texts)  # they go into headers
