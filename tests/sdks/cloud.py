"""What a case sees: the sandbox, one SDK that calls it, and what that SDK must say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.server import REGION
from sandbox.state import ACCOUNT, Principal, Role, personal_id

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import AcrSandbox
    from sandbox.oidc import OidcIssuer
    from sandbox.state import AccessKey

    from .callers import Caller

EVERYTHING = {
    "Version": "1",
    "Statement": [{"Effect": "Allow", "Action": ["cr:*", "sts:*"], "Resource": "*"}],
}
SESSION = "sdk-session"


class Cloud:
    """The sandbox as one case has it, and the calls that *sdk* makes to it."""

    def __init__(self, sandbox: AcrSandbox, issuer: OidcIssuer, provider: str, caller: Caller, folder: Path) -> None:
        self.sandbox = sandbox
        self.state = sandbox.state
        self.issuer = issuer
        self.provider = provider
        self.sdk = caller.sdk
        self._caller = caller
        self._folder = folder

    # Who calls.
    def key(self, name: str = "sdk-user", **rights: Any) -> AccessKey:
        return self.state.add_key(Principal(name, **rights))

    def user(self, *policies: dict[str, Any]) -> AccessKey:
        """Return a key of a user who may do what *policies* allow, or everything."""
        return self.key(policies=policies or (EVERYTHING,))

    def session(self, life: float = 3600.0) -> AccessKey:
        return self.state.open_session(Principal("sdk-role", kind="AssumedRoleUser"), life)

    def role(self, name: str, trusts: dict[str, Any], condition: dict[str, Any] | None = None) -> Role:
        statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": trusts}
        trust = {"Version": "1", "Statement": [{**statement, "Condition": condition or {}}]}
        return self.state.add_role(Role(name, trust, policies=(EVERYTHING,)))

    def role_of_account(self, condition: dict[str, Any] | None = None) -> Role:
        return self.role("sdk-role", {"RAM": [f"acs:ram::{ACCOUNT}:root"]}, condition)

    def role_of_cluster(self) -> Role:
        return self.role("sdk-pod-role", {"Federated": [self.provider]})

    def token_file(self, **changes: Any) -> str:
        """Return a file with a ServiceAccount's token, where a pod has one."""
        file = self._folder / "oidc-token"
        file.write_text(self.issuer.token("team", "app", **changes))
        return str(file)

    # What is asked.
    def token(self, key: AccessKey | dict[str, Any], instance: str | None = None) -> dict[str, Any]:
        parameters = {"InstanceId": self.sandbox.instance.id if instance is None else instance}
        return self._ask("token", self.sandbox.openapi.address, key, parameters)

    def endpoints(self, key: AccessKey, **parameters: str) -> dict[str, Any]:
        parameters = {"InstanceId": self.sandbox.instance.id, **parameters}
        return self._ask("endpoints", self.sandbox.openapi.address, key, parameters)

    def personal_token(self, key: AccessKey) -> dict[str, Any]:
        return self._ask("personal-token", self.sandbox.openapi.address, key, {})

    def assume_role(self, key: AccessKey, role: str, **parameters: Any) -> dict[str, Any]:
        parameters = {"RoleArn": role, "RoleSessionName": SESSION, **parameters}
        return self._ask("assume-role", self.sandbox.sts.address, key, parameters)

    def assume_role_with_oidc(self, role: str, token: str, **parameters: Any) -> dict[str, Any]:
        parameters = {"RoleArn": role, "RoleSessionName": SESSION, "OIDCProviderArn": self.provider, **parameters}
        return self._ask("assume-role-with-oidc", self.sandbox.sts.address, None, {**parameters, "OIDCToken": token})

    def credential(self, credential: dict[str, Any]) -> dict[str, Any]:
        return self._ask("credential", "", credential, {})

    def role_arn(self, key: AccessKey, role: str, **more: Any) -> dict[str, Any]:
        """Return the credentials library's ram_role_arn."""
        return {
            **as_credential(key),
            "type": "ram_role_arn",
            "role_arn": role,
            "role_session_name": SESSION,
            "sts_endpoint": self.sandbox.sts.address,
            **more,
        }

    def oidc_role_arn(self, role: str, token_file: str) -> dict[str, Any]:
        """Return the credentials library's oidc_role_arn, which pods with RRSA have."""
        return {
            "type": "oidc_role_arn",
            "role_arn": role,
            "oidc_provider_arn": self.provider,
            "oidc_token": token_file,
            "role_session_name": SESSION,
            "sts_endpoint": self.sandbox.sts.address,
        }

    def _ask(
        self, call: str, endpoint: str, key: AccessKey | dict[str, Any] | None, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        credential = key if key is None or isinstance(key, dict) else as_credential(key)
        return self._caller.ask({"do": call, "endpoint": endpoint, "credential": credential, "parameters": parameters})

    # What must come of it.
    def granted(self, answer: dict[str, Any]) -> None:
        """Check that *answer* holds a login to the sandbox's instance, which lives as long as it says."""
        body = result(answer)
        assert (body["IsSuccess"], body["Code"]) == (True, "success"), body
        login = self.state.find_login(body["TempUsername"], body["AuthorizationToken"])
        assert login is not None, body
        assert login.instance_id == self.sandbox.instance.id
        assert int(body["ExpireTime"]) == int(login.expires_at * 1000)

    def granted_personal(self, answer: dict[str, Any]) -> None:
        data = result(answer)["data"]
        login = self.state.find_login(data["tempUserName"], data["authorizationToken"])
        assert login is not None, data
        assert login.instance_id == personal_id(REGION)
        assert int(data["expireDate"]) == int(login.expires_at * 1000)

    def opened(self, answer: dict[str, Any], role: Role) -> AccessKey:
        """Return the session of *role* that STS opened, as the SDK read it."""
        credentials = result(answer)["Credentials"]
        session = self.found(credentials, role.name)
        assert credentials["Expiration"] == self.sandbox.clock.iso(session.expires_at or 0.0)
        return session

    def found(self, credentials: dict[str, Any], principal: str) -> AccessKey:
        """Return the key that *credentials* are, as an SDK found them."""
        key = self.state.find_key(credentials["AccessKeyId"])
        assert key is not None, credentials
        assert (key.secret, key.security_token) == (
            credentials["AccessKeySecret"],
            credentials.get("SecurityToken") or "",
        )
        assert key.principal.name == principal
        return key


def as_credential(key: AccessKey) -> dict[str, Any]:
    """Return *key* as the credentials library has it: access_key, or sts."""
    pair = {"access_key_id": key.id, "access_key_secret": key.secret}
    if key.security_token:
        return {"type": "sts", **pair, "security_token": key.security_token}
    return {"type": "access_key", **pair}


def result(answer: dict[str, Any]) -> Any:
    assert "result" in answer, answer
    return answer["result"]


def refused(answer: dict[str, Any], status: int, code: str, message: str = "") -> dict[str, Any]:
    """Check that the SDK read *status*, *code* and *message* out of a refusal; return its error."""
    assert "error" in answer, answer
    error: dict[str, Any] = answer["error"]
    assert error.get("code") == code, error
    # Every SDK writes so; only some have a field for the status.
    assert f"code: {status}, {message}" in error["message"], error
    return error


def failed(answer: dict[str, Any], *words: str) -> None:
    """Check that a credentials library failed, and that its text says *words*: it has no code of its own."""
    assert "error" in answer, answer
    for word in words:
        assert word in answer["error"]["text"], answer
