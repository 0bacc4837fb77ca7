"""The guard of a unit that is given our flags by a drop-in: a script that runs before each start of the kubelet. Pure.

It gives the flags only when all is there and runs: without the plugin, or after a few failed starts with it, the
kubelet starts as it did before.
"""

from __future__ import annotations

from acr_credential_provider.kubelet.process import BIN_DIR_FLAG, CONFIG_FLAG

from acr_node_config.kubelet_config.provider_entries import NAME

FLAGS_FOLDER = f"/run/{NAME}"
FLAGS_FILE = f"{FLAGS_FOLDER}/kubelet-flags"
"""What the guard writes and the unit reads: gone after a boot."""
VARIABLE = "ALIYUN_ACR_CREDENTIAL_PROVIDER_FLAGS"

_GUARD = """\
#!/bin/sh
# Runs before each start of the kubelet. Writes the flags that make it use the credential provider, but
# only if the program is there and runs and the configuration is there, and no other one is in use. The
# unit ignores how this ends: a kubelet without the plugin is better than none.
set -u
PATH=/usr/sbin:/usr/bin:/sbin:/bin
flags={flags}
program={program}
config={config}

rm -f "$flags"
case "${{{variable}:-}}" in
'' | *{bin_dir}*) ;; # nothing, or what this wrote before the last start
*) exit 0 ;;         # somebody else's provider
esac
[ -x "$program" ] && [ -r "$config" ] || exit 0
{token_check}timeout 20 "$program" --version >/dev/null 2>&1 </dev/null || exit 0
# Counts the restarts that systemd did by itself; a reboot or an operator's restart begins anew.
restarts=$(systemctl show --property=NRestarts --value {unit} 2>/dev/null) || restarts=0
[ "${{restarts:-0}}" -lt 3 ] || exit 0
mkdir -p "${{flags%/*}}" &&
    printf '%s="--{config_flag}=%s --{bin_dir_flag}=%s"\\n' \\
        {variable} "$config" {bin_dir} >"$flags.new" &&
    mv -f "$flags.new" "$flags"
"""


def script(
    config: str,
    bin_dir: str,
    *,
    variable: str = VARIABLE,
    unit: str = "kubelet.service",
    has_token_provider: bool = False,
) -> str:
    """Return the script, POSIX sh, that sets *variable* to the flags for *config* and *bin_dir*."""
    program = f"{bin_dir}/{NAME}"
    token_check = '[ -x "$program-token" ] || exit 0\n' if has_token_provider else ""
    return _GUARD.format(
        flags=FLAGS_FILE,
        program=program,
        config=config,
        variable=variable,
        bin_dir=bin_dir,
        config_flag=CONFIG_FLAG,
        bin_dir_flag=BIN_DIR_FLAG,
        token_check=token_check,
        unit=unit,
    )


def settings(script_path: str) -> str:
    """Return the lines of a drop-in that run the script at *script_path*, however that ends, and read its flags."""
    return f"[Service]\nEnvironmentFile=-{FLAGS_FILE}\nExecStartPre=-/bin/sh {script_path}\n"
