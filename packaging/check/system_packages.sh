#!/bin/sh
# Says which system packages the build and the tests need and this machine lacks, and the line that installs them.
# Names are Debian's; elsewhere read them as hints. PYTHON: the interpreter to build with. NEEDED_FOR:
# unit, for what runs from source alone; build, when nothing is tested; distros, when the bundles are run in other
# distributions and in a container too. SETUP=yes: root installs them.
set -u
python=${PYTHON:-/usr/bin/python3}
missing=

need() { # need PACKAGE COMMAND...: the command says whether what the package brings is there
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}
has() { command -v "$1"; }

need python3 "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'
need python3-venv "$python" -c 'import ensurepip, venv'
if [ "${NEEDED_FOR-}" != unit ]; then
# Without a Python its version is not known: the package for whichever it will be.
library=$("$python" -c 'import sys; print("libpython%d.%d" % sys.version_info[:2])' 2>/dev/null || echo libpython3-dev)
# PyInstaller ships the interpreter as a library; Debian's own binary is linked statically.
need "$library" "$python" -c '
import ctypes, sysconfig
ctypes.CDLL(sysconfig.get_config_var("INSTSONAME"))'
need binutils has objdump
need gcc has gcc
need libc6-dev test -e /usr/include/elf.h
need make has make
fi
need git has git
case ${NEEDED_FOR-} in unit | build) ;; *)
need iproute2 has ip
need util-linux has unshare
need openssl has openssl
need skopeo has skopeo
need buildah has buildah
need ca-certificates test -e /etc/ssl/certs
esac
case ${NEEDED_FOR-} in
distros)
    need mmdebstrap has mmdebstrap
    need runc has runc
    need umoci has umoci
    need docker-registry has docker-registry
    ;;
esac

if [ -n "$missing" ]; then
    if [ "${SETUP-}" = yes ] && [ "$(id -u)" = 0 ] && has apt-get >/dev/null; then
        echo "installing$missing (SETUP=no switches this off)"
        # shellcheck disable=SC2086 # a list of names
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends $missing >/dev/null &&
            exit 0
        echo "error: apt-get could not install:$missing" >&2
        echo "remedy: repair what apt-get says above, then run make again" >&2
        exit 1
    fi
    echo "error: this machine lacks:$missing" >&2
    echo "remedy: apt-get update && apt-get install --yes --no-install-recommends$missing" >&2
    exit 1
fi
