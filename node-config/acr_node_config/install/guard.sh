#!/bin/sh
# Puts the kubelet's files back if it is not healthy with what was just installed, when no installer is left to do it:
# the installer was killed, or the power failed before it had seen the kubelet run. It needs nothing of ours, because
# what we installed may be what is broken.
#
# It reads, from the folder that it lies in:
#   terms    UNIT, PID and BOOT (which process of it has not read the files yet), HEALTH (yes if /healthz answered
#            before), STATE (the installer's folder, which it locks while it works), LINK (what starts this at boot)
#   files    one line a file, in the order to put them back: "absent|file NUMBER PATH"
#   was.N    what was in file N
# and leaves: acted (why), found.N (what was in file N instead), or healthy.
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
here=${0%/*}
STABLE_FOR=${STABLE_FOR:-15}
PATIENCE=${PATIENCE:-90}
CRASHES=3
PORT=2808 # 10248, as the kernel writes it

say() { printf '%s\n' "aliyun-acr-credential-provider: $*"; }

property() { printf '%s\n' "$1" | sed -n "s/^$2=//p"; }

look() { systemctl show --property=ActiveState,MainPID,NRestarts,Result "$UNIT"; }

# Fails if a socket that listens at the port of /healthz is not the kubelet's: any process can take it meanwhile.
has_its_port() {
    [ -r /proc/net/tcp ] || return 0
    # shellcheck disable=SC2012 # the names are numbers
    sockets=" $(ls -l "/proc/$1/fd" 2>/dev/null | sed -n 's/.* socket:\[\([0-9]*\)\]$/\1/p' | tr '\n' ' ') "
    for table in /proc/net/tcp /proc/net/tcp6; do
        [ -r "$table" ] || continue
        while read -r _ address _ phase _ _ _ _ _ inode _; do
            [ "${address#*:}" = "$PORT" ] && [ "$phase" = 0A ] || continue
            case $sockets in *" $inode "*) ;; *) return 1 ;; esac
        done <"$table"
    done
}

# Where nothing is there to ask with, or others would answer, a steady process has to do.
answers() {
    [ "$HEALTH" = yes ] || return 0
    has_its_port "$(property "$(look)" MainPID)" || return 0
    if command -v curl >/dev/null; then
        curl --silent --fail --max-time 2 --noproxy '*' --output /dev/null http://127.0.0.1:10248/healthz
    elif command -v wget >/dev/null; then
        wget -q -T 2 -O /dev/null http://127.0.0.1:10248/healthz
    fi
}

# An installer that works holds this lock; while we hold it, none does. Time is counted in looks, for the clock may jump.
wait_for_installer() {
    if ! command -v flock >/dev/null; then
        sleep 180
        return 0
    fi
    exec 9<"$STATE"
    waited=0
    while ! flock -n 9 && [ "$waited" -lt 300 ]; do
        sleep 1
        waited=$((waited + 1))
    done
}

# Sets why; succeeds when the kubelet was one steady process for STABLE_FOR looks in a row.
is_healthy() {
    steady=0 last='' looks=0 first='' why='it did not come up'
    while [ "$looks" -lt "$PATIENCE" ]; do
        now=$(look)
        restarts=$(property "$now" NRestarts)
        : "${restarts:=0}"
        [ -n "$first" ] && [ "$restarts" -ge "$first" ] || first=$restarts
        if [ "$((restarts - first))" -ge "$CRASHES" ]; then
            why="it crash-loops: systemd started it $restarts times"
            return 1
        fi
        if [ "$(property "$now" ActiveState)" = active ] && [ "$now" = "$last" ]; then
            if answers; then
                steady=$((steady + 1))
                [ "$steady" -lt "$STABLE_FOR" ] || return 0
            else
                steady=0 why='its /healthz does not answer'
            fi
        else
            steady=0
        fi
        last=$now
        looks=$((looks + 1))
        sleep 1
    done
    return 1
}

put_back() {
    while read -r kind number path; do
        draft=${path%/*}/.${path##*/}.aliyun-acr-credential-provider-draft
        if [ -e "$path" ]; then
            cp -p "$path" "$here/found.$number"
        fi
        if [ "$kind" = absent ]; then
            rm -f "$path"
        else
            rm -f "$draft"
            cp -p "$here/was.$number" "$draft" && sync && mv -f "$draft" "$path"
            if command -v restorecon >/dev/null; then
                restorecon "$path"
            fi
        fi
    done <"$here/files"
    sync
}

is_old() {
    [ "$PID" != 0 ] && [ "$(property "$(look)" MainPID)" = "$PID" ] &&
        [ "$(cat /proc/sys/kernel/random/boot_id)" = "$BOOT" ]
}

[ -f "$here/terms" ] || exit 0
# shellcheck source=/dev/null
. "$here/terms"
wait_for_installer
# Until it was restarted it says nothing about the files.
while [ -f "$here/terms" ] && is_old; do
    exec 9<&-
    sleep 2
    wait_for_installer
done
[ -f "$here/terms" ] || exit 0 # the installer saw it through
if is_healthy; then
    say "$UNIT is healthy with what was installed"
    : >"$here/healthy"
    rm -f "$LINK"
    exit 0
fi
now=$(look)
if [ "$(property "$now" ActiveState)" = inactive ] && [ "$(property "$now" Result)" = success ]; then
    say "$UNIT is stopped, so its health cannot be told"
    exit 0
fi
say "$UNIT is not healthy with what was installed ($why): putting its files back"
put_back
printf '%s\n' "$why" >"$here/acted"
rm -f "$LINK"
sync
systemctl daemon-reload
systemctl reset-failed "$UNIT"
systemctl --no-block restart "$UNIT"
