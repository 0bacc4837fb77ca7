"""A metadata service as ECS has it: v2 tokens, hardened or not, one attached role."""

from datetime import UTC, datetime

from unit.cloud.loopback import answer, header, serving

NOW = 1_767_323_045.0
ROLES = "/latest/meta-data/ram/security-credentials/"


def session(**changes):
    expiration = datetime.fromtimestamp(NOW + 21600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    values = {
        "Code": "Success",
        "AccessKeyId": "STS.id",
        "AccessKeySecret": "C4nary.Secret-0xDEADBEEF",
        "SecurityToken": "token-C4nary.Secret-0xDEADBEEF",
        "Expiration": expiration,
        "LastUpdated": expiration,
    }
    return {name: value for name, value in (values | changes).items() if value is not ...}


class FakeMetadata:
    """Answers like the service; *hardened* refuses requests without a token."""

    def __init__(self, *, role="node-role", hardened=True, knows_tokens=True, credential=None, pages=None, at=NOW):
        self.role, self.hardened, self.knows_tokens, self.at = role, hardened, knows_tokens, at
        self.credential = session() if credential is None else credential
        self.pages = {"/latest/meta-data/region-id": b"cn-hangzhou", **(pages or {})}
        self.tokens = []

    def __call__(self, sock, request):
        sock.sendall(self.reply(request))

    def reply(self, request):  # noqa: PLR0911  # a table of answers
        method, path, _ = request.split("\r\n")[0].split(" ")
        if (method, path) == ("PUT", "/latest/api/token"):
            ttl = header(request, "x-aliyun-ecs-metadata-token-ttl-seconds") or ""
            if not self.knows_tokens:
                return answer(404)
            if not (ttl.isdigit() and 1 <= int(ttl) <= 21600):
                return answer(400)
            self.tokens.append(f"mt-{len(self.tokens)}")
            return answer(200, self.tokens[-1].encode())
        token = header(request, "x-aliyun-ecs-metadata-token")
        if token is None and self.hardened:
            return answer(403)
        if token is not None and token not in self.tokens[-1:]:
            return answer(401)
        if path in self.pages:
            page = self.pages[path]
            return page if page.startswith(b"HTTP/") else answer(200, page, at=self.at)
        if self.role and path == ROLES:
            return answer(200, self.role.encode() + b"\n", at=self.at)
        if self.role and path == ROLES + self.role:
            return (
                answer(200, self.credential, at=self.at)
                if isinstance(self.credential, dict)
                else answer(200, self.credential)
            )
        return answer(404, b"<html>no such page</html>")


def serve(**kwargs):
    return serving(FakeMetadata(**kwargs))
