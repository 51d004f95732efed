#!/bin/bash
# aiohttp asks a proxy for a WebSocket by `GET ws://host/`; websockets and websocket-client ask it by CONNECT.
#
# Guess: for `ws://`, a client asks a proxy to connect (RFC 6455, 4.1), or sends a request whose absolute URL begins with http://,
#   the scheme of the request that is then upgraded. So a proxy needs to know the schemes http and https only.
# Versions: Python 3.11 and later; aiohttp 3.13.2, websockets 15.0.1 and websocket-client 1.9.0 (2025).
# Behaviour: aiohttp's `ws_connect` sends the URL as it is, with the scheme ws, and `Upgrade: websocket`. A proxy that takes
#   http:// only answers it with an error.
# Output seen:
#   aiohttp: GET ws://a.example/chat HTTP/1.1
#   websockets: CONNECT a.example:80 HTTP/1.1
#   websocket-client: CONNECT a.example:80 HTTP/1.1
# Exit code: 0 when it is as described, 1 when it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check aiohttp==3.13.2 websockets==15.0.1 websocket-client==1.9.0
cat > "$folder/try.py" <<'CODE'
import asyncio
import os
import socket
import sys
import threading

import aiohttp
import websocket
import websockets.sync.client

seen = []
listener = socket.create_server(("127.0.0.1", 0))


def serve():
    while True:
        connection, _ = listener.accept()
        with connection:
            seen.append(connection.recv(65536).split(b"\r\n", 1)[0].decode())
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


threading.Thread(target=serve, daemon=True).start()
proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
os.environ.update(http_proxy=proxy, ws_proxy=proxy, https_proxy=proxy)
URL = "ws://a.example/chat"


async def by_aiohttp():
    async with aiohttp.ClientSession(trust_env=True) as session:
        await session.ws_connect(URL)


def first_line(ask):
    seen.clear()
    try:
        ask()
    except Exception:
        pass
    return seen[0] if seen else "nothing"


lines = {
    "aiohttp": first_line(lambda: asyncio.run(by_aiohttp())),
    "websockets": first_line(lambda: websockets.sync.client.connect(URL)),
    "websocket-client": first_line(lambda: websocket.create_connection(URL)),
}
for name, line in lines.items():
    print(f"{name}: {line}")
expected = ["GET ws://a.example/chat HTTP/1.1", "CONNECT a.example:80 HTTP/1.1", "CONNECT a.example:80 HTTP/1.1"]
sys.exit(list(lines.values()) != expected)
CODE
"$folder/venv/bin/python" "$folder/try.py"
