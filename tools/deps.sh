#!/usr/bin/env bash
# Install what is missing, and nothing else: Debian packages, ONNX Runtime.
# usage: tools/deps.sh [run|test|peers]     default: test
#
# run    what the programs need        test   run, and what `make test` needs
# peers  test, and what `make bench-peers` and `tribus bench quant` compare with
#
# Asks for sudo only when a package is missing and the user is not root. Needs no network when
# nothing is missing, so a second run works offline.
set -euo pipefail
cd "$(dirname "$0")/.."
level=${1:-test}
deps=$PWD/build/deps
onnx_version=1.30.0
onnx_header=1.21

run=(cmake ninja-build pkg-config gcc libc6-dev redis-server libjansson-dev libhiredis-dev
    libcyaml-dev zlib1g-dev liblzma-dev libzstd-dev libopenblas-dev liblapacke-dev
    libcivetweb-dev libssl-dev python3)
test=(clang clang-format clang-tidy libclang-rt-14-dev python3-redis python3-yaml valgrind strace
    gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user spin unzip iproute2 openssl)
peers=(libzmq3-dev libnng-dev libiceoryx-binding-c-dev libiceoryx-posh-dev iceoryx libck-dev
    g++ libquantlib0-dev python3-numpy python3-scipy python3-pandas)

case $level in
run) want=("${run[@]}") ;;
test) want=("${run[@]}" "${test[@]}") ;;
peers) want=("${run[@]}" "${test[@]}" "${peers[@]}") ;;
*) echo "usage: tools/deps.sh [run|test|peers]" >&2; exit 2 ;;
esac

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "deps: not root and no sudo; as root run: $*" >&2
        exit 1
    fi
}

updated=no
install_packages() {
    local missing=() name
    for name in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] ||
            missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "deps: installing ${missing[*]}"
    if [ $updated = no ]; then
        as_root apt-get -q update >/dev/null
        updated=yes
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends \
        install "${missing[@]}" >/dev/null
}

# There is no Debian 12 package of ONNX Runtime. The library comes inside an npm package, the C
# header from the package of the next Debian release, unpacked here without touching the system.
onnx_library() {
    local lib=$deps/onnxruntime/lib/libonnxruntime.so.1 work
    [ ! -f "$lib" ] || return 0
    command -v npm >/dev/null || install_packages npm
    work=$(mktemp -d)
    echo "deps: fetching ONNX Runtime $onnx_version"
    (cd "$work" && npm pack --silent "onnxruntime-node@$onnx_version" >/dev/null)
    mkdir -p "$(dirname "$lib")"
    local arch=x64
    [ "$(uname -m)" = aarch64 ] && arch=arm64
    tar -xzf "$work"/onnxruntime-node-*.tgz -C "$work" \
        "package/bin/napi-v6/linux/$arch/libonnxruntime.so.1"
    mv "$work/package/bin/napi-v6/linux/$arch/libonnxruntime.so.1" "$lib.part"
    mv "$lib.part" "$lib"
    rm -rf "$work"
}

# Sets `apt` to an apt-get that knows only that suite of Debian and keeps its state in a folder:
# packages of another release are unpacked, never installed.
other_suite() {
    local work=$1 suite=$2 uri
    uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
        grep -v security | grep -m1 debian) || true
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/empty"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main" \
        >"$work/sources.list"
    : >"$work/status"
    apt=(apt-get -q -o Dir::Etc::sourcelist="$work/sources.list"
        -o Dir::Etc::sourceparts="$work/empty" -o Dir::State::lists="$work/lists"
        -o Dir::Cache="$work/cache" -o Dir::State::status="$work/status"
        -o APT::Sandbox::User=)
}

onnx_include() {
    local include=$deps/onnxruntime/include work apt
    [ ! -f "$include/onnxruntime_c_api.h" ] || return 0
    [ -f /usr/include/onnxruntime/onnxruntime_c_api.h ] && return 0
    echo "deps: fetching the C header of ONNX Runtime $onnx_header"
    work=$(mktemp -d)
    other_suite "$work" trixie
    "${apt[@]}" update >/dev/null
    (cd "$work" && "${apt[@]}" download libonnxruntime-dev >/dev/null)
    dpkg -x "$work"/libonnxruntime-dev_*.deb "$work/unpacked"
    mkdir -p "$include"
    find "$work/unpacked" -name 'onnxruntime_*.h' -exec cp {} "$include/" \;
    rm -rf "$work"
    [ -f "$include/onnxruntime_c_api.h" ] || { echo "deps: the header did not arrive" >&2; exit 1; }
}

# Valkey 8 is in Debian's backports; unpacked here, for the tests. Without it they are skipped.
valkey() {
    local to=$deps/valkey work apt
    [ ! -x "$to/usr/bin/valkey-server" ] || return 0
    ! command -v valkey-server >/dev/null || return 0
    work=$(mktemp -d)
    mkdir -p "$to"
    other_suite "$work" bookworm-backports
    if "${apt[@]}" update >/dev/null 2>&1 &&
        (cd "$work" && "${apt[@]}" download valkey-server valkey-tools >/dev/null 2>&1); then
        echo "deps: unpacked Valkey"
        dpkg -x "$work"/valkey-tools_*.deb "$to"
        dpkg -x "$work"/valkey-server_*.deb "$to"
    else
        echo "deps: no Valkey in Debian's backports here; its test is skipped" >&2
    fi
    rm -rf "$work"
}

install_packages "${want[@]}"
[ "$level" = run ] || valkey
onnx_library
onnx_include
