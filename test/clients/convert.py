"""Convert the tools on stdin with the strict converters of Python frameworks; print what each makes of each tool."""

import copy
import json
import sys
from typing import Any

from agents.strict_schema import ensure_strict_json_schema
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic_ai.profiles.openai import OpenAIJsonSchemaTransformer

Schema = dict[str, Any]


def by_langchain(name: str, schema: Schema) -> Schema:
    tool = convert_to_openai_tool({"title": name, "description": name, **schema}, strict=True)
    return tool["function"]["parameters"]


CONVERTERS = {
    "openai-agents": lambda _, schema: ensure_strict_json_schema(schema),
    "pydantic-ai": lambda _, schema: OpenAIJsonSchemaTransformer(schema, strict=True).walk(),
    "langchain": by_langchain,
}


def convert(name: str, schema: Schema) -> dict[str, Any]:
    converted: dict[str, Any] = {}
    for library, converter in CONVERTERS.items():
        try:
            converted[library] = converter(name, copy.deepcopy(schema))
        except Exception as error:  # Each library has errors of its own, and all are an answer here.
            converted[library] = {"refused": f"{type(error).__name__}: {error}"}
    return converted


json.dump({tool["name"]: convert(tool["name"], tool["inputSchema"]) for tool in json.load(sys.stdin)}, sys.stdout)
