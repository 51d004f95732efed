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
import tomllib
from dataclasses import asdict
from typing import Any

from _glovebox.packages import disk_space, headless_packages, list_packages
from _glovebox.packages.module_names import explain, key
from _glovebox.packages.outcomes import Failure, Outcome
from _glovebox.packages.pip_commands import commands_of_pip
from _glovebox.paths import INDEX_ADDRESS, INDEX_URL, USER_BASE, USER_SITE, WORKSPACE

VERSIONS = os.path.join(os.path.dirname(USER_SITE), ".versions")
"""Folders of packages; all but the one that counts are being made, or left over."""
MAX_LOG = 16 * 1024
"""Characters of the installer's own output that are passed on for one step."""


def main(request: dict[str, Any]) -> None:
    """Installs `request["packages"]`, a list of `{name, requirement}`; an empty one only clears up."""
    _remove_leftovers()
    outcomes = [Outcome(package["name"], package["requirement"]) for package in request["packages"]]
    if not outcomes:
        return
    packages = _without_modules(outcomes)
    try:
        if packages:
            with _make_room() as scratch:
                _install(_Installer(scratch), packages)
    except Failure as failure:
        for outcome in packages:
            failure.note_in(outcome)
    _remove_leftovers()
    _say(packages=[asdict(outcome) for outcome in outcomes], final=True)


def _without_modules(outcomes: list[Outcome]) -> list[Outcome]:
    """Returns the outcomes of real packages. Names of modules fail, with the package that they come with."""
    for outcome in outcomes:
        if reason := explain(outcome.name, outcome.requested):
            outcome.status, outcome.error = "failed", reason
    packages = [outcome for outcome in outcomes if outcome.status != "failed"]
    if len(packages) < len(outcomes):
        # In case that the time is up before the end.
        _say(packages=[asdict(outcome) for outcome in outcomes if outcome not in packages], final=False)
    return packages


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
    """Tries requirements that cannot be had together by halves: as many as can be had, earlier ones first."""
    if len(outcomes) == 1:
        failure.note_in(outcomes[0])
        return
    known = _without_unknown(outcomes)
    middle = (len(known) + 1) // 2
    # All of it once more, where some have turned out to be what was wrong.
    for part in [known] if len(known) < len(outcomes) else [known[:middle], known[middle:]]:
        if part:
            _install(installer, part)
        _say(packages=[asdict(outcome) for outcome in part], final=False)


def _without_unknown(outcomes: list[Outcome]) -> list[Outcome]:
    """Returns the outcomes of packages that the index has. The others fail with its answer.

    The installer itself would name only one missing package at a time.
    """
    import http.client

    host, port = INDEX_ADDRESS
    connection = http.client.HTTPConnection(host, port, timeout=30)
    try:
        for outcome in outcomes:
            connection.request("HEAD", f"/simple/{key(outcome.name)}/")
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
        present = {key(name): version for name, version, _ in list_packages.find_distributions()}
        _say(phase="resolving")
        requirements = [outcome.requested for outcome in outcomes]
        locked = self._resolve(requirements, present)
        replaced = headless_packages.find({package["name"] for package in locked})
        if replaced:
            locked = self._resolve_without_windows(requirements, present, locked, replaced)
        resolved = {package["name"]: package["version"] for package in locked if "version" in package}
        missing = {name: version for name, version in resolved.items() if present.get(name) != version}
        if missing:
            disk_space.check(disk_space.read_wheels([package for package in locked if package["name"] in missing]))
            _say(phase="installing", count=len(missing))
            self._add(missing)
        for outcome in outcomes:
            name = key(outcome.name)
            if name in replaced:
                name, outcome.note = headless_packages.tell(name, name in resolved)
            outcome.version = resolved.get(name) or present.get(name)
            outcome.status = "installed" if name in missing else "already_satisfied"

    def _resolve(
        self, requirements: list[str], present: dict[str, str], overrides: list[str] | None = None
    ) -> list[dict[str, Any]]:
        """A package of a lock (PEP 751) for each requirement and for what it needs; what is there already stays if it can."""
        lock = os.path.join(self.scratch, "pylock.toml")
        _write(lock, 'lock-version = "1.0"\ncreated-by = "glovebox"\n', *map(_lock_entry, present.items()))
        options = ["--quiet", "--format", "pylock.toml", "-o", lock]
        if overrides:
            options += ["--overrides", _write(os.path.join(self.scratch, "overrides.txt"), *overrides)]
        self._uv("compile", *options, "-", stdin="\n".join(requirements))
        with open(lock, "rb") as file:
            packages: list[dict[str, Any]] = tomllib.load(file).get("packages", [])
        for package in packages:
            package["name"] = key(package["name"])
        return packages

    def _resolve_without_windows(
        self, requirements: list[str], present: dict[str, str], locked: list[dict[str, Any]], names: list[str]
    ) -> list[dict[str, Any]]:
        """Resolves again with packages that need no display. Returns `locked` where the index does not have them."""
        versions = {package["name"]: package["version"] for package in locked}
        instead = [f"{headless_packages.PACKAGES[name]}=={versions[name]}" for name in names]
        try:
            return self._resolve([*requirements, *instead], present, [f"{name} ; python_version < '0'\n" for name in names])
        except Failure:
            return locked

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
            stale = commands_of_pip(packages.keys())
            _switch_to(target)
            for path in stale:
                os.unlink(path)
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
            [_find_uv(), "pip", command, *arguments],
            input=stdin,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
        )
        if result.stderr:
            _say(log=result.stderr[-MAX_LOG:])
        if result.returncode != 0:
            raise _failure_in(result.stderr)


def _lock_entry(package: tuple[str, str]) -> str:
    """Nothing for what is no name or version: it would spoil the whole lock."""
    name, version = package
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name) or not re.fullmatch(r"[0-9][\w.+!]*", version, re.ASCII):
        return ""
    return f'[[packages]]\nname = "{name}"\nversion = "{version}"\n'


def _find_uv() -> str:
    """The path of the image's uv: the session may have another."""
    path = [folder for folder in os.environ["PATH"].split(os.pathsep) if not folder.startswith(WORKSPACE)]
    return shutil.which("uv", path=os.pathsep.join(path)) or "uv"


def _write(path: str, *parts: str) -> str:
    with open(path, "w") as file:
        file.writelines(parts)
    return path


def _switch_to(target: str) -> None:
    """Makes a folder of packages `site-packages`, in one step for code that imports at that moment."""
    os.chmod(target, 0o755)
    if os.path.isdir(USER_SITE) and not os.path.islink(USER_SITE):
        # Made by another installer.
        os.rename(USER_SITE, tempfile.mkdtemp(dir=VERSIONS))
    link = f"{target}.link"
    os.symlink(os.path.relpath(target, os.path.dirname(USER_SITE)), link)
    os.replace(link, USER_SITE)
    _remove_old_link()


def _remove_old_link() -> None:
    """The folder of commands is on PATH itself; a link to it, as it was made before, is in the way of pip's own."""
    programs = os.path.join(USER_BASE, "bin")
    if os.path.islink(programs) and os.path.realpath(programs) == os.path.realpath(os.path.join(USER_SITE, "bin")):
        os.unlink(programs)


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
    """The path of what stands in the place of a parent folder of the packages: a file, or a link to nowhere."""
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


def _say(**message: Any) -> None:
    print(json.dumps(message), flush=True)
