"""Compresses the contents of a file on their way to the control plane's archive, and back, by the system's libzstd.

Packed contents are blocks: the length of a frame in four bytes, big-endian, then a frame of zstd. Each block holds BLOCK
bytes of the file, and the last one the rest. src/files/packed.ts reads the same form.
"""

import ctypes

from _glovebox.files.file_tree import Refused

BLOCK = 256 * 1024
LEAST = 512
"""Size from which a file is compressed, in bytes. A smaller one gains less than its frame costs."""
_LEVEL = 1
_WORTH = 0.9
"""Largest ratio of packed to plain bytes of the first block with which a file is packed."""
_HEADER = 4


class Damaged(Refused):
    """Packed contents that are none."""

    def __init__(self) -> None:
        super().__init__("damaged", "The contents of a file in the archive are damaged.")


def _load(path: str) -> ctypes.CDLL:
    zstd = ctypes.CDLL(path)
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    zstd.ZSTD_createCCtx.restype = zstd.ZSTD_createDCtx.restype = pointer
    zstd.ZSTD_compressBound.restype, zstd.ZSTD_compressBound.argtypes = size, [size]
    zstd.ZSTD_compressCCtx.restype = zstd.ZSTD_decompressDCtx.restype = size
    zstd.ZSTD_compressCCtx.argtypes = [pointer, pointer, size, pointer, size, ctypes.c_int]
    zstd.ZSTD_decompressDCtx.argtypes = [pointer, pointer, size, pointer, size]
    zstd.ZSTD_isError.argtypes = [size]
    return zstd


def _address(buffer: bytearray | memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


class _Buffers:
    """One plain and one packed block, which serve all files: new memory for each would cost more than the work."""

    def __init__(self, path: str) -> None:
        self._zstd = _load(path)
        self._most = int(self._zstd.ZSTD_compressBound(BLOCK))
        self._plain = bytearray(BLOCK)
        self._packed = bytearray(_HEADER + self._most)
        self._plain_address = _address(self._plain)
        self._packed_address = _address(self._packed) + _HEADER
        self.plain = memoryview(self._plain)
        self.packed = memoryview(self._packed)[_HEADER:]


class Packer(_Buffers):
    """Packs what is put into `plain`."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._context = self._zstd.ZSTD_createCCtx()

    def pack(self, size: int) -> memoryview:
        """The block of the first `size` bytes of `plain`; valid until the next call."""
        length = self._zstd.ZSTD_compressCCtx(
            self._context, self._packed_address, self._most, self._plain_address, size, _LEVEL
        )
        if self._zstd.ZSTD_isError(length):
            raise MemoryError
        self._packed[:_HEADER] = length.to_bytes(_HEADER, "big")
        return memoryview(self._packed)[: _HEADER + length]


def is_worth_it(block: memoryview, size: int) -> bool:
    return len(block) < size * _WORTH


class Unpacker(_Buffers):
    """Unpacks frames, which may lie in `packed`."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._context = self._zstd.ZSTD_createDCtx()

    def unpack(self, frame: memoryview, size: int) -> memoryview:
        """The `size` bytes that a frame holds; valid until the next call."""
        if len(frame) == 0:
            raise Damaged
        found = self._zstd.ZSTD_decompressDCtx(
            self._context, self._plain_address, BLOCK, _address(frame), len(frame)
        )
        if self._zstd.ZSTD_isError(found) or found != size:
            raise Damaged
        return self.plain[:size]
