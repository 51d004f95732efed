"""Reads and writes files as the control plane does. Needs Linux and a folder to write in."""

import itertools
import json
import os
import shutil
import signal
import socket
import unittest

from file_process import FilesTest, chunk, whole

from _glovebox.files.file_names import spell, unspell


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


if __name__ == "__main__":
    unittest.main()
