"""Saves and restores what a session keeps as the control plane does. Needs Linux and a folder to write in."""

import json
import os
import shutil
import socket
import tempfile
import unittest
from typing import Any

from file_process import Process, whole

from _glovebox.files import workspace
from _glovebox.files.packing import BLOCK

LIMITS = {"max_entries": 100, "max_bytes": 1_000_000}


def entry(path: str, data: bytes = b"", **fields: Any) -> bytes:
    described = {"path": path, "type": "file", "size": len(data), "mode": 0o600, "modified_ms": 1000, **fields}
    return json.dumps(described).encode() + b"\n" + data


class ArchivesTest(unittest.TestCase):
    def setUp(self) -> None:
        self.base = tempfile.mkdtemp(dir=os.environ.get("FILES_TEST_DIRECTORY"))
        self.addCleanup(shutil.rmtree, self.base)
        self.root, self.tmp = (os.path.join(self.base, name) for name in ("workspace", "tmp"))
        os.mkdir(self.root)
        os.mkdir(self.tmp)

    def ask(self, request: dict[str, Any], stdin: bytes) -> tuple[bytes, int | None]:
        process = Process(lambda: workspace.main(request, self.root, self.tmp))
        return process.finish(stdin), process.code

    def save(self) -> list[dict[str, Any]]:
        """The lines that are sent; files are to be empty."""
        sent, code = self.ask({"op": "save", **LIMITS}, whole())
        self.assertEqual(code, 0)
        return [json.loads(line) for line in sent.splitlines()]

    def restore(self, *entries: bytes) -> dict[str, Any]:
        sent, _ = self.ask({"op": "restore"}, whole(*entries))
        return json.loads(sent)

    def test_what_is_in_tmp_is_kept_beside_the_workspace(self) -> None:
        for name in ("workspace/file", "tmp/file", "tmp/execution-x"):
            with open(os.path.join(self.base, name), "w"):
                pass
        for folder in ("execution-12", "ipython-3", "matplotlib-a1b2", "folder", "folder/execution-1"):
            os.mkdir(os.path.join(self.tmp, folder))
        os.link(f"{self.tmp}/file", f"{self.tmp}/hard")
        os.mkfifo(f"{self.tmp}/fifo")
        os.mkfifo(f"{self.root}/fifo")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{self.tmp}/socket")
        first, *entries, last = self.save()
        self.assertEqual(first["entries"], len(entries))
        paths = sorted(item["path"] for item in entries)
        kept = ["execution-x", "file", "folder", "folder/execution-1", "hard"]
        self.assertEqual(paths, [*(f"/tmp/{name}" for name in kept), "file"])
        targets = [item["target"] for item in entries if item["type"] == "hard"]
        self.assertIn(targets, (["/tmp/file"], ["/tmp/hard"]))
        self.assertEqual(last, {"end": True, "unreadable": 0, "passing": 3, "left_out": {"count": 1, "names": ["fifo"]}})

    def test_it_comes_back_where_it_was(self) -> None:
        answered = self.restore(
            entry("file", b"workspace"),
            entry("/tmp/folder", type="directory", mode=0o500),
            entry("/tmp/folder/file", b"tmp"),
            entry("/tmp/hard", type="hard", target="/tmp/folder/file"),
            entry("/tmp/link", type="link", target="/workspace"),
        )
        self.assertEqual(answered, {"ok": True, "entries": 5, "missing": 0})
        with open(f"{self.root}/file") as workspace, open(f"{self.tmp}/hard") as tmp:
            self.assertEqual((workspace.read(), tmp.read()), ("workspace", "tmp"))
        self.assertEqual(os.readlink(f"{self.tmp}/link"), "/workspace")
        status = os.stat(f"{self.tmp}/folder")
        self.assertEqual((status.st_mode & 0o777, status.st_mtime, os.stat(f"{self.tmp}/hard").st_nlink), (0o500, 1, 2))
        os.chmod(f"{self.tmp}/folder", 0o700)

    def test_what_has_no_place_there_any_more_is_counted_and_ends_nothing(self) -> None:
        os.mkdir(f"{self.tmp}/taken")
        answered = self.restore(
            entry("/tmp/taken", b"x" * 200_000),
            entry("/tmp/taken", type="link", target="x"),
            entry("/tmp/other", b"other"),
            entry("file", b"workspace"),
        )
        self.assertEqual(answered, {"ok": True, "entries": 4, "missing": 2})
        self.assertEqual((sorted(os.listdir(self.tmp)), os.listdir(self.root)), (["other", "taken"], ["file"]))

    def test_the_same_in_the_workspace_is_refused(self) -> None:
        os.mkdir(f"{self.root}/taken")
        self.assertIn("error", self.restore(entry("taken", b"x")))

    def test_nothing_is_made_beside_the_two(self) -> None:
        for path in ("/tmp/../out", "/tmp//etc/out", "/etc/out", "../out"):
            with self.subTest(path=path):
                self.assertIn("error", self.restore(entry(path, b"x")))
        self.assertEqual(sorted(os.listdir(self.base)), ["tmp", "workspace"])

    def test_what_is_packed_comes_back_as_it_was(self) -> None:
        contents = {
            "text": b"one line of many\n" * 60_000,
            "random": os.urandom(600_000),
            "short": b"short",
            "late noise": b"a" * BLOCK + os.urandom(BLOCK + 10),
        }
        for name, data in contents.items():
            with open(f"{self.root}/{name}", "wb") as file:
                file.write(data)
        request = {"op": "save", "max_entries": 100, "max_bytes": 10_000_000, "pack": True}
        sent, code = self.ask(request, whole())
        self.assertEqual(code, 0)
        entries = split_packed(sent)
        self.assertEqual({item["path"] for item, _ in entries if "packed" in item}, {"text", "late noise"})
        self.assertLess(len(sent), sum(map(len, contents.values())) - 900_000)
        for name in contents:
            os.unlink(f"{self.root}/{name}")
        answer = self.restore(*(json.dumps(item).encode() + b"\n" + data for item, data in entries))
        self.assertEqual(answer, {"ok": True, "entries": 4, "missing": 0})
        for name, data in contents.items():
            with open(f"{self.root}/{name}", "rb") as file:
                self.assertEqual(file.read(), data)

    def test_folders_get_their_times_and_modes_whatever_is_in_them(self) -> None:
        deep = "/".join(f"d{at}" for at in range(40))
        shut = {"type": "directory", "mode": 0o555, "modified_ms": 2000}
        entries = [entry(deep[: len(deep.partition(f"d{at}")[0]) + len(f"d{at}")], **shut) for at in range(40)]
        entries += [entry("a", **shut), entry("a/b", **shut), entry("c", **shut), entry("a/b/file", b"1", mode=0o444)]
        entries += [entry(f"{deep}/file", b"2", mode=0o755), entry("unlisted/folder/file", b"3"), entry(".", **shut)]
        self.assertEqual(self.restore(*entries), {"ok": True, "entries": len(entries), "missing": 0})
        for path in (".", "a", "a/b", "c", "d0", "d0/d1", deep):
            status = os.stat(f"{self.root}/{path}")
            self.assertEqual((path, status.st_mode & 0o777, status.st_mtime), (path, 0o555, 2))
        for path, mode in (("a/b/file", 0o444), (f"{deep}/file", 0o755), ("unlisted/folder/file", 0o600)):
            status = os.stat(f"{self.root}/{path}")
            self.assertEqual((path, status.st_mode & 0o777, status.st_size, status.st_mtime), (path, mode, 1, 1))
        for folder, _, _ in os.walk(self.root):
            os.chmod(folder, 0o700)

    def test_files_with_holes_take_no_more_room_when_they_come_back(self) -> None:
        for name, data, holes in (("small", b"x", 3), ("end", b"x" * 70_000, 2), ("large", b"y" * 5000, BLOCK // 4096 * 3)):
            with open(f"{self.root}/{name}", "wb") as file:
                for at in range(3):
                    file.seek(at * holes * 4096 * 2)
                    file.write(data)
                file.truncate(file.tell() + 10_000)
        taken = {name: os.stat(f"{self.root}/{name}").st_blocks for name in os.listdir(self.root)}
        contents = {name: read(f"{self.root}/{name}") for name in taken}
        for pack in (True, False):
            with self.subTest(pack=pack):
                sent, code = self.ask({"op": "save", "max_entries": 9, "max_bytes": 100 << 20, "pack": pack}, whole())
                self.assertEqual(code, 0)
                entries = split_packed(sent)
                for name in taken:
                    os.unlink(f"{self.root}/{name}")
                answer = self.restore(*(json.dumps(item).encode() + b"\n" + data for item, data in entries))
                self.assertEqual(answer, {"ok": True, "entries": 3, "missing": 0})
                for name, blocks in taken.items():
                    self.assertLessEqual(os.stat(f"{self.root}/{name}").st_blocks, blocks, name)
                    self.assertEqual(read(f"{self.root}/{name}"), contents[name])

    def test_damaged_packed_contents_are_refused(self) -> None:
        data = b"one line of many\n" * 1000
        with open(f"{self.root}/text", "wb") as file:
            file.write(data)
        sent, _ = self.ask({"op": "save", **LIMITS, "pack": True}, whole())
        [(described, packed)] = split_packed(sent)
        os.unlink(f"{self.root}/text")
        other = len(data) + 1
        for damaged in (
            entry("text", packed[:-1], size=len(data), packed=len(packed) - 1),
            entry("text", packed + b"x", size=len(data), packed=len(packed) + 1),
            entry("text", packed, size=other, packed=len(packed)),
            entry("text", packed[:4] + b"\0" + packed[5:], size=len(data), packed=len(packed)),
            entry("text", b"\xff" * 4 + packed[4:], size=len(data), packed=len(packed)),
            entry("text", b"", size=len(data), packed=0),
            entry("/tmp/text", packed, size=other, packed=len(packed)),
        ):
            self.assertEqual(self.restore(damaged)["error"]["code"], "damaged")
            shutil.rmtree(self.root)
            os.mkdir(self.root)


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def split_packed(sent: bytes) -> list[tuple[dict[str, Any], bytes]]:
    """Entries as they are to be sent back, with their contents."""
    _, _, rest = sent.partition(b"\n")
    entries = []
    while True:
        line, _, rest = rest.partition(b"\n")
        described = json.loads(line)
        if "end" in described:
            return entries
        size = described["size"]
        if described.pop("packed", False):
            size = 0
            for _ in range(0, described["size"], BLOCK):
                size += 4 + int.from_bytes(rest[size : size + 4], "big")
            described["packed"] = size
        entries.append((described, rest[:size]))
        rest = rest[size:]


if __name__ == "__main__":
    unittest.main()
