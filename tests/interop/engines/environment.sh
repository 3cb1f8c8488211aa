# For scripts of tests/interop that run the wheel; to be sourced, with their folder in `here`.
# What fails inside of $(..) ends the script, too.
shopt -s inherit_errexit
cache=${SKEWLESS_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/skewless}

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# The wheel: the one named by SKEWLESS_WHEEL, or this checkout's.
wheel() {
    local built=${SKEWLESS_WHEEL:-}
    [ -n "$built" ] || built=$("$here/wheel/build.sh")
    [ -f "$built" ] || die "no wheel of skewless at $built"
    echo "$built"
}

# A Python with the packages of a requirements file, made once, and with the wheel, put into it every time.
python_with() { # requirements
    local home built
    built=$(wheel)
    home=$cache/interop-$(basename "$1" -requirements.txt)-$( (cat "$1" && python3 --version) | cksum | cut -d ' ' -f 1)
    # Written last: without it, a run was ended half way.
    if [ ! -f "$home/whole" ]; then
        say "installing $(basename "$1")"
        python3 -m venv --clear "$home" >&2
        "$home/bin/pip" install --quiet --disable-pip-version-check --requirement "$1" >&2
        touch "$home/whole"
    fi
    "$home/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-index --force-reinstall "$built" >&2
    echo "$home/bin/python"
}
