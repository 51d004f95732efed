"""A writer of `.xls` for pandas, which has none since its version 2; put among its own as `pandas.io.excel._xlwt`."""

from typing import Any

from pandas.io.excel._base import ExcelWriter
from pandas.io.excel._util import combine_kwargs, validate_freeze_panes

MAX_TEXT = 32767
"""Characters in a cell; of longer text pandas has warned that it is cut off."""
_BORDERS = {"thin": 1, "medium": 2, "dashed": 3, "dotted": 4, "thick": 5, "double": 6, "hair": 7}
_HORIZONTAL = {"general": 0, "left": 1, "center": 2, "right": 3, "fill": 4, "justify": 5}
_VERTICAL = {"top": 0, "center": 1, "bottom": 2, "justify": 3}


class XlwtWriter(ExcelWriter[Any]):
    _engine = "xlwt"
    _supported_extensions = (".xls",)

    def __init__(
        self,
        path: Any,
        engine: str | None = None,
        date_format: str | None = None,
        datetime_format: str | None = None,
        mode: str = "w",
        storage_options: Any = None,
        if_sheet_exists: Any = None,
        engine_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        from xlwt import Workbook

        if mode == "a":
            raise ValueError("Append mode is not supported with xlwt!")
        book = Workbook(**{"encoding": "utf-8", **(combine_kwargs(engine_kwargs, kwargs) or {})})
        super().__init__(
            path,
            date_format=date_format,
            datetime_format=datetime_format,
            mode=mode,
            storage_options=storage_options,
            if_sheet_exists=if_sheet_exists,
        )
        self._book = book
        self._sheets: dict[str, Any] = {}
        self._styles: dict[str, Any] = {}

    @property
    def book(self) -> Any:
        """The `xlwt.Workbook`."""
        return self._book

    @property
    def sheets(self) -> dict[str, Any]:
        return self._sheets

    def _save(self) -> None:
        if not self._sheets:
            # As the writer of xlsx does; xlwt refuses a book without a sheet.
            self._sheets["Sheet1"] = self._book.add_sheet("Sheet1")
        self._book.save(self._handles.handle)

    def _write_cells(
        self,
        cells: Any,
        sheet_name: str | None = None,
        startrow: int = 0,
        startcol: int = 0,
        freeze_panes: tuple[int, int] | None = None,
        autofilter_range: str | None = None,
    ) -> None:
        if autofilter_range:
            raise ValueError("Autofilter is not supported with xlwt!")
        name = self._get_sheet_name(sheet_name)
        if name not in self._sheets:
            self._sheets[name] = self._book.add_sheet(name, cell_overwrite_ok=True)
        sheet = self._sheets[name]
        if validate_freeze_panes(freeze_panes) and freeze_panes:
            sheet.set_panes_frozen(True)
            sheet.set_horz_split_pos(freeze_panes[0])
            sheet.set_vert_split_pos(freeze_panes[1])
        for cell in cells:
            value, number_format = self._value_with_fmt(cell.val)
            if isinstance(value, str):
                value = value[:MAX_TEXT]
            style = self._style(cell.style, number_format)
            row, column = startrow + cell.row, startcol + cell.col
            if cell.mergestart is not None and cell.mergeend is not None:
                sheet.write_merge(row, startrow + cell.mergestart, column, startcol + cell.mergeend, value, style)
            else:
                sheet.write(row, column, value, style)

    def _style(self, wanted: Any, number_format: str | None) -> Any:
        """The same object for the same look: a book may have 4094."""
        key = f"{wanted} {number_format}"
        if key not in self._styles:
            self._styles[key] = _make_style(wanted or {}, number_format)
        return self._styles[key]


def _make_style(wanted: dict[str, Any], number_format: str | None) -> Any:
    from xlwt import XFStyle

    style = XFStyle()
    font, borders, alignment = (wanted.get(part) or {} for part in ("font", "borders", "alignment"))
    style.font.bold = bool(font.get("bold"))
    style.font.italic = bool(font.get("italic"))
    for side in ("left", "right", "top", "bottom"):
        look = borders.get(side)
        look = look.get("style") if isinstance(look, dict) else look
        setattr(style.borders, side, _BORDERS.get(look, 0))
    style.alignment.horz = _HORIZONTAL.get(alignment.get("horizontal"), style.alignment.horz)
    style.alignment.vert = _VERTICAL.get(alignment.get("vertical"), style.alignment.vert)
    number_format = number_format or (wanted.get("number_format") or {}).get("format_code")
    if number_format:
        style.num_format_str = number_format
    return style
