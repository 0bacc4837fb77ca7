"""The error codes of Alibaba Cloud that are known, and what each kind of failure asks for: data, for `lookup`.

Sources: the error code pages of the API gateway, of STS and of RAM, the SDKs and the Terraform provider, and public
reports about the Container Registry API, whose pages list few.
"""

from __future__ import annotations

USERS = "RAM > Identities > Users > the user > AccessKey"
GRANTS = "RAM > Identities > Users or Roles > Permissions > Grant Permission"
TRUST = "RAM > Identities > Roles > the role > Trust Policy"
ROLES = "RAM > Identities > Roles"
OIDC = "RAM > Integrations > SSO > Role-based SSO > OIDC"
RRSA = "ACK > the cluster > Cluster Information > Security and Auditing"
INSTANCES = "Container Registry > Instances"
EXPENSES = "Expenses and Costs"
QUOTAS = "Quota Center"
HEALTH = "status.alibabacloud.com"
NOWHERE = ""

_POLICY = (
    "Attach a RAM policy with cr:GetAuthorizationToken, cr:ListInstanceEndpoint and cr:PullRepository "
    "to this RAM role or user."
)
_KEY = "Correct the access key in the settings' files: this id is unknown or disabled in RAM."
_SECRET = "Correct the access key secret: it does not belong to this access key id."  # noqa: S105 - a remedy
_SESSION = "The session is expired or incomplete: try again; if it stays, correct the identity in the settings."
_CLOCK = "Correct this node's clock (chrony or ntp): signatures are good for 15 minutes only."
_INSTANCE = (
    "Correct instanceId or region in the settings (without region it is the node's): the calling account has no such "
    "instance there. If the instance is another account's, use a role of that account (assumeRole)."
)
_ISSUER = "Name the OIDC provider of this cluster: its keys did not sign the token."
_PUBLISH = "Let the issuer URL of the OIDC provider serve /.well-known/openid-configuration to the Internet."
_PAY = "Pay what is due, or renew the instance."
_WAIT = "Wait: too many calls were made for this account; if it stays, ask Alibaba Cloud for a higher quota."
_OURS = "Report this with the versions: the call is written by this program."
_ENDPOINT = "Correct region and endpoint in the settings: this host does not serve the API that was called."
_SUPPORT = "Try again; if it stays, report it to Alibaba Cloud support with the request id."

