"""What tools return, and what is told of them."""

import asyncio
import inspect
import os
import pydoc
import rlcompleter
import shutil
import unittest
from pathlib import Path
from typing import Any

from tools_case import ToolsCase
from tools_door import file_part, tool

import tools
from glovebox_tools._catalog import Catalog
from glovebox_tools._results import FOLDER, plain_name, suffix_of
from glovebox_tools._tool import Tool


class ResultsTest(ToolsCase):
    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(shutil.rmtree, FOLDER, True)

    def result(self, *parts: dict[str, Any]) -> Any:
        self.door.parts = list(parts)
        return tools.github.parts()

    def test_one_part_is_its_value_several_are_a_list_and_none_is_none(self) -> None:
        self.assertEqual(self.result({"type": "json", "value": {"a": 1}}), {"a": 1})
        self.assertEqual(self.result({"type": "json", "value": []}), [])
        self.assertEqual(self.result({"type": "text", "text": "x"}), "x")
        self.assertEqual(self.result({"type": "text", "text": "x"}, {"type": "json", "value": 1}), ["x", 1])
        self.assertIsNone(self.result())
        self.assertEqual(self.result({"type": "hologram"}), {"type": "hologram"})

    def test_files_are_written_under_new_names_and_returned_as_paths(self) -> None:
        part = file_part(b"\x89PNG\n", "image/png", "chart.png")
        first, second = self.result(part, part)
        self.assertEqual((first, second), (Path(f"{FOLDER}/chart.png"), Path(f"{FOLDER}/chart-2.png")))
        self.assertEqual(second.read_bytes(), b"\x89PNG\n")
        self.assertEqual(self.result(file_part(b"", "text/csv; charset=utf-8")).name, "github-parts.csv")

    def test_names_that_lead_elsewhere_do_not(self) -> None:
        os.makedirs(FOLDER)
        os.symlink("/workspace/other", f"{FOLDER}/link.txt")
        self.assertEqual(self.result(file_part(b"x", "text/plain", "link.txt")).name, "link-2.txt")
        self.assertFalse(os.path.exists("/workspace/other"))
        for name, plain in (
            ("../../etc/passwd", "passwd"),
            ("..", "file"),
            ("/", "file"),
            (".bashrc", "bashrc"),
            ("a\\b\\c.txt", "c.txt"),
            ("file:///a/b.txt?x=/y", "b.txt"),
            ("a\0b\nc", "a_b_c"),
            ("ü.png", "ü.png"),
            ("a.tar.gz", "a.tar.gz"),
        ):
            with self.subTest(name):
                self.assertEqual(plain_name(name), plain)
        self.assertEqual(len(plain_name("ü" * 300 + ".png").encode()), 120)
        self.assertTrue(plain_name("ü" * 300 + ".png").endswith(".png"))
        self.assertEqual(suffix_of("image/x-unknown"), "")

    def test_a_link_is_read_when_it_is_asked_for(self) -> None:
        link = self.result({"type": "link", "uri": "file:///a", "name": "a", "mime": "text/plain"})
        self.assertEqual((link.uri, link.name, link.mime), ("file:///a", "a", "text/plain"))
        self.assertEqual(link.read(), "contents of file:///a")
        self.assertEqual(
            self.door.requests[-1], {"token": "secret", "op": "read", "server": "github", "uri": "file:///a"}
        )

        async def read() -> Any:
            return await (await tools.aio.github.parts()).read()

        self.assertEqual(asyncio.run(read()), "contents of file:///a")


