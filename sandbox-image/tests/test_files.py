"""Asks for what is done with files as the control plane does. Needs Linux and a folder to write in."""

import fcntl
import itertools
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import traceback
import unittest
from collections.abc import Callable
from typing import Any

RUNNER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "runner")
sys.path.insert(0, RUNNER)

from _glovebox.files import files  # noqa: E402
from _glovebox.files.file_names import spell, unspell  # noqa: E402


class Process:
    """The program on pipes of its own, forked as the runner forks it."""

    def __init__(self, main: Callable[[], None]) -> None:
        their_stdin, stdin = os.pipe()
        stdout, their_stdout = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 70
            try:
                os.dup2(their_stdin, 0)
                os.dup2(their_stdout, 1)
                os.closerange(3, 100)
                main()
                code = 0
            except SystemExit as leave:
                code = leave.code if isinstance(leave.code, int) else 70
            except BaseException:  # noqa: BLE001 - nothing may unwind into the tests
                traceback.print_exc()
            os._exit(code)
        os.close(their_stdin)
        os.close(their_stdout)
        self.stdin = open(stdin, "wb", buffering=0)
        self.stdout = open(stdout, "rb")
        self.code: int | None = None

    def finish(self, stdin: bytes = b"") -> bytes:
        """Sends the rest, and waits for the end and all that comes before it."""
        try:
            self.stdin.write(stdin)
        except BrokenPipeError:
            # Refused before all was read.
            pass
        self.stdin.close()
        with self.stdout:
            out = self.stdout.read()
        self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return out


