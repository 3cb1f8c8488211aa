"""Compares what became of Feast's tests with what is expected: `python compare.py EXPECTED REPORT..`, of pytest's JUnit reports.

EXPECTED has a line a test that doesn't pass: `skipped NAME  # why` or `failed NAME  # why`; NAME is the test's, or its beginning followed by `*`. Any other
has to pass. A test that is expected to fail and passes is a mistake, too.
"""

import sys
import xml.etree.ElementTree as xml
from collections import Counter

expected = []
for line in open(sys.argv[1]):
    kind, _, name = line.partition("#")[0].strip().partition(" ")
    if kind:
        expected.append((kind, name))
counts, wrong, used = Counter(), [], set()
for report in sys.argv[2:]:
    for case in xml.parse(report).iter("testcase"):
        name = case.get("name")
        kinds = {child.tag for child in case}
        came = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        counts[came] += 1
        fits = lambda of: name == of or of.endswith("*") and name.startswith(of[:-1])  # noqa: E731
        want = next(((kind, of) for kind, of in expected if fits(of)), ("passed", None))
        used.add(want)
        if came != want[0]:
            wrong.append(f"{name}: expected {want[0]}, came {came}")
wrong.extend(f"{kind} {of}: no test of that name was run" for kind, of in expected if (kind, of) not in used)
print(", ".join(f"{counts[kind]} {kind}" for kind in ("passed", "skipped", "failed")))
if wrong:
    sys.exit("error: " + "\n  ".join(wrong))
