#!/usr/bin/env bash
# Puts enwik8, the first 100,000,000 bytes of the English Wikipedia of 2006-03-03, into data/enwik8.
# It comes from the source distribution of a Python package that carries it for its own example.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/setup.sh

package=minGRU-pytorch
version=0.2.1
member=data/enwik8.gz
target=data/enwik8
sha256=2b49720ec4d78c3c9fabaee6e4179a5e997302b3a70029f30f2d582218c024a8

is_enwik8() {
  [[ -f $1 ]] && sha256sum --status --check <<<"$sha256  $1"
}

if is_enwik8 "$target"; then
  printf '%s is there already\n' "$target"
  exit 0
fi

python3 -m pip --version >/dev/null 2>&1 || require_packages python3-pip
mkdir -p data
# Beside the target, so that the last step is a rename.
download=$(mktemp -d data/.download-XXXXXX)
trap 'rm -rf "$download"' EXIT

python3 -m pip download --disable-pip-version-check --no-deps --no-binary "$package" \
  --dest "$download" "$package==$version"
archives=("$download"/*.tar.gz)
[[ ${#archives[@]} -eq 1 && -f ${archives[0]} ]] || die "no source distribution of $package came"
tar -xzf "${archives[0]}" -O --wildcards "*/$member" | gzip -dc >"$download/enwik8"
is_enwik8 "$download/enwik8" || die "$package $version holds another $member than expected"
mv -f "$download/enwik8" "$target"
printf '%s: %d bytes, checked\n' "$target" "$(stat -c %s "$target")"
