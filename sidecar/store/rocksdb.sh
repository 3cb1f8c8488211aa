#!/usr/bin/env bash
# Builds RocksDB's static library once, in minutes, and prints the folder it is in.
#
#   export ROCKSDB_LIB_DIR=$(sidecar/store/rocksdb.sh) ROCKSDB_STATIC=1
#
# The sources are those of the locked `librocksdb-sys`, in cargo's own registry folder. Most of the
# time of an ordinary build goes into reading the same headers 343 times; here the same files are
# compiled as a few unity files that only #include them. The defines are those of the crate's
# build.rs; SSE4.2 and PCLMUL are switched on for x86-64, so that the WAL's CRC32C is the hardware
# one. The archive is kept in a cache keyed by version, compiler and flags, and is never rebuilt.
# A plain `cargo build` without it works too; it takes half an hour.
#
# SKEWLESS_CACHE_DIR  where the archive is kept (default: ~/.cache/skewless)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cache=${SKEWLESS_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/skewless}

sources() { # the folder of a locked crate's sources
    cargo metadata --locked --format-version 1 --manifest-path "$root/Cargo.toml" |
        python3 -c '
import json, os, sys
for package in json.load(sys.stdin)["packages"]:
    if package["name"] == sys.argv[1]:
        print(package["version"], os.path.dirname(package["manifest_path"]))' "$1"
}
read -r version dir < <(sources librocksdb-sys)

cxx=${CXX:-clang++}
command -v "$cxx" >/dev/null || cxx=g++
flags=(-std=c++20 -O2 -g0 -fPIC -w -include cstdint -DNDEBUG=1 -DLZ4=1
    -DHAVE_ALIGNED_NEW -DHAVE_UINT128_EXTENSION -DOS_LINUX -DROCKSDB_PLATFORM_POSIX
    -DROCKSDB_LIB_IO_POSIX -DROCKSDB_SCHED_GETCPU_PRESENT -DROCKSDB_AUXV_GETAUXVAL_PRESENT
    -DROCKSDB_FALLOCATE_PRESENT -DROCKSDB_RANGESYNC_PRESENT)
case $(uname -m) in
x86_64) flags+=(-msse4.2 -mpclmul) ;;
aarch64) flags+=(-march=armv8-a+crc+aes+crypto) ;;
esac
key=$(printf '%s\n' "$version" "$($cxx --version | head -1)" "${flags[@]}" | sha256sum | cut -c1-12)
out=$cache/rocksdb-$version-$key
if [ -f "$out/librocksdb.a" ]; then
    echo "$out"
    exit
fi

echo "building RocksDB $version with $cxx (once; about 8 CPU minutes)" >&2
read -r _ lz4 < <(sources lz4-sys)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Six groups of about equal work; no two files in one group define the same local name.
python3 - "$dir" "$work" <<'PY'
import sys
dir, work = sys.argv[1:]
files = [line.strip() for line in open(f"{dir}/rocksdb_lib_sources.txt") if line.strip()]
files.remove("util/build_version.cc")
groups = {"table": [], "db1": [], "db2": [], "db3": [], "utilities": [], "rest": []}
for file in files:
    top, _, rest = file.partition("/")
    if top in ("table", "cache", "memtable"):
        groups["table"].append(file)
    elif top == "db":
        nested = "/" in rest
        groups["db3" if nested and not rest.startswith(("blob", "compaction")) else "db1" if rest < "e" and not nested else "db2"].append(file)
    elif top == "utilities":
        groups["utilities"].append(file)
    else:
        groups["rest"].append(file)
for name, group in groups.items():
    with open(f"{work}/{name}.cc", "w") as unit:
        unit.writelines(f'#include "{dir}/rocksdb/{file}"\n' for file in group)
        if name == "rest":
            unit.write(f'#include "{dir}/build_version.cc"\n')
PY
printf '%s\n' db1 table db2 utilities rest db3 |
    xargs -P "$(nproc)" -I{} "$cxx" "${flags[@]}" -I"$dir/rocksdb/include" -I"$dir/rocksdb" \
        -I"$dir" -I"$lz4/liblz4/lib" -c "$work/{}.cc" -o "$work/{}.o" >&2
ar rcs "$work/librocksdb.a" "$work"/*.o
mkdir -p "$cache"
staged=$(mktemp -d "$cache/.rocksdb-XXXXXX")
mv "$work/librocksdb.a" "$staged/"
chmod 755 "$staged"
mv -T "$staged" "$out" 2>/dev/null || rm -rf "$staged" # another build was first: keep its archive
echo "$out"
