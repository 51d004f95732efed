#!/usr/bin/env bash
# Guess: an API that answers with Server-Sent Events is described by `text/event-stream: {schema: {type: string}}`, as
#   OpenAPI 3.1 documents mostly do (the body is a text), and a checker of answers finds nothing wrong with any stream.
# Versions: schemathesis 4.32.5 (November 2026), Python 3.11.
# Behaviour: schemathesis cuts the stream into events and holds each of them, as an object {"data": …, "event": …},
#   against that schema: every stream then violates it (ST108). A schema of one event passes.
# Output seen: string: ST108 SSE event violates schema
#              object: no issues
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check schemathesis==4.32.5

cat > "$folder/server.py" <<'PYTHON'
"""Two streams that are the same but for their description."""
import http.server, json

EVENT = {"type": "object", "properties": {"event": {"type": "string"}, "data": {"type": "string"}}, "required": ["data"]}
SCHEMAS = {"string": {"type": "string"}, "object": EVENT}

def describe(name):
    return {"get": {"responses": {"200": {"description": "A stream.", "content": {"text/event-stream": {"schema": SCHEMAS[name]}}}}}}

API = {"openapi": "3.1.0", "info": {"title": "Streams", "version": "1"}, "paths": {f"/{name}": describe(name) for name in SCHEMAS}}

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        is_api = self.path == "/openapi.json"
        body = json.dumps(API).encode() if is_api else b"event: tick\ndata: one\n\nevent: tick\ndata: two\n\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/json" if is_api else "text/event-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
PYTHON
mkfifo "$folder/port"
python3 "$folder/server.py" > "$folder/port" &
server=$!
read -r port < "$folder/port"

check() {
  "$folder/venv/bin/schemathesis" run "http://127.0.0.1:$port/openapi.json" --include-path "/$1" --no-color \
    --phases fuzzing --max-examples 3 --checks response_schema_conformance > "$folder/$1.txt" 2>&1 || true
}
check string
check object
echo "string: $(grep -m1 -o 'ST108 SSE event violates schema' "$folder/string.txt" || echo 'no issues')"
echo "object: $(grep -m1 -o 'ST108 SSE event violates schema' "$folder/object.txt" || echo 'no issues')"
grep -q 'ST108' "$folder/string.txt"
! grep -q 'ST108' "$folder/object.txt"
grep -qi 'passed\|no issues' "$folder/object.txt"
