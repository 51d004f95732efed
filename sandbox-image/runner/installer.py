"""Installs packages for a session, from the index that the loopback leads to.

Speaks JSON lines on stdout: `{"phase": …}` as it goes on, `{"log": …}`, and one `{"packages": […]}` at the end.
What is installed appears at once or not at all: each change makes a new folder of packages, and
`site-packages` is a symbolic link to the one that counts.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from typing import Any

import installed
from paths import INDEX_ADDRESS, INDEX_URL, USER_BASE, USER_SITE, WORKSPACE

VERSIONS = os.path.join(os.path.dirname(USER_SITE), ".versions")
"""Folders of packages; all but the one that counts are being made, or left over."""
MAX_LOG = 16 * 1024
"""Most characters of the installer's own words that are passed on for one step."""


@dataclass
class Outcome:
    """What became of one requirement, in the words of the tool's result."""

    name: str
    requested: str
    status: str = "not_attempted"
    version: str | None = None
    error: str | None = None
    denied: str | None = None
    """The limit of the sandbox that stands behind the error."""


@dataclass
class Failure(Exception):
    """A step that did not work, in words, and the limit of the sandbox that stands behind it."""

    reason: str
    denied: str | None = None

    def note_in(self, outcome: Outcome) -> None:
        outcome.status, outcome.error, outcome.denied = "failed", self.reason, self.denied


def main(request: dict[str, Any]) -> None:
    """Installs `request["packages"]`, a list of `{name, requirement}`; an empty one only clears up."""
    _remove_leftovers()
    outcomes = [Outcome(package["name"], package["requirement"]) for package in request["packages"]]
    if not outcomes:
        return
    try:
        with _make_room() as scratch:
            _install(_Installer(scratch), outcomes)
    except Failure as failure:
        for outcome in outcomes:
            failure.note_in(outcome)
    _remove_leftovers()
    _say(packages=[asdict(outcome) for outcome in outcomes], final=True)


def _make_room() -> tempfile.TemporaryDirectory[str]:
    """A folder to work in. Raises Failure where no package at all could be had."""
    if path := _obstacle():
        raise Failure(f"{path} is not a folder, and packages need one there: remove it.")
    try:
        return tempfile.TemporaryDirectory(prefix=".install-", dir=WORKSPACE, ignore_cleanup_errors=True)
    except OSError as error:
        raise _failure_in(str(error)) from error


def _install(installer: "_Installer", outcomes: list[Outcome]) -> None:
    try:
        installer.install(outcomes)
    except Failure as failure:
        _install_what_can_be(installer, outcomes, failure)


def _install_what_can_be(installer: "_Installer", outcomes: list[Outcome], failure: Failure) -> None:
    """Of requirements that cannot be had together: as many as can, earlier ones first, by halves."""
    if len(outcomes) == 1:
        failure.note_in(outcomes[0])
        return
    known = _without_unknown(outcomes)
    middle = (len(known) + 1) // 2
    # All anew where some have turned out to be what was wrong.
    for part in [known] if len(known) < len(outcomes) else [known[:middle], known[middle:]]:
        if part:
            _install(installer, part)
        _say(packages=[asdict(outcome) for outcome in part], final=False)


def _without_unknown(outcomes: list[Outcome]) -> list[Outcome]:
    """Those that the index has; what it says of the others is noted in them. The installer tells of one at a time."""
    import http.client

    host, port = INDEX_ADDRESS
    connection = http.client.HTTPConnection(host, port, timeout=30)
    try:
        for outcome in outcomes:
            connection.request("HEAD", f"/simple/{_key(outcome.name)}/")
            response = connection.getresponse()
            response.read()
            if response.status in (403, 404):
                outcome.status, outcome.error = "failed", response.reason
    except OSError:
        # An index that fails is one more thing that the installer itself says best.
        pass
    finally:
        connection.close()
    return [outcome for outcome in outcomes if outcome.status != "failed"]