def chunk(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def whole(*chunks: bytes) -> bytes:
    return b"".join(map(chunk, chunks)) + chunk(b"")


def bundle(*entries: tuple[dict[str, Any], bytes]) -> bytes:
    return b"".join(json.dumps(entry).encode() + b"\n" + data for entry, data in entries)


def file_entry(path: str, data: bytes, **fields: Any) -> tuple[dict[str, Any], bytes]:
    return {"path": path, "type": "file", "size": len(data), "mode": 0o644, "modified_ms": 0, **fields}, data


def folder_entry(path: str, **fields: Any) -> tuple[dict[str, Any], bytes]:
    return file_entry(path, b"", **{"type": "directory", "mode": 0o755, **fields})


class Names(unittest.TestCase):
    def test_a_name_has_one_spelling_that_no_other_has(self) -> None:
        self.assertEqual(spell(os.fsdecode("é😀\\x41".encode() + b"\xff\xcf\xfa")), "é😀\\x41\\xff\\xcf\\xfa")
        seen = set()
        for parts in itertools.product(b"\\x5cf\xff\xc3\xa9", repeat=5):
            name = os.fsdecode(bytes(parts))
            spelled = spell(name)
            spelled.encode()
            self.assertEqual(os.fsencode(unspell(spelled)), bytes(parts))
            seen.add(spelled)
        self.assertEqual(len(seen), 8**5)


class FilesTest(unittest.TestCase):
    def setUp(self) -> None:
        self.base = tempfile.mkdtemp(dir=os.environ.get("FILES_TEST_DIRECTORY"))
        self.addCleanup(shutil.rmtree, self.base)
        self.root = os.path.join(self.base, "workspace")
        os.mkdir(self.root)
        with open(os.path.join(self.base, "secret"), "w") as file:
            file.write("secret")

    def path(self, *names: str) -> str:
        return os.path.join(self.root, *names)

    def make(self, path: str, data: bytes = b"data") -> None:
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        with open(self.path(path), "wb") as file:
            file.write(data)

    def contents(self, path: str) -> bytes:
        with open(self.path(path), "rb") as file:
            return file.read()

    def start(self, op: str, path: str, before: Callable[[], None] = lambda: None, **request: Any) -> Process:
        def main() -> None:
            before()
            files.main({"op": op, "path": path, **request}, self.root)

        return Process(main)

    def ask(self, op: str, path: str, stdin: bytes = b"", **request: Any) -> tuple[Any, bytes, int | None]:
        process = self.start(op, path, **request)
        header, _, rest = process.finish(stdin).partition(b"\n")
        return json.loads(header) if header else None, rest, process.code

    def refusal(self, op: str, path: str, stdin: bytes = b"", **request: Any) -> dict[str, str]:
        header, rest, code = self.ask(op, path, stdin, **request)
        self.assertEqual((rest, code), (b"", 1))
        return header["error"]


class Paths(FilesTest):
    def test_a_path_out_of_the_workspace_is_refused(self) -> None:
        self.make("a/b")
        outside = f"{self.base}/secret"
        for path in ("..", "../secret", "a/../../secret", "a/../b", "/etc/passwd", outside, self.root + "x", "a\0b"):
            for op in ("stat", "list", "read", "write", "delete", "pack", "unpack"):
                with self.subTest(path=path, op=op):
                    request = {"max_entries": 10, "max_bytes": 10}
                    self.assertEqual(self.refusal(op, path, whole(), **request)["code"], "invalid_input")

    def test_the_workspace_has_the_names_that_code_knows_it_by(self) -> None:
        for top in (self.root, "/mnt/data", "/home/user", "/sandbox", "//mnt/./data/"):
            with self.subTest(top=top):
                header, _, _ = self.ask("write", f"{top}/folder/file", whole(b"data"))
                self.assertEqual(header["ok"], True)
                self.assertEqual(self.contents("folder/file"), b"data")
                header, _, _ = self.ask("stat", top)
                self.assertEqual(header["entry"]["path"], ".")
                for path in (f"{top}/..", f"{top}/../secret", f"{top}/a/../../secret", top.rstrip("/") + "x", "/mnt", "/home/other"):
                    self.assertEqual(self.refusal("read", path)["code"], "invalid_input")
                shutil.rmtree(self.path("folder"))

    def test_a_link_is_followed_nowhere(self) -> None:
        os.symlink(self.base, self.path("up"))
        os.symlink("/", self.path("slash"))
        os.symlink(f"{self.base}/secret", self.path("file"))
        self.make("inner/file")
        os.symlink("inner", self.path("here"))
        for op, path in (
            ("read", "up/secret"), ("read", "file"), ("read", "slash/etc/passwd"), ("read", "here/file"),
            ("list", "up/"), ("stat", "up/secret"), ("write", "up/new"), ("write", "file"), ("write", "slash/new"),
            ("delete", "up/secret"), ("pack", "up"), ("unpack", "up"),
        ):  # fmt: skip
            with self.subTest(op=op, path=path):
                if op == "list":
                    header, _, _ = self.ask(op, path)
                    self.assertEqual([entry["type"] for entry in header["entries"]], ["link"])
                    continue
                refusal = self.refusal(op, path, whole(b"x"), max_entries=10, max_bytes=10)
                self.assertEqual(refusal["code"], "invalid_input")
        self.assertEqual(sorted(os.listdir(self.base)), ["secret", "workspace"])
        with open(os.path.join(self.base, "secret")) as file:
            self.assertEqual(file.read(), "secret")

    def test_any_name_that_the_system_knows_works(self) -> None:
        for name in ("new\nline", "smile 😀", "x" * 255, "é" * 127, "\udcff\udcfe", "-rf", "a'\"\\b", " "):
            with self.subTest(name=name):
                header, _, _ = self.ask("write", f"folder/{name}", whole(b"data"))
                self.assertEqual(header, {"ok": True, "size": 4, "created": True, "tag": header["tag"]})
                header, data, _ = self.ask("read", f"folder/{name}")
                self.assertEqual((header["entry"]["path"], data), (f"folder/{spell(name)}", b"data"))
        self.assertEqual(len(self.ask("list", "folder")[0]["entries"]), 8)

    def test_names_and_paths_that_are_too_long_are_refused(self) -> None:
        for path in ("x" * 256, "é" * 128, "x/" * 3000):
            self.assertEqual(self.refusal("write", path, whole())["code"], "invalid_input")

    def test_an_absolute_path_in_the_workspace_is_the_relative_one(self) -> None:
        self.make("a/b")
        self.assertEqual(self.ask("read", self.path("a/./b"))[1], b"data")
        self.assertEqual(self.ask("stat", self.root)[0]["entry"]["path"], ".")


class Reading(FilesTest):
    def test_a_range_is_read_as_announced(self) -> None:
        self.make("file", bytes(range(200)))
        for request, offset, length in (
            ({}, 0, 200), ({"offset": 10, "length": 5}, 10, 5), ({"offset": 190, "length": 50}, 190, 10),
            ({"offset": 500}, 200, 0), ({"suffix": 7}, 193, 7), ({"suffix": 500}, 0, 200), ({"length": 0}, 0, 0),
        ):  # fmt: skip
            with self.subTest(request=request):
                header, data, code = self.ask("read", "file", **request)
                self.assertEqual((header["offset"], header["length"], header["entry"]["size"]), (offset, length, 200))
                self.assertEqual((data, code), (bytes(range(200))[offset : offset + length], 0))

    def test_what_is_no_regular_file_is_refused_and_never_waited_for(self) -> None:
        os.mkfifo(self.path("fifo"))
        os.mkdir(self.path("folder"))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.path("socket"))
            self.assertEqual(self.refusal("read", "fifo")["code"], "invalid_input")
            self.assertEqual(self.refusal("read", "socket")["code"], "invalid_input")
        self.assertEqual(self.refusal("read", "folder")["code"], "is_folder")
        refusal = self.refusal("read", "")
        self.assertEqual((refusal["code"], refusal["message"]), ("is_folder", "The workspace: it is a folder."))
        self.assertEqual(self.refusal("read", "nothing")["code"], "file_not_found")
        self.assertEqual(self.refusal("read", "nothing/there")["code"], "file_not_found")
        self.assertEqual(self.refusal("write", "fifo", whole(b"x"))["code"], "invalid_input")

    def test_a_file_that_grows_is_cut_at_the_announced_size(self) -> None:
        self.make("file", b"x" * 1_000_000)
        process = self.start("read", "file")
        header = json.loads(process.stdout.readline())
        with open(self.path("file"), "ab") as file:
            file.write(b"y" * 1_000_000)
        out = process.finish()
        self.assertEqual((header["length"], out), (1_000_000, b"x" * 1_000_000))
        self.assertEqual(process.code, 0)

    def test_a_file_that_shrinks_ends_short_and_with_a_code(self) -> None:
        self.make("file", b"x" * 1_000_000)
        process = self.start("read", "file")
        process.stdout.readline()
        os.truncate(self.path("file"), 0)
        out = process.finish()
        self.assertLess(len(out), 1_000_000)
        self.assertEqual(process.code, 1)


