"""Lists and deletes as the control plane does. Needs Linux and a folder to write in."""

import os
import unittest
from typing import Any

from file_process import FilesTest

LIMITS = {"max_entries": 100, "max_bytes": 100_000}


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
        left_out = self.ask("pack", "", **LIMITS)[0]["left_out"]
        self.assertEqual(left_out, {"count": 1, "names": ["d/" * 64 + "d"]})
        self.assertEqual(self.ask("delete", "d", recursive=True)[0], {"ok": True})


if __name__ == "__main__":
    unittest.main()
