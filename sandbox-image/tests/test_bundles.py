"""Sends and receives many files at once, as the control plane does. Needs Linux and a folder to write in."""

import json
import os
import unittest
from typing import Any

from file_process import FilesTest, bundle, chunk, file_entry, folder_entry, whole


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


if __name__ == "__main__":
    unittest.main()
