#!/bin/sh
# Packs the bundles of another architecture into dist/: cross_build.sh ARCH (Debian's name, such as arm64). PyInstaller
# freezes for the machine that it runs on only, so this builds the committed tree in a Debian root of that architecture,
# by qemu: as root, some twenty minutes, a release's job. The root stays in the cache for the next time.
set -eu

arch=$1
# shellcheck disable=SC1091 # the one of the machine that this runs on
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
repository=$(cd "$(dirname "$0")/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/aliyun-acr-credential-provider/roots
root=$cache/$suite-build-$arch

missing=
command -v mmdebstrap >/dev/null || missing="$missing mmdebstrap"
command -v arch-test >/dev/null || missing="$missing arch-test"
[ -n "$(find /usr/bin /usr/libexec -name 'qemu-*-static' -print -quit 2>/dev/null)" ] || missing="$missing qemu-user-static"
command -v update-binfmts >/dev/null || missing="$missing binfmt-support"
if [ -n "$missing" ]; then
    echo "error: this machine lacks:$missing" >&2
    echo "remedy: apt-get update && apt-get install --yes --no-install-recommends$missing" >&2
    exit 1
fi
if [ ! -e /proc/sys/fs/binfmt_misc/register ]; then
    mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
fi
update-binfmts --enable

if [ ! -d "$root" ]; then
    mkdir -p "$cache"
    rm -rf "$root.new"
    # --no-install-recommends is how mmdebstrap installs.
    mmdebstrap --quiet --variant=minbase --architectures="$arch" \
        --include=binutils,ca-certificates,gcc,git,libc6-dev,libpython3-dev,make,python3,python3-venv \
        "$suite" "$root.new"
    mv "$root.new" "$root"
fi

rm -rf "$root/source"
git clone --quiet --no-hardlinks "$repository" "$root/source"
cp /etc/resolv.conf /etc/hosts "$root/etc/"
# Whom this machine trusts when it fetches packages, the build may trust too.
cp "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$root/etc/ssl/certs/ca-certificates.crt"
{
    env | sed -n '/^PIP_\(INDEX_URL\|EXTRA_INDEX_URL\|DEFAULT_TIMEOUT\|PROXY\)=/p; /^[Hh][Tt][Tt][Pp][Ss]*_[Pp][Rr][Oo][Xx][Yy]=/p'
    echo "SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$repository" log -1 --format=%ct)}"
    echo PIP_CERT=/etc/ssl/certs/ca-certificates.crt
    echo PATH=/usr/sbin:/usr/bin:/sbin:/bin
    echo HOME=/root
} >"$root/environment"

# shellcheck disable=SC2016 # the inner shell expands it
unshare --mount --pid --fork --kill-child sh -euc '
    mount -t proc proc "$1/proc"
    mount --bind /dev "$1/dev"
    exec env -i /usr/sbin/chroot "$1" /bin/sh -euc "set -a; . /environment; set +a; exec make -C /source bundles"
' sh "$root"

mkdir -p "$repository/dist"
cp "$root"/source/dist/*-linux-"$arch".* "$repository/dist/"
