"""A worker that measures what its run exchanges, and asks the kernel what this process sends in a step.

python send_in_process.py FILE
"""

import contextlib
import json
import os
import runpy
import socket
import stat
import struct
import sys
from pathlib import Path

from segtrain.benchmarks.exchange import compile_step, first_batch, measure_exchange

make_run = runpy.run_path(str(Path(__file__).with_name("test_exchange.py")))["make_run"]

STEPS = 20
# Of Linux' struct tcp_info.
OFFSET_OF_ACKNOWLEDGED_BYTES = 120


def sent_bytes():
    """Returns how many bytes of the process' TCP connections have reached the other side."""
    total = 0
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(int(number)).st_mode):
                with socket.socket(fileno=os.dup(int(number))) as connection:
                    told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
                total += struct.unpack_from("<Q", told, OFFSET_OF_ACKNOWLEDGED_BYTES)[0]
    return total


def main(path):
    run = make_run("multiworker", 4, width=4096)
    figures = measure_exchange(run, lambda: make_run("one", 2, width=4096), 1)
    step, batch = compile_step(run), first_batch(run)
    float(step(*batch))
    before = sent_bytes()
    for _ in range(STEPS):
        float(step(*batch))
    told = {name: figure.median for name, figure in figures.items()} | {"sent": (sent_bytes() - before) / STEPS}
    Path(path).write_text(json.dumps(told), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
