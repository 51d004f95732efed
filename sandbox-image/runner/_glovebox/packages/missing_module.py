"""Which package brings a module that an import has not found."""

import linecache
import os
import re
import sys
from collections.abc import Iterable
from typing import Any

from _glovebox.packages.headless_packages import PACKAGES as WINDOWED
from _glovebox.packages.list_packages import find_distributions
from _glovebox.packages.module_names import PACKAGES, key
from _glovebox.paths import INDEX_ADDRESS, WORKSPACE

ASKING_LIMIT_S = 5
"""Seconds for the index to say whether it has a package of that name."""
MAX_NAME = 100
MAX_PAGE = 256 * 1024
"""Bytes of an index's page that are read: the first file is within these."""
MAX_WALKED = 5000
"""Entries of the workspace that are examined."""
_OWN = frozenset(
    """api app base client common conf config constants core custom data database db foo bar functions helper helpers
    lib library local main model models module my package plugins project schema schemas script scripts secret secrets
    server service services settings src test tests tool tools types util utilities utils views""".split()
)
"""Names that people give modules of their own. The index has projects of nearly all these names, which are not meant."""
_SHARED = frozenset({"azure", "backports", "google", "sphinxcontrib", "zope"})
"""Names that many packages have a part of."""
_OFTEN = frozenset(
    """aiofiles aiohttp altair anthropic arrow asyncpg black bokeh boto3 celery chardet click colorama cowsay
    cryptography cvxpy cython dash dask dill django docx2txt duckdb emoji ezdxf faker fastapi fastparquet flask folium
    gensim geopandas graphviz gunicorn gym gymnasium h5py html5lib httpx humanize ipython jieba jinja2 jsonlines
    jsonschema jupyter keras langchain librosa lightgbm loguru lxml markdown matplotlib moviepy mypy networkx nltk numba
    numpy ollama openai openpyxl optuna orjson paramiko pandas pdf2image pdfplumber peewee pendulum pika plotly polars
    prettytable prophet psutil psycopg pulp pyarrow pydantic pydub pyecharts pygame pymongo pymysql pyspark pytesseract
    pytest pytz qrcode rasterio redis regex reportlab requests rich scipy scrapy seaborn selenium shap shapely
    simplejson spacy sqlalchemy statsmodels streamlit sympy tabulate tensorflow textblob tiktoken toml tomli torch
    torchvision tqdm transformers typer ujson uvicorn websockets wordcloud xgboost xlrd xlsxwriter xlwt xmltodict
    yfinance""".split()
)
"""Modules of packages of the same name. A name that is nearly one of these is a typing error, and may be a trap."""


def find(error: BaseException, causes: Iterable[BaseException]) -> dict[str, Any] | None:
    """`{module, package, known}` where installing that package helps; None where it would not.

    `known` is false where the index has a package of that name and no more is known.
    """
    if not isinstance(error, ImportError):
        return None
    for cause in causes:
        if isinstance(cause, ModuleNotFoundError) and isinstance(cause.name, str):
            return _package_of(cause.name, *_import_of(cause))
        if isinstance(cause, ImportError) and "cannot open shared object file" in str(cause):
            return _without_windows(cause)
    return None


def _package_of(missing: str, file: str, line: str) -> dict[str, Any] | None:
    top = missing.partition(".")[0]
    if len(missing) > MAX_NAME or not missing.isascii() or top in sys.stdlib_module_names or top.startswith("_"):
        return None
    # Of `google.protobuf` only `google` is missing; the line says what of it was wanted.
    line = re.sub(r"from\s+([\w.]+)\s+import\s+(\w+)", r"\1.\2", line)
    wanted = next((name for name in re.findall(r"[\w.]+", line) if f"{name}.".startswith(f"{missing}.")), missing)
    parts = wanted.split(".")
    for count in range(len(parts), 0, -1):
        module = ".".join(parts[:count])
        if package := PACKAGES.get(module):
            return None if _is_installed(package) else {"module": module, "package": package, "known": True}
    if "." in missing or top in _SHARED or _is_own(top) or _is_installed(top) or not _index_has(top):
        return None
    return {"module": top, "package": key(top), "known": top in _OFTEN or "-packages/" in file}


def _import_of(error: BaseException) -> tuple[str, str]:
    """The file and the line of the import, as far as they are known."""
    file = line = ""
    trace = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if "importlib" not in name:
            file, line = name, linecache.getline(name, trace.tb_lineno)[:1000]
        trace = trace.tb_next
    return file, line


def _without_windows(error: ImportError) -> dict[str, Any] | None:
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith("/cv2/__init__.py"):
            there = {key(name) for name, _, _ in find_distributions()}
            package = next((other for name, other in WINDOWED.items() if name in there), "opencv-python-headless")
            return {"module": "cv2", "package": package, "known": True}
        trace = trace.tb_next
    return None


def _is_installed(package: str) -> bool:
    return any(key(name) == key(package) for name, _, _ in find_distributions())


def _is_own(name: str) -> bool:
    """Whether it looks like a module of the code's own, or like a slip of the pen."""
    if _is_in_workspace(name):
        return True
    if name in _OFTEN:
        return False
    if name.lower() in _OWN or name.startswith(("my_", "test_")):
        return True
    known = {*_OFTEN, *PACKAGES, *sys.stdlib_module_names, *_modules_on_path()}
    return any(_nearly(name.lower(), other.lower()) for other in known)


def _is_in_workspace(name: str) -> bool:
    """Whether some folder there has such a module: then it is the path that lacks it."""
    left = MAX_WALKED
    for _, folders, files in os.walk(WORKSPACE):
        if name in folders or f"{name}.py" in files:
            return True
        folders[:] = [folder for folder in folders if not folder.startswith(".")]
        left -= len(folders) + len(files)
        if left < 0:
            break
    return False


def _modules_on_path() -> list[str]:
    found: list[str] = []
    for folder in {WORKSPACE, os.curdir, *(path for path in sys.path if path.endswith("-packages"))}:
        try:
            found += [name.partition(".")[0] for name in os.listdir(folder) if not name.endswith("-info")]
        except OSError:
            continue
    return found


def _nearly(name: str, other: str) -> bool:
    """Whether one letter, or the order of two, makes the difference."""
    if name == other or abs(len(name) - len(other)) > 1 or min(len(name), len(other)) < 4:
        return False
    start = len(os.path.commonprefix([name, other]))
    rest, others = name[start:][::-1], other[start:][::-1]
    end = len(os.path.commonprefix([rest, others]))
    rest, others = rest[end:], others[end:]
    return max(len(rest), len(others)) == 1 or len(rest) == 2 and rest == others[::-1]


def _index_has(name: str) -> bool:
    """Whether it has files of a project of that name that this server takes."""
    import http.client

    connection = http.client.HTTPConnection(*INDEX_ADDRESS, timeout=ASKING_LIMIT_S)
    try:
        connection.request("GET", f"/simple/{key(name)}/", headers={"accept": "application/vnd.pypi.simple.v1+json"})
        answer = connection.getresponse()
        return answer.status == 200 and b'"filename"' in answer.read(MAX_PAGE)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
