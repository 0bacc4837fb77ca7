"""Makes one call to a server on loopback that only listens, and prints the error: `calling.py acr|personal|sts`."""

import socket
import sys

from acr_credential_provider.cloud.acr import AcrApi
from acr_credential_provider.cloud.acr_personal_edition import personal_token
from acr_credential_provider.cloud.proxy import ProxySettings
from acr_credential_provider.cloud.sts import StsApi, WantedRole
from acr_credential_provider.cloud.transport import Transport
from acr_credential_provider.model.cloud_credential import CloudCredential
from acr_credential_provider.model.deadline import Deadline
from acr_credential_provider.model.errors import CredentialProviderError


class Key:
    def get_credentials(self):
        return CloudCredential("id", "secret", "")


def main():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"https://127.0.0.1:{listener.getsockname()[1]}"
        transport = Transport(Deadline(5.0), proxy=ProxySettings())
        try:
            if sys.argv[1] == "acr":
                api = AcrApi(transport, Key(), region="cn-hangzhou", endpoints=(endpoint,))
                api.authorization_token("cri-1", hours=1)
            elif sys.argv[1] == "personal":
                personal_token(transport, Key(), region="cn-hangzhou", endpoints=(endpoint,))
            else:
                role = WantedRole("acs:ram::1:role/x", "session")
                api = StsApi(transport, endpoints=(endpoint,))
                api.assume_role_with_oidc(role, provider_arn="acs:ram::1:oidc-provider/x", token="token")
        except CredentialProviderError as error:
            print(type(error).__name__, error.problem, error.remedy)  # noqa: T201


if __name__ == "__main__":
    main()
