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


if __name__ == "__main__":
    unittest.main()