class HelpTest(ToolsCase):
    def test_names_are_listed(self) -> None:
        self.assertEqual(dir(tools), ["ToolError", "aio", "broken", "github", "map", "my_files", "search"])
        self.assertIn("list_issues", dir(tools.github))
        self.assertIn("help(tools)", repr(tools))
        self.assertEqual(repr(tools.my_files), "<server 'my-files' with 1 tools>")
        self.assertIn("It does not answer.", repr(tools.broken))

    def test_names_are_completed(self) -> None:
        completer = rlcompleter.Completer({"tools": tools})
        self.assertEqual(completer.attr_matches("tools.git"), ["tools.github"])
        self.assertEqual(completer.attr_matches("tools.github.list"), ["tools.github.list_issues("])

    def test_the_signature_has_types_and_defaults(self) -> None:
        self.assertEqual(
            str(inspect.signature(tools.github.list_issues)),
            "(*, repo: str, state: Literal['open', 'closed', 'all'] = 'open', page_size: int = ...,"
            " labels: list[str] = ..., since: str | None = ..., filter: dict = ...,"
            " from_: float = ...) -> list[dict]",
        )
        self.assertEqual(str(inspect.signature(tools.github.none)), "() -> Any")
        self.assertEqual(str(inspect.signature(tools.github.echo)), "(**arguments: Any) -> Any")

    def test_help_has_the_signature_the_description_and_the_servers_own_name(self) -> None:
        text = pydoc.plain(pydoc.render_doc(tools.github.list_issues))
        for expected in (
            "in module glovebox_tools\n",
            "list_issues(",
            "repo: str",
            "Lists issues of a repository.",
            "repo (str): owner/name of the repository",
            "state (Literal['open', 'closed', 'all'], default 'open')",
            "page_size (int, may be left out): issues on a page",
            "author (str)",
            "Returns: list[dict]\n        id (int, may be left out)",
            "The tool 'list-issues' of the server 'github'.",
        ):
            self.assertIn(expected, text)
        self.assertIn("github.list_issues(repo, state=…", pydoc.plain(pydoc.render_doc(tools.github)))
        self.assertIn("tools.aio.github", pydoc.plain(pydoc.render_doc(tools)))
        self.assertEqual(inspect.getdoc(tools.aio.github.list_issues), inspect.getdoc(tools.github.list_issues))

    def test_help_of_odd_schemas_says_what_it_can(self) -> None:
        for schema in (
            None,
            {"properties": {"a": {"enum": []}}},
            {"properties": {"a": {"enum": [{}, 1]}, "b": {"type": []}, "c": {"items": True, "type": "array"}}},
            {"properties": {"a": True, "b": False, "c": {"anyOf": []}, "d": {"type": ["string", "integer", "null"]}}},
            {"properties": {"a": {"$ref": "#"}}},
            {"properties": {"a": {"description": 3, "default": None}}, "required": ["z"]},
        ):
            with self.subTest(str(schema)):
                odd = Tool("s", {"name": "t", "python": "t", "input_schema": schema, "output_schema": schema})
                self.assertIn("'t'", odd.__doc__)
                str(inspect.signature(odd))
                repr(odd)

    def test_tools_are_found_by_words_of_theirs(self) -> None:
        self.assertEqual([each.tool for each in tools.search("issue")], ["list-issues"])
        self.assertEqual(tools.search("list the issues of a repo")[0].tool, "list-issues")
        self.assertEqual(list(tools.search("xylophone")), [])
        self.assertIn("github.list_issues(repo, state=…", repr(tools.search("issues")))
        self.assertIn("dir(tools)", repr(tools.search("xylophone")))

    def test_servers_whose_names_are_the_same_for_python_have_different_ones(self) -> None:
        entries = [{"name": name, "tools": []} for name in ("a-b", "a b", "1st", "class", "map")]
        self.assertEqual(list(Catalog("", entries).servers), ["a_b", "a_b_2", "_1st", "class_", "map"])

    def test_a_tool_named_as_something_of_python_is_an_item(self) -> None:
        entry = {"name": "s", "tools": [tool("_tools"), tool("__class__", python="_class__")]}
        server = Catalog("", [entry]).servers["s"]
        self.assertEqual(server["_tools"].tool, "_tools")
        self.assertEqual(server["__class__"].tool, "__class__")


if __name__ == "__main__":
    unittest.main()
