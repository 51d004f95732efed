"""Clients of the web in programs and contexts of a runner. Needs Linux, 127.0.0.1:3143 free, and a writable /workspace."""

import base64
import http.server
import os
import shutil
import threading
import unittest
from typing import Any

from client import Client, Outcome

from _glovebox.paths import WEB_ADDRESS

RESULTS = {"limit": 100_000, "total": 400_000}
FETCH = "import urllib.request as web\nprint(web.urlopen('http://a.example/').read())\n"


class Proxy(http.server.BaseHTTPRequestHandler):
    """Answers each request with the password that it came with."""

    def do_GET(self) -> None:
        kind, _, code = self.headers.get("Proxy-Authorization", "").partition(" ")
        answer = base64.b64decode(code).partition(b":")[2] if kind == "Basic" else b"nothing"
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


def access(token: str) -> dict[str, str]:
    url = "http://glovebox:{}@{}:{}".format(token, *WEB_ADDRESS)
    return {"http_proxy": url, "https_proxy": url, "HTTP_PROXY": url, "no_proxy": "localhost,127.0.0.1"}


class WebTest(unittest.TestCase):
    def setUp(self) -> None:
        self.client = Client()
        self.addCleanup(self.client.close)
        self.assertTrue(self.client.ready.wait(15))
        self.proxy = http.server.ThreadingHTTPServer(WEB_ADDRESS, Proxy)
        thread = threading.Thread(target=self.proxy.serve_forever, args=(0.01,))
        thread.start()
        self.addCleanup(lambda: (self.proxy.shutdown(), self.proxy.server_close(), thread.join()))

    def run_cell(self, code: str, token: str | None) -> bytes:
        env = {"env": access(token)} if token else {}
        return self.printed(self.client.run(code, context="c", results=RESULTS, **env))

    def printed(self, outcome: Outcome) -> bytes:
        self.assertEqual(outcome.stderr, b"")
        return outcome.stdout

    def test_a_program_finds_the_proxy_by_its_variables(self) -> None:
        outcome = self.client.run(FETCH, env=access("one"))
        self.assertEqual(self.printed(outcome), b"b'one'\n")
        outcome = self.client.run("import os; print(os.environ.get('http_proxy'))")
        self.assertEqual(self.printed(outcome), b"None\n")

    def test_each_cell_shows_its_own_token_though_urllib_keeps_the_first_one(self) -> None:
        self.assertEqual(self.run_cell(FETCH, "one"), b"b'one'\n")
        self.assertEqual(self.run_cell(FETCH, "two"), b"b'two'\n")
        self.assertEqual(self.run_cell("import os; print(os.environ.get('http_proxy'))", None), b"None\n")
        self.assertEqual(self.run_cell(FETCH, "three"), b"b'three'\n")

    def test_a_cell_with_access_finds_the_proxy_after_one_without(self) -> None:
        code = "import urllib.request as web\nprint(web.urlopen('data:,a').read())\n"
        self.assertEqual(self.run_cell(code, None), b"b'a'\n")
        self.assertEqual(self.run_cell(FETCH, "two"), b"b'two'\n")

    def test_an_opener_of_the_code_keeps_what_the_code_has_set_in_it(self) -> None:
        make = (
            "import urllib.request as web\nopener = web.build_opener(web.HTTPCookieProcessor())\n"
            "opener.addheaders = [('User-Agent', 'mine')]\nweb.install_opener(opener)\n"
        )
        self.assertEqual(self.run_cell(make + FETCH, "one"), b"b'one'\n")
        again = FETCH + "print(opener is web._opener, opener.addheaders)\n"
        self.assertEqual(self.run_cell(again, "two"), b"b'two'\nTrue [('User-Agent', 'mine')]\n")
        own = "web.install_opener(web.build_opener(web.ProxyHandler({'http': 'http://localhost:1'})))\n"
        self.run_cell(own, "three")
        kept = "print([h.proxies for h in web._opener.handlers if isinstance(h, web.ProxyHandler)])"
        self.assertEqual(self.run_cell(kept, "four"), b"[{'http': 'http://localhost:1'}]\n")

    def test_sessions_of_aiohttp_look_at_the_variables_unless_they_are_told_not_to(self) -> None:
        os.makedirs("/workspace/aiohttp")
        self.addCleanup(shutil.rmtree, "/workspace/aiohttp")
        with open("/workspace/aiohttp/client.py", "w") as file:
            file.write("class ClientSession:\n    def __init__(self, *, trust_env=False):\n        self.trust_env = trust_env\n")
        with open("/workspace/aiohttp/__init__.py", "w") as file:
            file.write("from .client import ClientSession\n")
        code = "import aiohttp\nprint(aiohttp.ClientSession().trust_env, aiohttp.ClientSession(trust_env=False).trust_env)"
        self.assertEqual(self.printed(self.client.run(code, results=RESULTS)), b"True False\n")
        self.assertEqual(self.run_cell(code, None), b"True False\n")


if __name__ == "__main__":
    unittest.main()
