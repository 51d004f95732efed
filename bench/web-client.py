"""Fetches through the proxy of `http_proxy`, or directly without one, and prints times and rates. In a sandbox and outside."""

import base64
import http.client
import json
import os
import time
import urllib.parse

# In place of this line comes: HOST, PORT, REQUESTS, MEGABYTES = …

PROXY = urllib.parse.urlsplit(os.environ.get("http_proxy", ""))
BUFFER = memoryview(bytearray(1 << 20))


def authorization():
    code = base64.b64encode(f"{PROXY.username}:{PROXY.password}".encode()).decode()
    return {"Proxy-Authorization": f"Basic {code}"}


def connect(end_to_end=False):
    """A new connection, and what goes before the path in its requests."""
    if not PROXY.hostname:
        return http.client.HTTPConnection(HOST, PORT), "", {}
    connection = http.client.HTTPConnection(PROXY.hostname, PROXY.port)
    if end_to_end:
        connection.set_tunnel(HOST, PORT, authorization())
        return connection, "", {}
    return connection, f"http://{HOST}:{PORT}", authorization()


def fetch(path, **how):
    connection, base, headers = connect(**how)
    connection.request("GET", base + path, headers=headers)
    answer = connection.getresponse()
    if answer.status != 200:
        raise RuntimeError(f"{answer.status} {answer.reason}")
    return connection, answer


def first_byte(**how):
    """Milliseconds from before the connection to the first byte of the body."""
    began = time.perf_counter()
    connection, answer = fetch("/few", **how)
    answer.read(1)
    took = time.perf_counter() - began
    connection.close()
    return took * 1000


def download(**how):
    """Megabytes a second."""
    began = time.perf_counter()
    connection, answer = fetch(f"/bytes/{MEGABYTES * 1_000_000}", **how)
    taken = 0
    while size := answer.readinto(BUFFER):
        taken += size
    took = time.perf_counter() - began
    connection.close()
    if taken != MEGABYTES * 1_000_000:
        raise RuntimeError(f"{taken} bytes came")
    return MEGABYTES / took


def upload():
    connection, base, headers = connect()
    size = MEGABYTES * 1_000_000
    began = time.perf_counter()
    connection.putrequest("POST", f"{base}/take")
    for name, value in {**headers, "Content-Length": str(size)}.items():
        connection.putheader(name, value)
    connection.endheaders()
    left = size
    while left:
        piece = BUFFER[: min(left, 1 << 18)]
        connection.sock.sendall(piece)
        left -= len(piece)
    answer = connection.getresponse()
    if int(answer.read()) != size:
        raise RuntimeError("not all has arrived")
    took = time.perf_counter() - began
    connection.close()
    return MEGABYTES / took


first_byte()
print(
    json.dumps(
        {
            "plain": [first_byte() for _ in range(REQUESTS)],
            "ends": [first_byte(end_to_end=True) for _ in range(REQUESTS)],
            "down": [download()],
            "endsDown": [download(end_to_end=True)],
            "up": [upload()],
        }
    )
)
