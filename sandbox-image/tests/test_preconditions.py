"""Changes files under conditions, as the control plane does. Needs Linux and a folder to write in."""

import fcntl
import json
import os
import unittest

from file_process import FilesTest, chunk, whole


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