class Writing(FilesTest):
    def test_a_file_has_its_name_only_once_it_is_whole(self) -> None:
        self.make("old", b"old")
        for path in ("old", "deep/new"):
            process = self.start("write", path)
            process.stdin.write(chunk(b"x" * 100_000))
            # A second chunk that is read shows that the first one has been written.
            process.stdin.write(chunk(b"y" * 200_000))
            self.assertEqual(os.listdir(self.root), ["old"])
            self.assertEqual(self.contents("old"), b"old")
            process.stdin.write(chunk(b""))
            process.finish()
            self.assertEqual(len(self.contents(path)), 300_000)
            self.make("old", b"old")
            shutil.rmtree(self.path("deep"), ignore_errors=True)

    def test_an_input_that_breaks_off_leaves_nothing(self) -> None:
        for stdin in (b"", b"\0\0", chunk(b"all")[:-1], chunk(b"all"), chunk(b"all") + b"\0\0\0"):
            with self.subTest(stdin=stdin):
                self.assertEqual(self.ask("write", "deep/file", stdin), (None, b"", 1))
                self.assertEqual(os.listdir(self.root), [])

    def test_a_killed_writer_leaves_nothing(self) -> None:
        process = self.start("write", "file")
        process.stdin.write(chunk(b"x" * 200_000) * 2)
        os.kill(process.pid, signal.SIGKILL)
        process.finish()
        self.assertEqual(os.listdir(self.root), [])

    def test_a_size_that_was_announced_must_come(self) -> None:
        self.assertEqual(self.refusal("write", "file", whole(b"data"), size=5)["code"], "invalid_input")
        self.assertEqual(os.listdir(self.root), [])
        self.assertTrue(self.ask("write", "file", whole(b"da", b"ta"), size=4)[0]["ok"])
        self.assertEqual(self.contents("file"), b"data")

    def test_a_file_is_replaced_at_once_and_keeps_its_permissions(self) -> None:
        self.make("script", b"old")
        os.chmod(self.path("script"), 0o750)
        with open(self.path("script"), "rb") as held:
            header, _, _ = self.ask("write", "script", whole(b"new"))
            self.assertEqual(held.read(), b"old")
        self.assertEqual((header["created"], self.contents("script")), (False, b"new"))
        self.assertEqual(os.stat(self.path("script")).st_mode & 0o777, 0o750)
        self.assertEqual(os.listdir(self.root), ["script"])

    def test_create_replaces_nothing(self) -> None:
        self.make("file", b"old")
        self.assertEqual(self.refusal("write", "file", whole(b"new"), mode="create")["code"], "file_exists")
        self.assertEqual(self.contents("file"), b"old")

    def test_no_file_takes_the_place_of_a_folder(self) -> None:
        self.make("folder/file")
        for path in ("folder", "", "folder/file/below"):
            self.assertEqual(self.refusal("write", path, whole(b"x"))["code"], "invalid_input")

    def test_a_full_disk_is_said_and_leaves_nothing(self) -> None:
        import resource

        def small() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

        header, _, code = self.ask("write", "file", whole(b"x" * 2000), before=small)
        self.assertEqual((header["error"]["code"], code), ("disk_full", 1))
        self.assertEqual(os.listdir(self.root), [])