class _Installer:
    def __init__(self, scratch: str) -> None:
        self.scratch = scratch

    def install(self, outcomes: list[Outcome]) -> None:
        """Resolves the requirements together, installs what is missing, and notes it in the outcomes.

        Raises Failure, and then none of them is installed.
        """
        try:
            self._install(outcomes)
        except OSError as error:
            raise _failure_in(str(error)) from error

    def _install(self, outcomes: list[Outcome]) -> None:
        present = {_key(name): version for name, version, _ in installed.find_distributions()}
        _say(phase="resolving")
        resolved = self._resolve([outcome.requested for outcome in outcomes], present)
        missing = {name: version for name, version in resolved.items() if present.get(name) != version}
        if missing:
            _say(phase="installing", count=len(missing))
            self._add(missing)
        for outcome in outcomes:
            key = _key(outcome.name)
            outcome.version = resolved.get(key) or present.get(key)
            outcome.status = "installed" if key in missing else "already_satisfied"

    def _resolve(self, requirements: list[str], present: dict[str, str]) -> dict[str, str]:
        """A version for each requirement and for what it needs; what is there already stays if it can."""
        pins = os.path.join(self.scratch, "pins.txt")
        with open(pins, "w") as file:
            file.writelines(f"{name}=={version}\n" for name, version in present.items())
        self._uv("compile", "--quiet", "--no-header", "--no-annotate", "-o", pins, "-", stdin="\n".join(requirements))
        with open(pins) as file:
            return {_key(name): version for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", file.read(), re.M)}

    def _add(self, packages: dict[str, str]) -> None:
        """Makes the next folder of packages from the one that counts, and lets it count."""
        os.makedirs(VERSIONS, exist_ok=True)
        target = tempfile.mkdtemp(dir=VERSIONS)
        try:
            if os.path.isdir(USER_SITE):
                shutil.copytree(USER_SITE, target, symlinks=True, copy_function=os.link, dirs_exist_ok=True)
            pins = [f"{name}=={version}" for name, version in packages.items()]
            self._uv("install", "--no-deps", "--target", target, *pins)
            replaced = os.path.realpath(USER_SITE)
            _switch_to(target)
            if os.path.dirname(replaced) == os.path.realpath(VERSIONS):
                # A step of several, which together would need as many copies of the folder.
                shutil.rmtree(replaced, ignore_errors=True)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise

    def _uv(self, command: str, *arguments: str, stdin: str = "") -> None:
        environment = {
            **os.environ,
            "UV_DEFAULT_INDEX": INDEX_URL,
            "UV_CACHE_DIR": os.path.join(self.scratch, "cache"),
            "UV_PYTHON": sys.executable,
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_NO_PROGRESS": "1",
            # The gateway has tried already what is worth trying.
            "UV_HTTP_RETRIES": "1",
            "UV_NO_CONFIG": "1",
            "NO_COLOR": "1",
            # Builds of source packages happen beside the cache: /tmp is small.
            "TMPDIR": self.scratch,
            # Threads count against the session's limit of processes.
            "UV_CONCURRENT_INSTALLS": "2",
            "UV_CONCURRENT_BUILDS": "1",
            "TOKIO_WORKER_THREADS": "2",
            "RAYON_NUM_THREADS": "2",
        }
        result = subprocess.run(
            ["uv", "pip", command, *arguments], input=stdin, env=environment, capture_output=True, text=True, errors="replace"
        )
        if result.stderr:
            _say(log=result.stderr[-MAX_LOG:])
        if result.returncode != 0:
            raise _failure_in(result.stderr)


def _switch_to(target: str) -> None:
    """Lets a folder of packages be `site-packages`, in one step for whoever imports at that moment."""
    os.chmod(target, 0o755)
    if os.path.isdir(USER_SITE) and not os.path.islink(USER_SITE):
        # Made by another installer.
        os.rename(USER_SITE, tempfile.mkdtemp(dir=VERSIONS))
    link = f"{target}.link"
    os.symlink(os.path.relpath(target, os.path.dirname(USER_SITE)), link)
    os.replace(link, USER_SITE)
    programs = os.path.join(USER_BASE, "bin")
    if not os.path.lexists(programs):
        os.symlink(os.path.relpath(os.path.join(USER_SITE, "bin"), USER_BASE), programs)


def _remove_leftovers() -> None:
    """Removes what an installation that was cut off has left, and the folder that the last one has replaced."""
    current = os.path.realpath(USER_SITE)
    parents = ((VERSIONS, ""), (WORKSPACE, ".install-"))
    for parent, prefix in parents:
        try:
            names = os.listdir(parent)
        except OSError:
            continue
        for name in names:
            path = os.path.join(parent, name)
            if name.startswith(prefix) and path != current:
                if os.path.islink(path):
                    os.unlink(path)
                else:
                    shutil.rmtree(path, ignore_errors=True)


def _obstacle() -> str | None:
    """What is where a folder on the way to the packages should be, a file or a link to nowhere."""
    path = WORKSPACE
    for name in os.path.relpath(VERSIONS, WORKSPACE).split(os.sep):
        path = os.path.join(path, name)
        if os.path.lexists(path) and not os.path.isdir(path):
            return path
    return None


def _failure_in(stderr: str) -> Failure:
    """The reason in an installer's words, on one line."""
    if "No space left on device" in stderr or "os error 28" in stderr:
        return Failure("The session's disk is full.", denied="disk")
    text = re.sub(r"\s+", " ", re.sub(r"(?m)^\s*(error|cause|Caused by):\s*|^\s*[×╰─▶│├]+", " ", stderr)).strip()
    return Failure(text[-1500:] or "The installer failed without a word.")


def _key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _say(**message: Any) -> None:
    print(json.dumps(message), flush=True)
