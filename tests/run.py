"""Runs test programs some at a time; cargo runs them one after the other, and each waits a good part of its time, for
disks, clocks and the last of its own tests, and a core with it.

    cargo test --no-run --message-format json-render-diagnostics | python3 tests/run.py cargo test --doc

Takes cargo's messages, runs each program in its crate's folder as cargo does, and the command beside them, prints what
each said when it has ended, and ends with 1 if one failed. The times of the last run lie in cargo's target folder: the
longest begin first.

Their temporary files are kept in memory where there is plenty, unless TMPDIR is set: most of what the store's tests
wait for is a disk that syncs. What most show of syncs and lost power they learn from the calls, not from the disk; some
keep to the disk nonetheless, beside what cargo builds.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

CORES = len(os.sched_getaffinity(0))

# One more than there are cores, for what each waits, and three at most: every program has a thread a core already, and
# more would take each other's cores.
AT_A_TIME = min(3, CORES + 1)

# A program takes a minute or two; one that hangs is ended, and what it said until then is told.
SECONDS_MAX = 20 * 60

# The tests use a GiB at once at most.
IN_MEMORY_BYTES_MIN = 4 << 30


# Each leads a group of its own, of what it starts.
RUNNING = set()


def main():
    programs = list(built(sys.stdin))
    if not programs:
        sys.exit("error: expected cargo's messages of test programs that it built, came none")
    seconds = Seconds(programs[0])
    if sys.argv[1:]:
        programs.append(Program(sys.argv[1:]))
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="skewless-tests-", dir=memory()) as scratch:
        failed = run_all(programs, seconds, dict(os.environ, TMPDIR=scratch))
    took, spent = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = (spent.ru_utime + spent.ru_stime) / (took * CORES)
    print(f"      Ended {len(programs)} test programs in {took:.1f} s, {busy:.0%} of the processors' time", flush=True)
    if failed:
        sys.exit(f"error: {len(failed)} of {len(programs)} test programs failed: {', '.join(failed)}")


def run_all(programs, seconds, environment):
    """Those that failed, each with its exit code."""
    programs.sort(key=seconds.last, reverse=True)
    failed = []
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        running = {pool.submit(run, program, environment): program for program in programs}
        try:
            for ended in as_completed(running):
                program, (code, said, took) = running[ended], ended.result()
                seconds.keep(program, took)
                print(f"     Running {program.source} ({took:.1f} s)", flush=True)
                sys.stdout.buffer.write(said)
                sys.stdout.buffer.flush()
                if code != 0:
                    failed.append(f"{program.source} ended with {code}")
        except KeyboardInterrupt:
            # Those that run are interrupted, too; the others are not begun.
            for group in list(RUNNING):
                end(group, signal.SIGINT)
            pool.shutdown(cancel_futures=True)
            raise
    return failed


class Program:
    """A command, what it is known by, its folder, and what it has in its environment beside what all have."""

    def __init__(self, command, source=None, folder=None, environment=None):
        self.command = command
        self.source = source or " ".join(command)
        self.folder = folder
        self.environment = environment or {}


def built(lines):
    """Test programs, in the folder and with the variables that cargo gives them."""
    found = libraries()
    for line in lines:
        message = json.loads(line)
        if message["reason"] == "compiler-artifact" and message["profile"]["test"] and message["executable"]:
            source = os.path.relpath(message["target"]["src_path"])
            folder = os.path.dirname(message["manifest_path"])
            yield Program([message["executable"]], source, folder, {"CARGO_MANIFEST_DIR": folder, "LD_LIBRARY_PATH": found})


def run(program, environment):
    """Its exit code, what it said, and how many seconds it took."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as said:
        running = subprocess.Popen(program.command, cwd=program.folder, env=dict(environment, **program.environment),
                                   stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, start_new_session=True)
        RUNNING.add(running.pid)
        try:
            code = running.wait(SECONDS_MAX)
        except subprocess.TimeoutExpired:
            end(running.pid, signal.SIGKILL)
            code = running.wait()
            said.write(f"\nended after {SECONDS_MAX} s: the test that is missing above hangs\n".encode())
        finally:
            RUNNING.discard(running.pid)
        said.seek(0)
        return code, said.read(), time.monotonic() - started


def end(group, by):
    """Ends a program with all that it started."""
    try:
        os.killpg(group, by)
    except ProcessLookupError:
        pass


def memory():
    """A folder that is in memory, if there is one with room in which a library may lie; else none."""
    if "TMPDIR" in os.environ:
        return None
    try:
        found = os.statvfs("/dev/shm")
    except OSError:
        return None
    fits = found.f_bavail * found.f_frsize >= IN_MEMORY_BYTES_MIN and available() >= 2 * IN_MEMORY_BYTES_MIN
    return "/dev/shm" if fits and not found.f_flag & os.ST_NOEXEC else None


def available():
    """Bytes of memory that may be taken."""
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable:"))


def libraries():
    """Where the compiler's standard library is, which procedural macros link, before what is given already."""
    asked = subprocess.run(["rustc", "--print", "target-libdir"], check=True, stdout=subprocess.PIPE, text=True)
    given = os.environ.get("LD_LIBRARY_PATH")
    return os.pathsep.join([asked.stdout.strip(), *([given] if given else [])])


class Seconds:
    """How long each program took in its last run."""

    def __init__(self, program):
        # <target>/<profile>/deps/<program>
        self.path = os.path.normpath(os.path.join(program.command[0], "../../..", "test-seconds.json"))
        try:
            with open(self.path) as file:
                self.known = json.load(file)
        except (OSError, ValueError):
            self.known = {}

    def last(self, program):
        """As long as all others together if nobody knows."""
        return self.known.get(program.source, float("inf"))

    def keep(self, program, took):
        self.known[program.source] = took
        with open(self.path, "w") as file:
            json.dump(self.known, file, indent=1, sort_keys=True)


main()
