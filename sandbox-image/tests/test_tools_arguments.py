"""Arguments of tools: what is sent of them, and what is refused before it is sent."""

import collections
import dataclasses
import datetime
import decimal
import enum
import math
import pathlib
import unittest
import uuid
from typing import Any

from tools_case import ToolsCase
from tools_door import tool

import tools
from glovebox_tools._arguments import bind
from glovebox_tools._tool import Tool


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Name(str):
    pass


@dataclasses.dataclass
class Point:
    x: int


class NamesTest(ToolsCase):
    def refused(self, *args: Any, **kwargs: Any) -> "tools.ToolError":
        error = self.error_of(tools.github.list_issues, *args, **kwargs)
        self.assertEqual(error.code, "bad_arguments")
        self.assertEqual(self.door.calls(), [])
        return error

    def test_arguments_go_by_their_names_in_the_schema_or_by_those_for_python(self) -> None:
        tools.github.list_issues(repo="a/b", page_size=5, from_=1)
        tools.github.list_issues(repo="a/b", **{"page-size": 5, "from": 1})
        self.assertEqual(self.door.calls(), [{"repo": "a/b", "page-size": 5, "from": 1}] * 2)

    def test_an_unknown_name_is_refused_with_the_nearest(self) -> None:
        error = self.refused(repo="a/b", lables=[])
        self.assertIn("'lables'", error.message)
        self.assertIn("'labels'", error.hint)
        self.assertIn("repo", self.refused(rpeo="a/b").hint)
        self.assertIn("none()", self.error_of(tools.github.none, a=1).hint)

    def test_what_is_missing_is_named(self) -> None:
        error = self.refused(state="open")
        self.assertIn("needs 'repo'", error.message)
        self.assertIn("list_issues(repo, state=…", error.hint)

    def test_arguments_by_place_are_refused(self) -> None:
        self.assertIn("by name", self.refused("a/b").message)

    def test_types_choices_and_what_is_within_are_checked(self) -> None:
        for faulty, message in [
            (("repo", 1), "repo must be a string, not 1"),
            (("state", "opne"), "state must be one of 'open', 'closed', 'all', not \"opne\". Did you mean 'open'?"),
            (("page_size", 1.5), "page_size must be an integer, not 1.5"),
            (("page_size", True), "page_size must be an integer, not True"),
            (("labels", "bug"), 'labels must be a list, not "bug"'),
            (("labels", ["bug", 1]), "labels[1] must be a string, not 1"),
            (("since", 5), "since must be a string or None, not 5"),
            (("filter", {"age": 1}), "filter needs 'author'"),
            (("filter", {"author": 1}), "filter.author must be a string, not 1"),
            (("filter", {"author": "a", "aeg": 1}), "filter has no 'aeg'. Did you mean 'age'?"),
        ]:
            name, value = faulty
            with self.subTest(message):
                arguments = {"repo": "a/b", name: value}
                self.assertIn(message, self.refused(**arguments).message)

    def test_what_may_be_left_out_may_be_none(self) -> None:
        tools.github.list_issues(repo="a/b", state=None, labels=None, since=None, filter=...)
        # The schema of `since` has a null of its own.
        self.assertEqual(self.door.calls(), [{"repo": "a/b", "since": None}])
        self.assertIn("repo must be a string", self.error_of(tools.github.list_issues, repo=None).message)


