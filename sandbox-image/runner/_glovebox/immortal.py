"""Definitions whose references are not counted any more, so that forked processes share their memory.

A forked process copies each page of memory that it writes to, and each use of an object writes its count. The interpreter
has immortal objects, such as `None` (PEP 683): their count stays as it is, and they are never freed.
"""

import ctypes
import gc
import sys
from types import BuiltinFunctionType, CodeType, FunctionType, GetSetDescriptorType, MethodDescriptorType, ModuleType
from types import MemberDescriptorType, WrapperDescriptorType
from typing import Any

_LEAST_IMMORTAL = 1 << 30
"""The count of `None` is above it in every interpreter with immortal objects (from 3.12 on), and below in all before."""
_KINDS = {
    BuiltinFunctionType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    ModuleType,
    WrapperDescriptorType,
    classmethod,
    property,
    staticmethod,
}
"""What modules are made of, besides classes. Not data: code may replace it, and is to get its memory back."""


def make_definitions_immortal() -> None:
    """Makes all functions, classes and modules that are there now immortal; does nothing before Python 3.12."""
    if sys.getrefcount(None) < _LEAST_IMMORTAL:
        return
    # In a 64-bit interpreter the first four bytes of an object tell, whatever the rest of its head is.
    at = ctypes.c_uint32.from_address
    immortal = at(id(None)).value
    for value in gc.get_objects():
        kind = type(value)
        if kind in _KINDS or isinstance(value, type):
            at(id(value)).value = immortal
            if kind is FunctionType:
                _make_code_immortal(value.__code__, at, immortal)


def _make_code_immortal(code: CodeType, at: Any, immortal: int) -> None:
    at(id(code)).value = immortal
    for constant in code.co_consts:
        if type(constant) is CodeType:
            _make_code_immortal(constant, at, immortal)
        else:
            at(id(constant)).value = immortal
