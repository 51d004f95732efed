"""Drives a Jupyter kernel by its own client: for each word on stdin one line of JSON on stdout.

`start` starts a kernel and answers with its process id once it has run `print(1)`; `print` runs that again and answers
with what it printed; `stop` ends the kernel.
"""

import json
import subprocess
import sys

from jupyter_client.manager import KernelManager

LIMIT_S = 60


def run(client, code):
    """Runs a cell until the kernel is idle again; what it printed."""
    request = client.execute(code)
    printed = []
    while True:
        message = client.get_iopub_msg(timeout=LIMIT_S)
        if message['parent_header'].get('msg_id') != request:
            continue
        if message['msg_type'] == 'stream':
            printed.append(message['content']['text'])
        if message['msg_type'] == 'status' and message['content']['execution_state'] == 'idle':
            break
    client.get_shell_msg(timeout=LIMIT_S)
    return ''.join(printed)


def start():
    manager = KernelManager()
    # What it says about its transport is not for whoever reads the results.
    manager.start_kernel(stderr=subprocess.DEVNULL)
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=LIMIT_S)
    return manager, client


def main():
    manager = client = None
    try:
        for line in sys.stdin:
            word = line.strip()
            if word == 'start':
                manager, client = start()
                answer = {'pid': manager.provisioner.pid, 'printed': run(client, 'print(1)')}
            elif word == 'print':
                answer = {'printed': run(client, 'print(1)')}
            else:
                client.stop_channels()
                manager.shutdown_kernel(now=True)
                manager = None
                answer = {}
            print(json.dumps(answer), flush=True)
    finally:
        if manager is not None:
            manager.shutdown_kernel(now=True)


main()
