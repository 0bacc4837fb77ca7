#!/bin/sh
# Builds the committed tree a second time, from a clone at another path with a Python environment of its own, and compares
# what comes out of it, byte by byte, with dist/, which `make dist` made of the same tree.
set -eu
repository=$(cd "$(dirname "$0")/../.." && pwd)
if [ -n "$(git -C "$repository" status --porcelain)" ]; then
    echo "error: there are changes that are not committed, and a clone would not have them" >&2
    echo "remedy: commit them, or put them aside" >&2
    exit 1
fi
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$repository" log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

elsewhere=$(mktemp -d)
trap 'rm -rf "$elsewhere"' EXIT
clone=$elsewhere/a-longer-path/than/the/first
git clone --quiet --no-hardlinks "$repository" "$clone"
# Neither the hour, nor the language, nor the umask, nor the user's settings may show.
(umask 077 && cd "$clone" && env TZ=Asia/Shanghai LC_ALL=C PYTHONHASHSEED=1 make dist)

# What lies in dist/ for other architectures is in the checksums and the image too.
others=$([ "$(ls "$repository/dist")" = "$(ls "$clone/dist")" ] || echo 'SHA256SUMS *.oci.tar')
for file in "$clone"/dist/*; do
    for other in $others; do
        # shellcheck disable=SC2254 # a pattern
        case ${file##*/} in $other) continue 2 ;; esac
    done
    cmp "$repository/dist/${file##*/}" "$file" || exit 1
done
echo "the same bytes from two paths"