class Listing(FilesTest):
    def paths(self, path: str = "", **request: Any) -> list[str]:
        return [entry["path"] for entry in self.ask("list", path, **request)[0]["entries"]]

    def test_a_folder_lists_what_is_in_it(self) -> None:
        self.make("a/b")
        self.make("c")
        os.symlink("/", self.path("d"))
        os.mkfifo(self.path("e"))
        header, _, _ = self.ask("list", "")
        self.assertEqual(
            [(entry["path"], entry["type"]) for entry in header["entries"]],
            [("a", "directory"), ("c", "file"), ("d", "link"), ("e", "other")],
        )
        self.assertEqual(self.paths("a"), ["a/b"])
        self.assertEqual(self.paths("c"), ["c"])
        self.assertEqual(self.refusal("list", "nothing")["code"], "file_not_found")

    def test_a_recursive_listing_leaves_out_what_is_not_the_users(self) -> None:
        for path in ("a/b/c", ".local/lib/x", ".glovebox/y", "a/.local/z"):
            self.make(path)
        os.symlink("/", self.path("a/root"))
        self.assertEqual(self.paths("", recursive=True), ["a", "a/.local", "a/.local/z", "a/b", "a/b/c", "a/root"])
        self.assertEqual(self.paths(".local", recursive=True), [".local/lib", ".local/lib/x"])

    def test_a_listing_is_bounded_and_says_so(self) -> None:
        os.mkdir(self.path("many"))
        for at in range(1200):
            self.make(f"many/{at:04}", b"")
        header, _, _ = self.ask("list", "", recursive=True)
        self.assertEqual((len(header["entries"]), header["truncated"]), (1000, True))
        self.assertEqual(header["entries"][0]["path"], "many")
        self.assertEqual(self.paths("many", limit=3), ["many/0000", "many/0001", "many/0002"])

    def test_any_time_of_a_file_can_be_told(self) -> None:
        self.make("old")
        os.utime(self.path("old"), ns=(-(10**18), -(10**18)))
        entry = self.ask("stat", "old")[0]["entry"]
        self.assertEqual(entry, {"path": "old", "type": "file", "size": 4, "modified_ms": 0})


