#!/usr/bin/env bash
# A redis-server: that on the PATH, else Debian's, unpacked into $SKEWLESS_CACHE_DIR. Takes its arguments.
set -euo pipefail
if command -v redis-server >/dev/null; then exec redis-server "$@"; fi
unpacked=$SKEWLESS_CACHE_DIR/peers/redis
if [ ! -x "$unpacked/usr/bin/redis-check-rdb" ]; then
    mkdir -p "$unpacked/deb"
    (cd "$unpacked/deb" && apt-get download -qq redis-tools redis-server libjemalloc2 liblua5.1-0 liblzf1 lua-bitop lua-cjson libatomic1 >&2)
    for package in "$unpacked"/deb/*.deb; do dpkg -x "$package" "$unpacked"; done
fi
libraries=$(echo "$unpacked"/usr/lib/*-linux-gnu)
# Debian's redis-server is a link to redis-check-rdb, which looks at the name it is called by.
LD_LIBRARY_PATH=$libraries:${LD_LIBRARY_PATH:-} exec "$unpacked/usr/bin/redis-server" "$@"
