#!/bin/sh
# Installs aliyun-acr-credential-provider on a node before or while it joins its cluster. Needs sh, tar with gzip,
# sha256sum, and curl or wget unless ARCHIVE is a path. Needs no Python. You can run it again at any time.
#
# Fill in the next lines, or set them in the environment. Choose one of these:
#
#   WAY=image      In the build of a node image (Packer, a chroot). Nothing is started or restarted.
#                  BEFORE THE FIRST POD.
#   WAY=cloud-init In user data of cloud-init, before "kubeadm join" or a similar step.
#                  BEFORE THE FIRST POD, if it runs before the join.
#   WAY=ack-custom-data
#                  ACK: "pre-defined custom data" of a node pool, which runs before ACK sets up the node.
#                  BEFORE THE FIRST POD.
#   WAY=ack-user-data
#                  ACK: "user data" of a node pool, which runs when the node is already Ready. NOT BEFORE THE FIRST POD:
#                  a Pod may pull before the kubelet is restarted, get a 401, and retry within five minutes. Give the
#                  pool a taint and remove it later, or use ack-custom-data.
#   WAY=running    On a node in a cluster: like ack-user-data, for all other platforms. The DaemonSet does this for a
#                  whole cluster. NOT BEFORE THE FIRST POD on nodes that an autoscaler adds.
#
# With Karpenter on ACK, ECSNodeClass.spec.userData replaces ACK's own script: put this script in front of it.
set -eu

WAY=${WAY:-}
ARCHIVE=${ARCHIVE:-}   # https://... or a path: aliyun-acr-credential-provider-VERSION-linux-ARCH.tar.gz
SHA256=${SHA256:-}     # of the archive, from SHA256SUMS of a release that you trust; required
SETTINGS=${SETTINGS:-} # path of the settings to install; empty where an image or another script has put them in place
OPTIONS=${OPTIONS:-}   # more options of "node bake" and "node install", for example: --profile kubeadm-deb

NAME=aliyun-acr-credential-provider
SECONDS_TO_FETCH=300

fail() {
    echo "error: $1" >&2
    echo "remedy: $2" >&2
    exit 1
}

# The download has a time limit; a proxy is read from the environment. A signed URL is a secret, so it is passed on stdin and
# not as an argument that every user can see (except to busybox's wget, which does not read stdin).
fetch() {
    if command -v curl >/dev/null 2>&1; then
        printf 'url = "%s"\n' "$1" | timeout "$SECONDS_TO_FETCH" curl --config - --fail --silent --location \
            --proto '=https,http' --retry 5 --retry-delay 3 --connect-timeout 10 --output "$2"
    elif wget --version >/dev/null 2>&1; then
        printf '%s\n' "$1" | timeout "$SECONDS_TO_FETCH" wget -q -t 5 -T 30 -O "$2" -i -
    elif command -v wget >/dev/null 2>&1; then
        timeout "$SECONDS_TO_FETCH" wget -q -O "$2" -- "$1" # some builds crash at -T
    else
        fail "neither curl nor wget is here" "Put the archive into the image and name its path in ARCHIVE."
    fi
}

case "$WAY" in
image | cloud-init | ack-custom-data) verb=bake ;;
ack-user-data | running) verb=install ;;
*) fail "WAY is none of image, cloud-init, ack-custom-data, ack-user-data, running" "See the top of this file." ;;
esac
case "$WAY" in ack-*) OPTIONS="--profile ack $OPTIONS" ;; esac
[ "$(id -u)" = 0 ] || fail "this is not run by root" "Run it by root: it changes the node."
[ -n "$ARCHIVE" ] || fail "ARCHIVE is empty" "Name the archive: https://... or a path."
printf '%s' "$SHA256" | grep -Eq '^[0-9a-f]{64}$' || fail "SHA256 is not 64 hexadecimal digits" "See SHA256SUMS."

# On ContainerOS only /etc and /var are writable; hardened nodes run nothing from /var/tmp.
umask 077
work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
for folder in /var/tmp /var/lib /opt; do
    work=$(mktemp -d "$folder/$NAME.XXXXXX" 2>/dev/null) || continue
    printf '#!/bin/sh\n' >"$work/probe" && chmod 700 "$work/probe" && "$work/probe" 2>/dev/null && break
    rm -rf "$work"
    work=
done
[ -n "$work" ] || fail "programs can be put into none of /var/tmp, /var/lib, /opt" "Free some space there."

case "$ARCHIVE" in
*[[:space:]\"\\]*) fail "ARCHIVE has a space, a quote or a backslash in it" "Encode it." ;;
http://* | https://*)
    fetch "$ARCHIVE" "$work/archive" || fail "ARCHIVE could not be fetched in time" "Check routes, DNS and the proxy."
    ;;
/*) cp -- "$ARCHIVE" "$work/archive" || fail "ARCHIVE cannot be read" "Put the archive there." ;;
*) fail "ARCHIVE is neither a URL nor an absolute path" "Write it out." ;;
esac

# Nothing of the archive is read before this check.
found=$(sha256sum <"$work/archive")
[ "${found%% *}" = "$SHA256" ] ||
    fail "the archive is not the one that SHA256 is of" "Compare it with SHA256SUMS; do not run it."

umask 022
mkdir "$work/unpacked"
tar -xzof "$work/archive" -C "$work/unpacked" || fail "the archive cannot be unpacked" "Free some space in ${work%/*}."
bundle=$work/unpacked/$NAME
[ -x "$bundle/$NAME" ] || fail "the archive has no $NAME" "Take a release's, for this architecture."

set -- node "$verb" --bundle "$bundle"
[ -z "$SETTINGS" ] || set -- "$@" --settings "$SETTINGS"
# shellcheck disable=SC2086 # OPTIONS is split into words on purpose
"$bundle/$NAME" "$@" $OPTIONS

# ACK keeps this file only if the node pool's script contains a literal redirection into it. This writes the content that the
# program has just put there.
case "$WAY" in
ack-*)
    if [ -s /etc/kubernetes/kubelet-customized-args.conf ]; then
        cp /etc/kubernetes/kubelet-customized-args.conf "$work/arguments"
        cat "$work/arguments" > /etc/kubernetes/kubelet-customized-args.conf
    fi
    ;;
esac
