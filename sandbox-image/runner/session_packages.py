"""The session's own packages on the search path."""

import os
import site
import sys

from paths import USER_BASE, USER_SITE


def put_first() -> None:
    """Puts them before the image's, so that a newer one wins. Later installations find their place even if none is there."""
    site.ENABLE_USER_SITE, site.USER_BASE, site.USER_SITE = True, USER_BASE, USER_SITE
    if not os.path.isdir(USER_SITE):
        return
    before = list(sys.path)
    site.addsitedir(USER_SITE)
    added = [path for path in sys.path if path not in before]
    sys.path[:] = [*before[:1], *added, *before[1:]]
