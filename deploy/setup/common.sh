# Shared by the set-up scripts; sourced, never run.
#
# Everything fetched lives in one cache folder outside the work tree. A part is
# unpacked beside its destination and renamed into place, then stamped with its
# version: an interrupted run leaves nothing half done, and a second run only
# compares stamps.

set -euo pipefail

setup_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bartizan

say() { printf 'setup: %s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

# present STAMP VERSION: was this version put in place before?
present() { [[ -f $1 && $(<"$1") == "$2" ]]; }

stamp() { printf '%s\n' "$2" >"$1"; }

# One set-up at a time: two would unpack into the same folders.
lock_cache() {
    mkdir -p "$cache"
    exec 9>"$cache/.lock"
    flock -n 9 || { say "waiting for another set-up to end"; flock 9; }
}

# A scratch folder on the same file system as the cache, gone when the script ends.
make_scratch() {
    scratch=$(mktemp -d "$cache/.fetch.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
}

# fetch_npm NAME VERSION SHA512: leaves the unpacked package in $scratch/package.
# npm checks the archive against the registry's own digest; the pinned digest
# (base64, as in a lock file; empty = not pinned) also guards against a registry
# that serves something else under the same version.
fetch_npm() {
    local name=$1 version=$2 pin=$3 archive digest
    say "fetching $name $version"
    rm -rf "$scratch/package" "$scratch/archive"
    mkdir "$scratch/archive"
    (cd "$scratch/archive" && npm pack --silent "$name@$version" >/dev/null) ||
        fail "npm could not fetch $name@$version"
    archive=$(echo "$scratch"/archive/*.tgz)
    digest=$(openssl dgst -sha512 -binary "$archive" | base64 -w0)
    [[ -z $pin || $pin == "$digest" ]] || fail "$name@$version is not the pinned file (sha512 $digest)"
    tar -xzf "$archive" -C "$scratch"
    rm -rf "$scratch/archive"
}

# place FILE FOLDER [NAME]: moves a file of the unpacked package to its folder, at once.
place() {
    local from=$scratch/package/$1 to=$2/${3:-$(basename "$1")}
    [[ -s $from ]] || fail "the package has no $1"
    mkdir -p "$2"
    chmod u=rw,go=r "$from"
    mv -f "$from" "$to"
}
