#!/bin/bash
# A file of a tmpfs that numpy.memmap changes in place keeps its times, also after flush().
#
# Guess: mmap(2) says that the times of a file that is mapped for writing are updated after a write and before the next
#   msync, which flush() makes; so whoever compares change times sees that `a += 1` has changed the file.
# Versions: numpy 2.3.4 with CPython 3.11, Linux 6.18 (November 2026).
# Behaviour: on a tmpfs, a page that was read through the map before it is written is changed without the kernel noticing:
#   reading has mapped it for writing already. Change time and modification time stay as they were. `a[:] = 1`, which
#   reads nothing before, changes them.
# Output seen:
#   a += 1: [1. 1.], times kept
#   a[:] = 2: [2. 2.], times changed
# Exit code: 0 when it is as described, 1 when it changed.
set -euo pipefail
folder=$(mktemp -d)
shared=$(mktemp -d -p /dev/shm)
trap 'rm -rf "$folder" "$shared"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.3.4
cat > "$folder/change.py" <<'CODE'
import os
import sys
import time

import numpy

path = f"{sys.argv[1]}/numbers"


def look(name, change):
    numpy.zeros(1000).tofile(path)
    time.sleep(0.1)
    before = os.stat(path)
    numbers = numpy.memmap(path, mode="r+", dtype=float)
    change(numbers)
    numbers.flush()
    del numbers
    after = os.stat(path)
    kept = (before.st_mtime_ns, before.st_ctime_ns) == (after.st_mtime_ns, after.st_ctime_ns)
    print(f"{name}: {numpy.fromfile(path)[:2]}, times {'kept' if kept else 'changed'}")


def add(numbers):
    numbers += 1


def assign(numbers):
    numbers[:] = 2


look("a += 1", add)
look("a[:] = 2", assign)
CODE
"$folder/venv/bin/python" "$folder/change.py" "$shared" | tee "$folder/seen"
diff - "$folder/seen" <<'EXPECTED' > /dev/null && echo "as described" || { echo "changed"; exit 1; }
a += 1: [1. 1.], times kept
a[:] = 2: [2. 2.], times changed
EXPECTED