class Deleting(FilesTest):
    def test_files_links_and_folders_go_and_nothing_behind_a_link_does(self) -> None:
        self.make("folder/a/b")
        os.symlink(self.base, self.path("folder/up"))
        os.symlink(self.base, self.path("up"))
        self.assertEqual(self.refusal("delete", "folder")["code"], "not_empty")
        for path in ("folder/a/b", "folder/a", "up"):
            self.assertEqual(self.ask("delete", path)[0], {"ok": True})
        self.make("folder/a/b")
        self.assertEqual(self.ask("delete", "folder", recursive=True)[0], {"ok": True})
        self.assertEqual(os.listdir(self.root), [])
        self.assertTrue(os.path.exists(os.path.join(self.base, "secret")))
        self.assertEqual(self.refusal("delete", "folder")["code"], "file_not_found")
        self.assertEqual(self.refusal("delete", ".", recursive=True)["code"], "invalid_input")

    def test_a_tree_of_any_depth_goes(self) -> None:
        descriptor = os.open(self.root, os.O_RDONLY)
        for _ in range(1500):
            os.mkdir("d", dir_fd=descriptor)
            below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        os.close(descriptor)
        self.assertTrue(self.ask("list", "", recursive=True)[0]["truncated"])
        left_out = self.ask("pack", "", **Bundles.LIMITS)[0]["left_out"]
        self.assertEqual(left_out, {"count": 1, "names": ["d/" * 64 + "d"]})
        self.assertEqual(self.ask("delete", "d", recursive=True)[0], {"ok": True})


