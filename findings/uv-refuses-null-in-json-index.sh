#!/bin/bash
# uv takes no part of an index page in which a file's size is null; pip takes the page as if the key were not there.
#
# Guess: in the JSON of an index (PEP 691) a null for a key that need not be there means what its absence means, to every
#   installer; at worst the one file is left out.
# Versions: Python 3.11 and later; pip 26.3 and uv 0.13.9 (2026).
# Behaviour: with `"size": null` (and so with a null `yanked`, `hashes` or `upload-time`) of an old version's file, uv fails
#   with "Received some unexpected JSON", also for the other versions of the page, whose files are in order. A null
#   `requires-python` or `core-metadata` it takes. pip installs the newest version in each case.
# Output seen:
#   size: pip installs 2.0, uv fails: invalid type: null, expected u64
#   yanked: pip installs 2.0, uv fails: invalid type: null, expected a boolean or string
#   requires-python: pip installs 2.0, uv installs 2.0
# Exit code: 0 when it is as described, 1 when it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pip==26.3 uv==0.13.9
cat > "$folder/try.py" <<'CODE'
import hashlib
import http.server
import io
import json
import os
import re
import subprocess
import sys
import threading
import zipfile

BIN = os.path.dirname(sys.executable)


def make_wheel(version):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        info = f"demo-{version}.dist-info"
        archive.writestr("demo.py", f"version = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: demo\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return packed.getvalue()


WHEELS = {f"demo-{version}-py3-none-any.whl": make_wheel(version) for version in ("1.0", "2.0")}
null = None  # the key that is null in the entry of version 1.0


class Index(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        content, kind = WHEELS.get(self.path.rpartition("/")[2]), "application/octet-stream"
        if content is None:
            files = [
                {"filename": name, "url": f"/{name}", "size": len(wheel), "yanked": False,
                 "hashes": {"sha256": hashlib.sha256(wheel).hexdigest()}}
                for name, wheel in WHEELS.items()
            ]
            files[0][null] = None
            page = {"meta": {"api-version": "1.1"}, "name": "demo", "versions": ["1.0", "2.0"], "files": files}
            content, kind = json.dumps(page).encode(), "application/vnd.pypi.simple.v1+json"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/simple/"
COMMANDS = {
    "pip": ["pip", "install", "--isolated", "--dry-run", "--no-cache-dir", "--index-url", url, "demo"],
    "uv": ["uv", "pip", "install", "--no-config", "--dry-run", "--no-cache", "--default-index", url,
           "--python", sys.executable, "demo"],
}
for null in ("size", "yanked", "requires-python"):
    told = []
    for name, (program, *arguments) in COMMANDS.items():
        run = subprocess.run([f"{BIN}/{program}", *arguments], capture_output=True, text=True)
        output = run.stdout + run.stderr
        version = re.search(r"demo(?:==|-)([\d.]+)\n", output)
        reason = re.search(r"invalid type: .*?(?= at line)", output)
        told.append(f"{name} installs {version[1]}" if run.returncode == 0 else f"{name} fails: {reason and reason[0]}")
    print(f"{null}: {', '.join(told)}")
CODE
"$folder/venv/bin/python" "$folder/try.py" | tee "$folder/seen"
grep -qx 'size: pip installs 2.0, uv fails: invalid type: null, expected u64' "$folder/seen"
grep -qx 'yanked: pip installs 2.0, uv fails: invalid type: null, expected a boolean or string' "$folder/seen"
grep -qx 'requires-python: pip installs 2.0, uv installs 2.0' "$folder/seen"
