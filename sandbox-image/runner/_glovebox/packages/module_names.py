"""Which package a module comes with, where their names differ."""

import os
import re
import sys

from _glovebox.packages.list_packages import find_distributions
from _glovebox.paths import WORKSPACE

_TABLE = """
Bio biopython
Crypto pycryptodome
Cryptodome pycryptodomex
GPUtil gputil
MySQLdb mysqlclient
OpenGL pyopengl
OpenSSL pyopenssl
PIL pillow
Xlib python-xlib
attr attrs
barcode python-barcode
bs4 beautifulsoup4
bson pymongo
cairo pycairo
camelot camelot-py
community python-louvain
corsheaders django-cors-headers
cpuinfo py-cpuinfo
cv2 opencv-python-headless
dateutil python-dateutil
decouple python-decouple
dns dnspython
docx python-docx
dotenv python-dotenv
engineio python-engineio
environ django-environ
factory factory-boy
faiss faiss-cpu
ffmpeg ffmpeg-python
fitz pymupdf
fpdf fpdf2
git gitpython
github pygithub
gitlab python-gitlab
google.auth google-auth
google.cloud.bigquery google-cloud-bigquery
google.cloud.storage google-cloud-storage
google.genai google-genai
google.generativeai google-generativeai
google.protobuf protobuf
googleapiclient google-api-python-client
googlesearch googlesearch-python
gridfs pymongo
imblearn imbalanced-learn
jose python-jose
jwt pyjwt
kafka kafka-python
ldap python-ldap
magic python-magic
mailmerge docx-mailmerge
mpl_toolkits matplotlib
mpl_toolkits.basemap basemap
nacl pynacl
nmap python-nmap
odf odfpy
paho paho-mqtt
pdfminer pdfminer.six
pptx python-pptx
psycopg2 psycopg2-binary
pyximport cython
pywt pywavelets
readability readability-lxml
rest_framework djangorestframework
ruamel ruamel.yaml
serial pyserial
shapefile pyshp
skbio scikit-bio
skfuzzy scikit-fuzzy
skimage scikit-image
sklearn scikit-learn
skopt scikit-optimize
sksurv scikit-survival
slugify python-slugify
socketio python-socketio
speech_recognition SpeechRecognition
stl numpy-stl
surprise scikit-surprise
tabula tabula-py
talib ta-lib
telegram python-telegram-bot
ulid python-ulid
umap umap-learn
usb pyusb
vlc python-vlc
websocket websocket-client
whois python-whois
wikipediaapi wikipedia-api
yaml pyyaml
zmq pyzmq
"""
PACKAGES = dict(line.split() for line in _TABLE.split("\n") if line)
"""The package by the module: what people mean by that name, also where the index has another project of it."""
_BY_KEY = {module.lower().replace("_", "-"): module for module in PACKAGES if "." not in module}


def key(name: str) -> str:
    """The name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def explain(name: str, requirement: str) -> str | None:
    """Why this is no package to install but a module, in words; None for a package, or where a version is asked for."""
    if "==" in requirement.partition(";")[0]:
        return None
    if name in sys.stdlib_module_names:
        return f"{name} is a module of Python's standard library: there is nothing to install."
    module = _BY_KEY.get(key(name), name)
    package = PACKAGES.get(module)
    if package is None and not (package := _provider(name)):
        return None
    versions = {key(there): version for there, version, _ in find_distributions()}
    said = f"{module} is a module of the package {package}"
    version = versions.get(key(package))
    return f"{said}, which is installed already ({version}): import it." if version else f"{said}: install {package}."


def _provider(module: str) -> str | None:
    """The installed package of another name that has this module."""
    places = [path for path in sys.path if path != WORKSPACE and _holds(path, module)]
    if not places or any(key(name) == key(module) for name, _, _ in find_distributions()):
        return None
    start = re.compile(rf"^{re.escape(module)}(?:\.py)?[/,]", re.M)
    for place in places:
        for folder in os.listdir(place):
            if folder.endswith(".dist-info") and start.search(_read(f"{place}/{folder}/RECORD")):
                return folder.partition("-")[0].replace("_", "-")
    return None


def _holds(path: str, module: str) -> bool:
    return path.endswith("-packages") and any(
        os.path.exists(f"{path}/{module}{suffix}") for suffix in ("/__init__.py", ".py")
    )


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