class Bundles(FilesTest):
    LIMITS = {"max_entries": 100, "max_bytes": 100_000}

    def pack(self, path: str) -> tuple[dict[str, Any], dict[str, Any]]:
        header, rest, code = self.ask("pack", path, **self.LIMITS)
        self.assertEqual(code, 0)
        found: dict[str, Any] = {}
        while rest:
            line, _, rest = rest.partition(b"\n")
            entry = json.loads(line)
            if "end" in entry:
                break
            size = entry["size"]
            found[entry["path"]], rest = entry.get("target", rest[:size]), rest[size:]
        self.assertEqual((rest, entry), (b"", {"end": True}))
        return header, found

    def test_a_folder_is_packed_without_what_leaves_it_or_cannot_be_packed(self) -> None:
        self.make("top/a", b"1")
        self.make("top/b/c", b"22")
        os.symlink("../a", self.path("top/b/inside"))
        for name, target in (("out", "../.."), ("absolute", "/etc"), ("over", "b/../../x"), ("here", "b")):
            os.symlink(target, self.path("top", name))
        os.mkfifo(self.path(os.fsdecode(b"top/\xff")))
        self.make("top/closed", b"333")
        os.chmod(self.path("top/closed"), 0)
        header, found = self.pack("top")
        self.assertEqual(
            found, {"a": b"1", "b": b"", "b/c": b"22", "b/inside": "../a", "closed": b"333", "here": "b"}
        )
        self.assertEqual((header["size"], header["left_out"]["count"]), (6, 4))
        self.assertEqual(sorted(header["left_out"]["names"]), ["\\xff", "absolute", "out", "over"])

    def test_more_than_is_allowed_is_not_begun(self) -> None:
        self.make("sparse")
        os.truncate(self.path("sparse"), 2**24)
        self.assertEqual(self.refusal("pack", "", max_entries=10, max_bytes=2**23)["code"], "too_large")
        self.assertEqual(self.refusal("pack", "", max_entries=0, max_bytes=2**50)["code"], "too_large")

    def test_what_is_packed_can_be_unpacked(self) -> None:
        stdin = bundle(
            folder_entry("a", mode=0o500, modified_ms=7000),
            file_entry("a/script", b"#!", mode=0o6755, modified_ms=5000),
            file_entry("b/😀\n", b"x" * 100_000),
            ({"path": "a/link", "type": "link", "target": "../b"}, b""),
        )
        pieces = [stdin[at : at + 7000] for at in range(0, len(stdin), 7000)]
        header, _, _ = self.ask("unpack", "into", whole(*pieces))
        self.assertEqual(header, {"ok": True, "files": 2, "size": 100_002})
        status = os.stat(self.path("into/a/script"))
        self.assertEqual((status.st_mode & 0o7777, status.st_mtime), (0o755, 5))
        self.assertEqual(len(self.contents("into/a/link/😀\n")), 100_000)
        status = os.stat(self.path("into/a"))
        self.assertEqual((status.st_mode & 0o777, status.st_mtime), (0o500, 7))
        os.chmod(self.path("into/a"), 0o700)

    def test_hard_links_and_holes_are_unpacked(self) -> None:
        self.make("b")
        hard = {"type": "hard", "size": 0, "mode": 0o644, "modified_ms": 0}
        stdin = bundle(
            file_entry("a", b"data" + bytes(1_000_000) + b"end" + bytes(500_000)),
            ({**hard, "path": "b", "target": "a"}, b""),
            ({**hard, "path": "d/c", "target": "b"}, b""),
            ({**hard, "path": "b", "target": "a"}, b""),
        )
        header, _, _ = self.ask("unpack", "", whole(stdin))
        self.assertEqual(header["files"], 4)
        self.assertEqual(sorted(os.listdir(self.root)), ["a", "b", "d"])
        status = os.stat(self.path("d/c"))
        self.assertEqual((status.st_nlink, status.st_size), (3, 1_500_007))
        self.assertLess(status.st_blocks * 512, 300_000)
        self.assertEqual(self.contents("a"), b"data" + bytes(1_000_000) + b"end" + bytes(500_000))
        for target in ("../secret", "/etc/passwd", "none", "d"):
            with self.subTest(target=target):
                self.refusal("unpack", "", whole(bundle(({**hard, "path": "x", "target": target}, b""))))
        self.assertEqual(sorted(os.listdir(self.root)), ["a", "b", "d"])

    def test_an_entry_cut_by_large_chunks_is_no_long_one(self) -> None:
        stdin = bundle(*(file_entry(f"{at}", b"x" * 50_000) for at in range(20)))
        for size in (64 * 1024, 256 * 1024):
            pieces = [stdin[at : at + size] for at in range(0, len(stdin), size)]
            header, _, _ = self.ask("unpack", f"by-{size}", whole(*pieces))
            self.assertEqual(header, {"ok": True, "files": 20, "size": 1_000_000})
        self.assertEqual(self.refusal("unpack", "", whole(b"x" * 300_000))["code"], "invalid_input")

    def test_entries_that_lead_out_are_refused(self) -> None:
        os.symlink(self.base, self.path("up"))
        for entry in (
            file_entry("../new", b""), file_entry("/new", b""), file_entry("up/new", b""),
            ({"path": "l", "type": "link", "target": "/etc"}, b""), ({"path": "l", "type": "link", "target": ".."}, b""),
            ({"path": "l", "type": "device"}, b""), ({"type": "directory"}, b""), file_entry("a", b"", size=-1),
        ):  # fmt: skip
            with self.subTest(entry=entry):
                self.assertEqual(self.refusal("unpack", "", whole(bundle(entry)))["code"], "invalid_input")
        self.assertEqual(sorted(os.listdir(self.base)), ["secret", "workspace"])

    def test_no_entry_is_there_in_part(self) -> None:
        stdin = bundle(file_entry("first", b"1"), file_entry("second", b"2" * 1000))
        self.assertEqual(self.ask("unpack", "", chunk(stdin[:-1])), (None, b"", 1))
        self.assertEqual(os.listdir(self.root), ["first"])
        self.assertEqual(self.refusal("unpack", "", whole(stdin[:-1]))["code"], "invalid_input")
        self.assertEqual(os.listdir(self.root), ["first"])


