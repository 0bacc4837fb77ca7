"""Ways to break the kubelet's set-up, the plugin's files and its settings."""

import json

from e2e.doctor_fixture import by_service_accounts, catalogue
from support import harness

BREAKS, breaks = catalogue()


# The kubelet.
@breaks("kubelet", "Stop those")
def two_kubelets(world):
    world.node.kubelets = 2


@breaks("kubelet flags", "Add --image-credential-provider-config=... and --image-credential-provider-bin-dir=...")
def no_flags(world):
    world.node.flags = ["--v=2"]


@breaks("kubelet flags", "Add --image-credential-provider-bin-dir=...")
def one_flag_only(world):
    del world.node.flags[2:]


@breaks("kubelet config", "restart the kubelet")
def no_config_file(world):
    world.node.config = None


@breaks("kubelet config", "restart the kubelet")
def config_with_an_unknown_field(world):
    world.node.provider["matchImage"] = ["*"]


@breaks("kubelet config", "restart the kubelet")
def config_without_cache_duration(world):
    world.node.provider["defaultCacheDuration"] = "1d"


@breaks("kubelet config", "name: aliyun-acr-credential-provider")
def another_provider_only(world):
    world.node.provider["name"] = "ecr-credential-provider"


@breaks("kubelet config", "--settings=/FILE")
def args_that_are_not_understood(world):
    world.node.provider["args"].append("--config=/etc/acr.yaml")


@breaks("matchImages", "to its matchImages")
def too_few_labels(world):
    world.node.provider["matchImages"] = ["*.aliyuncs.com"]


@breaks("matchImages", "to its matchImages")
def a_glob_in_the_path(world):
    world.node.provider["matchImages"] = [f"{world.sandbox.registry.address}/*"]


@breaks("plugin file", "Install the program there again")
def plugin_that_is_not_executable(world):
    world.node.plugin.unlink()
    world.node.plugin.write_bytes(b"\x7fELF")
    world.node.plugin.chmod(0o644)


@breaks("plugin file", "Install the program there again")
def plugin_that_is_gone(world):
    world.node.plugin.unlink()
    world.node.plugin.symlink_to("/nowhere/aliyun-acr-credential-provider")


@breaks("plugin file", "root alone can change")
def bin_dir_that_others_write(world):
    world.node.bin_dir.chmod(0o777)


# The node.
@breaks("settings", "Install the settings at")
def no_settings(world):
    world.document = None


@breaks("settings", "Check indentation")
def wrong_indentation(world):
    world.text = json.dumps(world.document)[:-20]


@breaks("settings", "Correct its spelling")
def misspelt_field(world):
    world.registry["regionId"] = "cn-hangzhou"


@breaks("settings", "new file of root")
def settings_that_others_write(world):
    world.arrange = lambda: world.settings.chmod(0o666)


@breaks("cache folder", "name another with --cache")
def cache_that_others_write(world):
    world.cache.mkdir()
    world.cache.chmod(0o777)


@breaks("cache folder", "--cache")
def cache_that_is_a_file(world):
    world.cache.write_text("")


@breaks("registry entry", "to domains of registries[0]")
def host_without_entry(world):
    world.node.provider["matchImages"].append("127.0.0.1:1")
    world.image = "127.0.0.1:1/team/app"


@breaks("registry entry", "Correct region:")
def host_of_another_region(world):
    world.image = "sandbox-registry.cn-beijing.cr.aliyuncs.com/team/app"


@breaks("kubelet config", "restart the kubelet")
def token_attributes_of_an_older_protocol(world):
    by_service_accounts(world)
    world.node.provider["apiVersion"] = harness.API_VERSIONS[1]


@breaks("plugin as the kubelet runs it", "Check this node's routes")
def plugin_that_is_not_ours(world):
    world.node.plugin.unlink()
    world.node.plugin.write_text("#!/bin/sh\necho '{}'\n")
    world.node.plugin.chmod(0o755)
