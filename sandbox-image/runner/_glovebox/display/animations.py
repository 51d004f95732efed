"""Videos of matplotlib's animations, which are written by ffmpeg: the image has none, and a package brings one."""

import functools
import os
import shutil
from typing import Any

_VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".webm")
_MISSING = (
    "ffmpeg is not installed, by which matplotlib writes videos. Install the package imageio-ffmpeg and run this again: "
    "its ffmpeg is found without settings. Or save a GIF, which needs nothing: "
    "animation.save('animation.gif', writer='pillow')"
)


def patch(animation: Any) -> None:
    base = animation.FFMpegBase

    def bin_path(writer: Any) -> str:
        path = super(base, writer).bin_path()
        return path if shutil.which(path) else _find_packaged() or path

    def setup(writer: Any, *arguments: Any, **options: Any) -> Any:
        if not writer.isAvailable():
            raise RuntimeError(_MISSING)
        return super(base, writer).setup(*arguments, **options)

    base.bin_path = classmethod(bin_path)
    base.setup = setup
    _patch_savers(animation.Animation, lambda: animation.writers.is_available("ffmpeg"))


def _patch_savers(kind: Any, has_ffmpeg: Any) -> None:
    """Without ffmpeg matplotlib hands over to Pillow, which fails for a file type that it does not know."""
    save, to_html5_video = kind.save, kind.to_html5_video

    @functools.wraps(save)
    def save_or_tell(self: Any, filename: Any, writer: Any = None, *arguments: Any, **options: Any) -> Any:
        wanted = writer is None or isinstance(writer, str)
        if wanted and os.fspath(filename).lower().endswith(_VIDEOS) and not has_ffmpeg():
            raise RuntimeError(_MISSING)
        return save(self, filename, writer, *arguments, **options)

    @functools.wraps(to_html5_video)
    def show_or_tell(self: Any, *arguments: Any, **options: Any) -> Any:
        if not has_ffmpeg():
            raise RuntimeError(_MISSING)
        return to_html5_video(self, *arguments, **options)

    kind.save, kind.to_html5_video = save_or_tell, show_or_tell


def _find_packaged() -> str | None:
    try:
        import imageio_ffmpeg  # type: ignore[import-not-found]

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except Exception:  # noqa: BLE001 - not installed, or without a program for this machine
        return None
