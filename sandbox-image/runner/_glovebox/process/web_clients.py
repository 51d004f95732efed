"""Clients of the web that keep the proxy which they have found once: it is another one in each cell of a context."""

import os
import sys
from typing import Any

from _glovebox.paths import WEB_ADDRESS

_OURS = "@{}:{}".format(*WEB_ADDRESS)


def use_proxy_of_now() -> None:
    """Lets `urllib.request.urlopen` find the proxy of this run if it was used before. Called once the variables are set."""
    request: Any = sys.modules.get("urllib.request")
    opener: Any = getattr(request, "_opener", None)
    url = os.environ.get("http_proxy", "")
    if opener is None or not url.endswith(_OURS):
        return
    try:
        _use_proxy(request, opener, url)
    except Exception:  # noqa: BLE001 - the code may have put anything in the place of it
        pass


def _use_proxy(request: Any, opener: Any, url: str) -> None:
    handlers = [handler for handler in opener.handlers if isinstance(handler, request.ProxyHandler)]
    for handler in handlers:
        proxies = {scheme: url if _OURS in proxy else proxy for scheme, proxy in handler.proxies.items()}
        if proxies != handler.proxies:
            handler.__init__(proxies)
    if not handlers:
        # It was made in a run that could reach nothing.
        opener.add_handler(request.ProxyHandler())