class SchemasTest(unittest.TestCase):
    def bind(self, schema: Any, **arguments: Any) -> dict[str, Any]:
        return bind(Tool("s", tool("t", "", schema)), (), arguments)

    def test_schemas_that_are_not_understood_allow_everything(self) -> None:
        for schema in (
            {},
            True,
            None,
            {"type": "object"},
            {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
            {"$ref": "https://example.org/schema.json"},
            {"$ref": "#/$defs/Missing"},
            {"$ref": "#"},
            {"properties": {"a": {"type": "date"}}},
            {"properties": {"a": {"$ref": "#/nowhere"}}},
            {"properties": {"a": {"not": {"type": "integer"}}}},
            {"properties": {"a": {"anyOf": [{"if": {}}, {"type": "string"}]}}},
            {"properties": {"a": "nonsense"}, "required": "nonsense"},
            {"properties": [], "required": [3]},
            {"properties": {}, "additionalProperties": True},
            {"properties": {}, "patternProperties": {"^a": {}}},
            {"properties": {"b": {}}, "additionalProperties": {"type": "integer"}},
        ):
            with self.subTest(str(schema)):
                self.assertEqual(self.bind(schema, a=1), {"a": 1})

    def test_a_schema_that_holds_itself_ends(self) -> None:
        node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/N"}}, "additionalProperties": False}
        schema = {"properties": {"a": {"$ref": "#/$defs/N"}}, "$defs": {"N": node, "L": {"$ref": "#/$defs/L"}}}
        value: dict[str, Any] = {}
        for _ in range(50):
            value = {"next": value}
        self.assertEqual(self.bind(schema, a=value), {"a": value})
        self.assertRaisesRegex(tools.ToolError, "a.next has no 'x'", self.bind, schema, a={"next": {"x": 1}})
        looped = {"properties": {"a": {"$ref": "#/$defs/L"}}, "$defs": schema["$defs"]}
        self.assertEqual(self.bind(looped, a=1), {"a": 1})

    def test_the_form_of_several_whose_type_is_right_tells_what_is_wrong(self) -> None:
        schema = {"properties": {"a": {"anyOf": [{"type": "string"}, {"type": "object", "required": ["x"]}]}}}
        self.assertRaisesRegex(tools.ToolError, "a needs 'x'", self.bind, schema, a={})
        self.assertRaisesRegex(tools.ToolError, "a must be a string or a dict, not 1", self.bind, schema, a=1)
        self.assertEqual(self.bind(schema, a={"x": 1}), {"a": {"x": 1}})

    def test_names_of_arguments_that_are_none_of_python_get_others(self) -> None:
        given = {"a_b": 1, "a_b_2": 2, "class_": 3, "_2d": 4, "_": 5, "self": 6, "tool": 7}
        schema = {"properties": {name: {} for name in ("a-b", "a_b", "class", "2d", "é", "self", "tool")}}
        sent = bind(Tool("s", tool("t", "", schema)), (), given)
        self.assertEqual(sent, {"a_b": 1, "a-b": 2, "class": 3, "2d": 4, "é": 5, "self": 6, "tool": 7})

    def test_other_rules_of_values(self) -> None:
        for schema, good, bad in (
            ({"const": 1}, 1, 2),
            ({"type": ["string", "null"]}, None, 1),
            ({"type": "integer"}, 2.0, 2.5),
            ({"type": "number"}, 2, "2"),
            ({"allOf": [{"type": "string"}, {"enum": ["a"]}]}, "a", "b"),
            ({"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, ["a", 1], ["a", "b"]),
            ({"type": "object", "additionalProperties": {"type": "integer"}}, {"x": 1}, {"x": "1"}),
            ({"oneOf": [{"enum": ["a"]}, {"enum": ["b"]}]}, "b", "c"),
        ):
            with self.subTest(str(schema)):
                whole = {"properties": {"a": schema}, "required": ["a"]}
                self.assertEqual(self.bind(whole, a=good), {"a": good})
                self.assertRaises(tools.ToolError, self.bind, whole, a=bad)
        self.assertRaisesRegex(tools.ToolError, "left out", self.bind, {"properties": {"a": False}}, a=1)


class ValuesTest(unittest.TestCase):
    def bind(self, value: Any) -> Any:
        return bind(Tool("s", tool("t")), (), {"v": value})["v"]

    def refused(self, value: Any) -> "tools.ToolError":
        with self.assertRaises(tools.ToolError) as caught:
            self.bind(value)
        self.assertEqual(caught.exception.code, "bad_arguments")
        return caught.exception

    def test_values_that_are_as_good_as_those_of_json_are_sent(self) -> None:
        for value, sent in (
            ((1, (2,)), [1, [2]]),
            (Level.HIGH, 3),
            (Name("a"), "a"),
            (collections.OrderedDict(a=1), {"a": 1}),
            (collections.Counter("a"), {"a": 1}),
            ({Name("a"): 1}, {"a": 1}),
        ):
            with self.subTest(repr(value)):
                self.assertEqual(self.bind(value), sent)
                self.assertIs(type(self.bind(value)), type(sent))

    def test_other_values_are_refused_with_what_to_write(self) -> None:
        for value, hint in (
            ({1, 2}, "list(v)"),
            ({"a": 1}.keys(), "list(v)"),
            ((n for n in ()), "list(v)"),
            (b"x", "base64.b64encode(v).decode()"),
            (datetime.date(2026, 1, 1), "v.isoformat()"),
            (datetime.datetime(2026, 1, 1), "v.isoformat()"),
            (datetime.timedelta(1), "v.total_seconds()"),
            (decimal.Decimal(1), "float(v)"),
            (uuid.UUID(int=1), "str(v)"),
            (pathlib.PosixPath("a"), "v.read_text()"),
            (Point(1), "dataclasses.asdict(v)"),
            (Color.RED, "v.value"),
            (object(), "dicts, lists, texts and numbers"),
            (math.nan, "None"),
            (math.inf, "None"),
            (2**53, "str(v)"),
            ({1: 2}, "str(key)"),
        ):
            with self.subTest(repr(value)):
                self.assertIn(hint, self.refused(value).hint)

    def test_the_place_of_a_value_is_named(self) -> None:
        error = self.refused({"a": [1, {"b": {2}}]})
        self.assertIn("v.a[1].b is a value of set", error.message)
        self.assertIn("list(v.a[1].b)", error.hint)

    def test_a_value_that_holds_itself_is_refused(self) -> None:
        value: list[Any] = []
        value.append(value)
        self.assertIn("too deep", self.refused(value).message)


if __name__ == "__main__":
    unittest.main()