GROUPS: tuple[tuple[str, str, str, dict[str, str]], ...] = (  # kind, remedy, where in the console, cause by code
    (
        "instance",
        _INSTANCE,
        INSTANCES,
        {"INSTANCE_NOT_EXIST": "there is no such instance"},
    ),
    (
        "instance",
        "Bring the instance into the state Running: renew it if it has expired, or wait.",
        INSTANCES,
        {"INSTANCE_STATUS_NOT_SUPPORT": "the instance is stopped, being made, or in arrears"},
    ),
    (
        "instance",
        "Switch Internet access on, or link this VPC.",
        f"{INSTANCES} > Access Control",
        {
            "INSTANCE_ACCESS_NOT_EXIST": "the instance has no such network access",
        },
    ),
    (
        "quota",
        "Use the public host, remove a linked VPC, or choose a larger edition.",
        f"{INSTANCES} > Access Control",
        {"INSTANCE_ACCESS_VPC_LIMIT_EXCEED": "no more VPCs can be linked to the instance"},
    ),
    (
        "activation",
        (
            "Sign in to Container Registry's console once as that RAM user or account, in this region, and "
            "set a registry password. For an instance of the Enterprise Edition, name its instanceId "
            "instead."
        ),
        f"{INSTANCES} > Instance of Personal Edition",
        {"USER_NOT_EXIST": "this account or RAM user has never opened the Personal Edition"},
    ),
    (
        "permission",
        _POLICY,
        GRANTS,
        {
            "USER_NOT_AUTHORIZED": "RAM does not allow it",
            "StatusForbidden": "RAM does not allow it",
            "NoPermission": "RAM does not allow it",
            "Forbidden": "RAM does not allow it",
            "Forbidden.RAM": "RAM does not allow it, or the API knows no RAM users",
            "ActionUnauthorized": "RAM does not allow this call",
            "AccessDenied": "a policy denies it",
        },
    ),
    (
        "missing",
        "Correct the image's name, or make the namespace.",
        f"{INSTANCES} > Namespaces",
        {"NAMESPACE_NOT_EXIST": "there is no such namespace"},
    ),
    (
        "missing",
        "Correct the image's name, or push it.",
        f"{INSTANCES} > Repositories",
        {"REPO_NOT_EXIST": "there is no such repository"},
    ),
    (
        "missing",
        "Correct the vSwitch's ID: one that is off by a letter gives this code.",
        "VPC > vSwitch",
        {"VSWITCH_NOT_EXIST": "there is no such vSwitch"},
    ),
    (
        "server",
        _SUPPORT,
        HEALTH,
        {
            "SLB_SERVICE_ERROR": "the instance's load balancer failed",
            "ServiceUnavailable": "the service cannot answer for now",
            "InternalError": "the service failed",
            "UnknownError": "the service failed",
            "D504TO": "the service behind the gateway did not answer in time",
        },
    ),
    (
        "permission",
        "Use a RAM role (nodeRole, rrsa or assumeRole) in place of the access key.",
        ROLES,
        {"Forbidden.NotSupportRAM": "this call is not open to RAM users"},
    ),
    (
        "account",
        "Look at the account's messages, and ask Alibaba Cloud support.",
        "Account Center > Security Settings",
        {"Forbidden.RiskControl": "Alibaba Cloud's risk control has stopped this account"},
    ),
    (
        "account",
        "Complete the account's real-name verification.",
        "Account Center > Basic Information",
        {"Forbidden.UserVerification": "the account's owner is not verified"},
    ),
    (
        "activation",
        "Activate RAM.",
        "RAM",
        {"Inactive": "RAM is not activated for this account"},
    ),
    (
        "key",
        _KEY,
        USERS,
        {
            "InvalidAccessKeyId": "the access key id is not accepted",
            "InvalidAccessKeyId.NotFound": "there is no such access key",
            "InvalidAccessKeyId.Inactive": "the access key is switched off",
            "NoEnabledAccessKey": "the user has no access key that is switched on",
            "Forbidden.AccessKeyDisabled": "the access key is switched off",
        },
    ),
    (
        "key",
        "Make a new access key, delete this one, and look for its use in ActionTrail.",
        USERS,
        {"Forbidden.AccessKey": "the access key is locked, for example because it became public"},
    ),
    (
        "signature",
        _SECRET,
        USERS,
        {"InvalidAccessKeySecret": "the secret is not accepted"},
    ),
    (
        "signature",
        _SECRET,
        USERS,
        {
            "SignatureDoesNotMatch": "the signature is wrong",
            "SignatureNotMatch": "the signature is wrong",
            "IncompleteSignature": "the signature is incomplete",
        },
    ),
    (
        "signature",
        _OURS,
        NOWHERE,
        {"InvalidSignatureMethod": "the signature's method is not known"},
    ),
    (
        "signature",
        ("Look for what sends requests again between this node and Alibaba Cloud, such as a proxy that retries."),
        NOWHERE,
        {"SignatureNonceUsed": "this very request came twice"},
    ),
    (
        "signature",
        "Look for what changes requests between this node and Alibaba Cloud, such as a proxy.",
        NOWHERE,
        {"ContentMD5NotMatched": "the request was changed on its way"},
    ),
    (
        "time",
        _CLOCK,
        NOWHERE,
        {
            "InvalidTimeStamp": "the request's time is not accepted",
            "InvalidTimeStamp.Expired": "the request's time is too far from Alibaba Cloud's",
            "IllegalTimestamp": "the request's time is not accepted",
        },
    ),
    (
        "time",
        _OURS,
        NOWHERE,
        {"InvalidTimeStamp.Format": "the request's time has another form"},
    ),
    (
        "session",
        _SESSION,
        NOWHERE,
        {
            "InvalidSecurityToken": "the session is not accepted",
            "InvalidSecurityToken.Expired": "the session is expired",
            "InvalidSecurityToken.Malformed": "the session's token is damaged",
            "InvalidSecurityToken.MismatchWithAccessKey": "token and access key are of two sessions",
        },
    ),
    (
        "session",
        "Write the key of a RAM user into the settings' files, not one that starts with STS.",
        USERS,
        {"MissingSecurityToken": "an access key of a session was used without its token"},
    ),
    (
        "role",
        "Create the role, or correct its name and account in the settings.",
        ROLES,
        {
            "EntityNotExist.Role": "there is no such role",
            "EntityNotExist.RoleArn": "there is no such role",
        },
    ),
    (
        "missing",
        "Make the RAM user anew, or use another identity in the settings.",
        "RAM > Identities > Users",
        {"EntityNotExist.User": "there is no such RAM user"},
    ),
    (
        "missing",
        "Make the policy, or correct its name.",
        "RAM > Permissions > Policies",
        {"EntityNotExist.Policy": "there is no such policy"},
    ),
    (
        "request",
        "Write the role as acs:ram::ACCOUNT:role/NAME.",
        ROLES,
        {"InvalidParameter.RoleArn": "the role's ARN has another form"},
    ),
    (
        "request",
        _OURS,
        NOWHERE,
        {
            "InvalidParameter.RoleSessionName": "the session's name has another form",
            "MissingParameter": "a parameter is missing",
            "MissingAccessKeyId": "the call is not signed",
            "MissingInstanceId": "the call names no instance",
        },
    ),
    (
        "request",
        "Raise the role's maximum session duration, or lower sessionDuration (900 s is the least).",
        f"{ROLES} > the role > Basic Information",
        {"InvalidParameter.DurationSeconds": "the session is longer than the role allows"},
    ),
    (
        "request",
        "Correct the session policy (assumeRole.policy).",
        NOWHERE,
        {"InvalidParameter.PolicyGrammar": "the session policy is not one"},
    ),
    (
        "request",
        "Shorten the session policy (assumeRole.policy): a RAM policy, at most 2048 bytes.",
        NOWHERE,
        {"InvalidParameter.PolicySize": "the session policy is too long"},
    ),
    (
        "role",
        (
            "Let the role's trust policy allow the provider, with conditions on oidc:iss, oidc:aud and "
            "oidc:sub that fit the ServiceAccount."
        ),
        TRUST,
        {"AuthenticationFail.NoPermission": "the role does not trust this token, or RAM has no such provider"},
    ),
    (
        "oidc",
        _ISSUER,
        OIDC,
        {
            "AuthenticationFail.OIDCToken": "the ServiceAccount's token is not accepted",
            "AuthenticationFail.OIDCToken.Invalid": "the token is not a JSON Web Token of that kind",
            "AuthenticationFail.OIDCToken.InvalidSignature": "the token's signature is wrong",
        },
    ),
    (
        "time",
        "Correct this node's clock (chrony or ntp): the kubelet renews tokens in time.",
        NOWHERE,
        {"AuthenticationFail.OIDCToken.Expired": "the ServiceAccount's token is expired"},
    ),
    (
        "oidc",
        "Add the token's audience to the provider's client IDs, or ask for one that it has.",
        OIDC,
        {"AuthenticationFail.OIDCToken.AudienceNotMatch": "the token is for another audience"},
    ),
    (
        "oidc",
        "Name the OIDC provider of this cluster; switch RRSA on if it has none.",
        RRSA,
        {"AuthenticationFail.OIDCToken.IssuerNotMatch": "the token is of another issuer"},
    ),
    (
        "oidc",
        _PUBLISH,
        RRSA,
        {"AuthenticationFail.OIDCToken.IssuerConfigurationBroken": "STS cannot read the issuer's keys"},
    ),
    (
        "oidc",
        "Give the issuer's URL a certificate of a public CA.",
        OIDC,
        {"AuthenticationFail.OIDCToken.HttpsUrlInvalid": "STS does not trust the issuer's certificate"},
    ),
    (
        "oidc",
        "Update the provider's fingerprints: its certificate's CA has changed.",
        OIDC,
        {"AuthenticationFail.OIDCToken.PublicKeyFingerprintMismatch": "the issuer's certificate is another"},
    ),
    (
        "billing",
        _PAY,
        EXPENSES,
        {
            "Arrearage": "the account is in arrears",
            "InsufficientBalance": "the account's balance is too low",
        },
    ),
    (
        "activation",
        "Open the service's console once, and activate it.",
        INSTANCES,
        {},
    ),
    (
        "throttling",
        _WAIT,
        QUOTAS,
        {
            "Throttling": "too many calls",
            "Throttling.User": "too many calls of this account",
            "Throttling.Api": "too many calls of this API",
            "Rejected.Throttling": "too many calls",
            "RequestThrottled": "too many calls",
            "FlowControl": "too many calls",
        },
    ),
    (
        "quota",
        "Remove what is not used, or raise it.",
        QUOTAS,
        {"LimitExceeded": "RAM's limit for this is reached"},
    ),
    (
        "region",
        "Correct region in the settings.",
        NOWHERE,
        {
            "InvalidRegionId": "there is no such region",
            "API.Forbidden": "this region does not have the service",
        },
    ),
    (
        "region",
        _ENDPOINT,
        NOWHERE,
        {
            "InvalidProduct.NotFound": "this host serves no such service",
            "InvalidApi.NotFound": "this host knows no such call",
            "InvalidAction.NotFound": "this host knows no such call",
            "InvalidVersion": "this host knows no such version of the API",
            "NoSuchVersion": "this host knows no such version of the API",
        },
    ),
    (
        "request",
        "Write https:// in the settings' endpoint.",
        NOWHERE,
        {"InvalidProtocol.NeedSsl": "the call came without TLS"},
    ),
    (
        "request",
        _ENDPOINT,
        NOWHERE,
        {
            "UnsupportedHTTPMethod": "the call came by another method",
            "UnsupportedOperation": "the call is not possible here",
        },
    ),
    (
        "request",
        "Correct the instance, region and roles in the settings.",
        NOWHERE,
        {"InvalidParameter": "a parameter is wrong"},
    ),
)

KINDS = {  # what an unknown code of this kind asks for: remedy, where
    "permission": (_POLICY, GRANTS),
    "quota": ("Remove what is not used, or ask for a higher quota.", QUOTAS),
    "throttling": (_WAIT, QUOTAS),
    "billing": (_PAY, EXPENSES),
    "activation": ("Open the service's console once as this account or RAM user, and activate it.", INSTANCES),
    "account": ("Look at the account's messages.", "Account Center"),
    "region": (_ENDPOINT, NOWHERE),
    "signature": (_SECRET, USERS),
    "time": (_CLOCK, NOWHERE),
    "key": (_KEY, USERS),
    "session": (_SESSION, NOWHERE),
    "role": ("Check the role's name, account and trust policy.", ROLES),
    "oidc": ("Check the OIDC provider of this cluster, and its issuer and client IDs.", OIDC),
    "instance": (_INSTANCE, INSTANCES),
    "missing": ("Correct the name or ID in the settings: there is no such thing in that account and region.", NOWHERE),
    "request": ("Check the instance, region and roles in the settings.", NOWHERE),
    "server": (_SUPPORT, HEALTH),
    "unknown": ("Check the identity in the settings.", NOWHERE),
}