class Preconditions(FilesTest):
    def test_a_tag_names_one_state_of_a_file(self) -> None:
        written, _, _ = self.ask("write", "a", whole(b"one"))
        read, _, _ = self.ask("read", "a")
        self.assertEqual(written["tag"], read["tag"])
        with open(self.path("a"), "r+b") as file:
            file.write(b"two")
        changed, _, _ = self.ask("read", "a")
        self.assertNotEqual(read["tag"], changed["tag"])

    def test_conditions_stop_in_the_order_of_the_rfc(self) -> None:
        self.make("a")
        os.utime(self.path("a"), (1000, 1000))
        tag = self.ask("read", "a")[0]["tag"]
        for conditions, outcome in (
            ({"match": [tag]}, "data"), ({"match": "*"}, "data"), ({"match": ["x"]}, "failed"), ({"match": []}, "failed"),
            ({"none_match": [tag]}, ""), ({"none_match": "*"}, ""), ({"none_match": ["x"]}, "data"),
            ({"modified_since": 1000}, ""), ({"modified_since": 999}, "data"),
            ({"unmodified_since": 1000}, "data"), ({"unmodified_since": 999}, "failed"),
            ({"match": [tag], "none_match": [tag]}, ""), ({"match": ["x"], "none_match": [tag]}, "failed"),
            ({"match": [tag], "unmodified_since": 0}, "data"),
        ):  # fmt: skip
            with self.subTest(conditions=conditions):
                header, rest, _ = self.ask("read", "a", conditions=conditions)
                if outcome == "failed":
                    self.assertEqual(header["error"]["code"], "precondition_failed")
                else:
                    self.assertEqual((rest.decode(), header.get("not_modified", False)), (outcome, outcome == ""))

    def test_a_change_under_a_condition_that_fails_changes_nothing(self) -> None:
        self.make("a")
        for op in ("write", "delete"):
            refusal = self.refusal(op, "a", whole(b"new"), conditions={"match": ["x"]})
            self.assertEqual((refusal["code"], self.contents("a")), ("precondition_failed", b"data"))
        self.assertEqual(
            self.refusal("write", "new", whole(b"new"), conditions={"match": "*"})["code"], "precondition_failed"
        )
        self.assertEqual(os.listdir(self.root), ["a"])

    def test_a_file_that_changes_while_its_successor_comes_is_not_replaced(self) -> None:
        self.make("a")
        tag = self.ask("read", "a")[0]["tag"]
        process = self.start("write", "a", conditions={"match": [tag]})
        process.stdin.write(chunk(b"new"))
        self.make("a", b"other")
        answer = json.loads(process.finish(chunk(b"")))
        self.assertEqual((answer["error"]["code"], self.contents("a")), ("precondition_failed", b"other"))

    def test_a_lock_that_the_code_holds_keeps_nobody_for_long(self) -> None:
        descriptor = os.open(self.root, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        header, _, _ = self.ask("write", "a", whole(b"new"))
        os.close(descriptor)
        self.assertTrue(header["created"])


if __name__ == "__main__":
    unittest.main()
