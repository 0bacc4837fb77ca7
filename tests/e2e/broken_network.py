"""Ways to break the road to STS, ACR and the registry, and what they do by themselves."""

from e2e.doctor_fixture import by_service_accounts, catalogue, chain_of_two, in_place_of_acr, to_the_cloud_by_name
from sandbox.faults import Failure, Grant, Hang, Html, NotSuccess, Redirect, Reset, Throttle
from support.ports import closed_port

BREAKS, breaks = catalogue()


# STS.
@breaks("STS endpoint", "security groups")
def sts_that_no_pod_would_reach(world):
    by_service_accounts(world)
    world.document["endpoints"]["sts"] = f"https://127.0.0.1:{closed_port()}"


@breaks("STS endpoint", "security groups")
def sts_that_hangs(world):
    chain_of_two(world)
    world.sandbox.faults.add("sts", Hang("connect"))


@breaks("STS endpoint", "captive portal")
def captive_portal_before_sts(world):
    chain_of_two(world)
    world.document["endpoints"]["sts"] = world.sandbox.registry.url
    world.sandbox.faults.add("registry.unknown", Html())


@breaks("STS endpoint", "chrony or ntp")
def clock_behind_stss(world):
    chain_of_two(world)
    world.sandbox.clock.skew = 1200.0


# ACR.
@breaks("ACR endpoint", "security groups")
def endpoint_that_no_pod_would_reach(world):
    by_service_accounts(world)
    endpoint_that_refuses(world)


@breaks("proxy", "start it")
def proxy_that_is_down(world):
    to_the_cloud_by_name(world)
    world.document["proxy"] = {"https": f"http://127.0.0.1:{closed_port()}"}


@breaks("proxy", "HTTPS_PROXY in the kubelet's environment")
def proxy_of_the_kubelet_that_is_down(world):
    to_the_cloud_by_name(world)
    world.node.environment["HTTPS_PROXY"] = f"http://127.0.0.1:{closed_port()}"


@breaks("DNS", "/etc/resolv.conf")
def name_without_address(world):
    world.registry["endpoints"] = {"acr": "https://acr.invalid"}


@breaks("ACR endpoint", "security groups")
def endpoint_that_refuses(world):
    world.registry["endpoints"] = {"acr": f"https://127.0.0.1:{closed_port()}"}


@breaks("ACR endpoint", "security groups")
def endpoint_that_hangs(world):
    world.sandbox.faults.add("openapi", Hang("connect"))


@breaks("ACR endpoint", "security groups")
def endpoint_that_resets(world):
    world.sandbox.faults.add("openapi", Reset("request"))


@breaks("ACR endpoint", "captive portal")
def captive_portal(world):
    in_place_of_acr(world, Html())


@breaks("ACR endpoint", "captive portal")
def redirect(world):
    in_place_of_acr(world, Redirect("https://127.0.0.1:1/"))


@breaks("ACR endpoint", "caBundle")
def authority_that_is_not_trusted(world):
    world.document["caBundle"] = "/etc/ssl/certs/ca-certificates.crt"


@breaks("clock", "chrony or ntp")
def clock_behind(world):
    world.sandbox.clock.skew = 1200.0


@breaks("clock", "chrony or ntp")
def clock_ahead(world):
    world.sandbox.clock.skew = -1200.0


@breaks("ACR hosts", "instanceId")
def host_that_acr_does_not_list(world):
    del world.registry["domains"]
    world.image = "other-registry.cn-hangzhou.cr.aliyuncs.com/team/app"


@breaks("token", "state Running")
def instance_that_is_stopped(world):
    world.sandbox.faults.add("GetAuthorizationToken", NotSuccess())


@breaks("token", "Wait")
def throttled(world):
    world.sandbox.faults.add("GetAuthorizationToken", Throttle(retry_after_ms=60_000))


@breaks("token", "status page")
def server_failure(world):
    world.sandbox.faults.add("GetAuthorizationToken", Failure(503))


@breaks("token", "support")
def token_that_expired_on_arrival(world):
    world.sandbox.faults.add("GetAuthorizationToken", Grant(expiry="past"))


# The registry.
@breaks("registry login", "one instance only")
def token_service_that_refuses(world):
    world.sandbox.faults.add("registry.auth", Failure(401))


@breaks("registry login", "no other server answers in its place")
def something_else_in_the_registrys_place(world):
    world.sandbox.faults.add("registry.v2", Html())


@breaks("registry login", "Correct the image's name or tag")
def no_such_tag(world):
    world.image = world.image.replace(":latest", ":gone")
