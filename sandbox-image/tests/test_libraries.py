"""Rich results of libraries: each test needs its library, those of the image "data" or one that users install."""

import base64
import importlib.util
import io
import unittest
from collections.abc import Callable
from typing import Any

from displayed import run


def needs(library: str) -> Callable[[Any], Any]:
    return unittest.skipUnless(importlib.util.find_spec(library), f"needs {library}")


def size_of(encoded: str) -> tuple[int, int]:
    """Width and height of a png or jpeg in base64, fully decoded."""
    from PIL import Image

    image = Image.open(io.BytesIO(base64.b64decode(encoded)))
    image.load()
    return image.size


def picture_of(result: dict[str, Any]) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(base64.b64decode(result.get("png") or result["jpeg"])))


@needs("pandas")
class PandasTest(unittest.TestCase):
    def test_a_table_is_text_html_and_json(self) -> None:
        result = run(
            "import pandas as pd\n"
            "display(pd.DataFrame({'n': [1, float('nan')], 'x': [float('inf'), 2.5], 's': ['é', None],\n"
            "                      't': pd.to_datetime(['2024-02-29 12:00', None])}, index=['a', 'b']))\n"
        ).only
        self.assertIn("2024-02-29", result["text"])
        self.assertIn("<table", result["html"])
        self.assertEqual(
            result["json"],
            {
                "columns": ["n", "x", "s", "t"],
                "index": ["a", "b"],
                "data": [[1, None, "é", "2024-02-29T12:00:00"], [None, 2.5, None, None]],
                "rows": 2,
                "total_columns": 4,
            },
        )

    def test_a_large_table_is_bounded_whatever_the_options(self) -> None:
        for option in ("60", "None"):
            with self.subTest(max_rows=option):
                displayed = run(
                    "import numpy as np, pandas as pd\n"
                    f"pd.set_option('display.max_rows', {option})\n"
                    "display(pd.DataFrame(np.zeros((100_000, 300))))\n"
                )
                table = displayed.only["json"]
                self.assertEqual((table["rows"], table["total_columns"]), (100_000, 300))
                self.assertEqual((len(table["data"]), len(table["data"][0]), len(table["index"])), (100, 50, 100))
                self.assertIn("100000 rows x 300 columns", displayed.only["text"])
                self.assertLess(displayed.sizes[0], 500_000)

    def test_a_series_and_labels_of_several_levels_are_json(self) -> None:
        displayed = run(
            "import pandas as pd\n"
            "display(pd.Series([1, 2], name='n'))\n"
            "display(pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([('a', 1)])))\n"
            "display(pd.DataFrame())\n"
        )
        self.assertEqual(displayed.results[0]["json"], {"name": "n", "index": [0, 1], "data": [1, 2], "rows": 2})
        self.assertEqual(displayed.results[1]["json"]["columns"], [["a", 1]])
        self.assertEqual(displayed.results[2]["json"]["rows"], 0)

    def test_a_printed_table_and_the_text_of_one_have_every_column_up_to_20(self) -> None:
        displayed = run(
            "import pandas as pd\n"
            "table = pd.DataFrame([range(21)], columns=[f'a_long_name_{n}' for n in range(21)])\n"
            "print(table.iloc[:, :20]); display(table.iloc[:, :20]); print('---'); print(table); display(table)\n"
            "pd.set_option('display.max_columns', 4); print('---'); print(table)\n"
        )
        whole, cut, chosen = displayed.stdout.split("---")
        for text in (whole, displayed.results[0]["text"], displayed.results[0]["html"]):
            self.assertTrue(all(f"a_long_name_{n}" in text for n in range(20)), text)
        for text in (cut, displayed.results[1]["text"]):
            self.assertIn("...", text)
            self.assertIn("a_long_name_20", text)
            self.assertNotIn("a_long_name_10", text)
        self.assertNotIn("a_long_name_2 ", chosen)

    def test_integers_beyond_2_53_keep_every_digit_wherever_they_stand(self) -> None:
        displayed = run(
            "import numpy as np, pandas as pd\n"
            "n = 1234567890123456789\n"
            "display(pd.DataFrame({n: [n, n + 1], 'm': [7, -9007199254740993]}, index=[n, -n]))\n"
            "display(pd.Series([n, None, 5], dtype='Int64', name=n))\n"
            "display(pd.DataFrame([[{'a': [n]}, np.uint64(2**64 - 1), 10**500, 10**5000]],\n"
            "                     index=pd.MultiIndex.from_tuples([(n, 'x')])))\n"
        )
        first, second, third = (result["json"] for result in displayed.results)
        n = "1234567890123456789"
        self.assertEqual(
            (first["columns"], first["index"], first["data"]),
            ([n, "m"], [n, f"-{n}"], [[n, 7], ["1234567890123456790", "-9007199254740993"]]),
        )
        self.assertEqual((second["name"], second["data"]), (n, [n, None, 5]))
        self.assertEqual(third["index"], [[n, "x"]])
        self.assertEqual(third["data"][0][:3], [{"a": [n]}, str(2**64 - 1), "1" + "0" * 500])

    def test_cells_of_any_kind_are_json(self) -> None:
        result = run(
            "import datetime, decimal, numpy as np, pandas as pd\n"
            "class Broken:\n"
            "    def __str__(self): raise ValueError\n"
            "    __repr__ = lambda self: 'broken'\n"
            "values = [decimal.Decimal('1.5'), datetime.date(2024, 1, 2), pd.NA, np.arange(2), {'a': np.int8(1)},\n"
            "          pd.Timedelta(1, 's'), 'x' * 5000, list(range(9999)), Broken()]\n"
            "results.show(pd.Series(values, dtype=object))\n"
        ).only
        cells = result["json"]["data"]
        self.assertEqual(cells[:6], ["1.5", "2024-01-02", None, [0, 1], {"a": 1}, "P0DT0H0M1S"])
        self.assertEqual([len(cells[6]), len(cells[7]), cells[8]], [1001, 1001, None])


@needs("pandas")
class FormatsTest(unittest.TestCase):
    def test_parquet_ods_and_xls_are_written_and_read_as_xlsx_is(self) -> None:
        displayed = run(
            "import os, tempfile, pandas as pd\n"
            "os.chdir(tempfile.mkdtemp())\n"
            "table = pd.DataFrame({'n': [1, 2], 's': ['é', None], 'x': [0.5, None], 'b': [True, False],\n"
            "                      't': pd.to_datetime(['2024-01-01 00:00', '2024-02-29 12:30'])})\n"
            "for end in ('xlsx', 'xls', 'ods'):\n"
            "    table.to_excel(f'one.{end}', index=False)\n"
            "    print(end, pd.read_excel(f'one.{end}').equals(table))\n"
            "    with pd.ExcelWriter(f'two.{end}') as writer:\n"
            "        table.to_excel(writer, sheet_name='A', freeze_panes=(1, 1))\n"
            "        table.set_index(['n', 's']).to_excel(writer, sheet_name='表', startrow=2)\n"
            "    print(sorted(pd.read_excel(f'two.{end}', sheet_name=None)))\n"
            "table['list'] = [[1], [2, 3]]\n"
            "table.to_parquet('t.parquet')\n"
            "print('parquet', [each.tolist() for each in pd.read_parquet('t.parquet')['list']])\n"
            "pd.read_parquet('t.parquet', engine='pyarrow', columns=['n']).to_feather('t.feather')\n"
            "table.to_parquet('folder', partition_cols=['b'], compression='zstd')\n"
            "print(len(pd.read_parquet('folder')))\n"
        )
        sheets = "['A', '表']\n"
        expected = "".join(f"{end} True\n{sheets}" for end in ("xlsx", "xls", "ods"))
        self.assertEqual(displayed.stdout, f"{expected}parquet [[1], [2, 3]]\n2\n", displayed.stderr)
        self.assertEqual(displayed.stderr, "")


@needs("PIL")
class PillowTest(unittest.TestCase):
    def test_pictures_of_every_mode_are_shown(self) -> None:
        modes = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16"]
        for size, most in ((10, 100), (2100, 4_000_000)):
            displayed = run(
                "from PIL import Image\n" f"for mode in {modes}: Image.new(mode, ({size}, {size})).show()\n"
            )
            self.assertEqual(displayed.stderr, "")
            for mode, result in zip(modes, displayed.results, strict=True):
                with self.subTest(mode=mode, size=size):
                    width, height = size_of(result["png"])
                    self.assertTrue(most * 0.9 <= width * height <= most, (width, height))

    def test_numbers_of_any_size_are_shown_from_black_to_white(self) -> None:
        displayed = run(
            "from PIL import Image\n"
            "import struct\n"
            "inf, nan = float('inf'), float('nan')\n"
            "def floats(*values): return Image.frombytes('F', (len(values), 1), struct.pack(f'{len(values)}f', *values))\n"
            "display(floats(0, 0.5, 1), floats(nan, 1, 3, inf, -inf), floats(-3e38, 0, 3e38), floats(nan, nan))\n"
            "display(Image.frombytes('I', (3, 1), struct.pack('3i', -2**31, 0, 2**31 - 1)))\n"
            "display(Image.frombytes('I;16', (3, 1), struct.pack('3H', 0, 1000, 4000)))\n"
            "display(Image.frombytes('I;16B', (2, 1), struct.pack('>2H', 5, 6)))\n"
            "display(Image.new('F', (2, 1), 0.25), Image.new('I', (2, 1), 70_000), Image.new('I', (2, 1), 0))\n"
        )
        greys = [list(picture_of(result).convert("L").tobytes()) for result in displayed.results]
        self.assertEqual(greys[:5], [[0, 128, 255], [0, 0, 255, 255, 0], [0, 128, 255], [0, 0], [0, 128, 255]])
        self.assertEqual(greys[5:], [[0, 64, 255], [0, 255], [128, 128], [128, 128], [0, 0]])
        self.assertEqual(displayed.stderr, "")

    def test_large_numbers_keep_their_range_when_they_are_scaled_down(self) -> None:
        displayed = run(
            "import numpy\n"
            "from PIL import Image\n"
            "values = numpy.linspace(0, 1, 9_000_000, dtype='f4').reshape(3000, 3000); values[0, 0] = numpy.nan\n"
            "display(Image.fromarray(values), Image.fromarray((values * 4095).astype('u2')))\n"
        )
        for result in displayed.results:
            low, high = picture_of(result).getextrema()
            self.assertTrue(low <= 1 and high >= 254, (low, high))
            self.assertEqual(size_of(result["png" if "png" in result else "jpeg"]), (2000, 2000))

    def test_a_photo_is_a_jpeg_and_a_drawing_a_png(self) -> None:
        displayed = run(
            "from PIL import Image\n"
            "display(Image.linear_gradient('L').resize((1000, 1000)))\n"
            "display(Image.effect_noise((1200, 1000), 20).convert('RGB'))\n"
        )
        self.assertEqual([sorted(result)[0] for result in displayed.results], ["png", "jpeg"])

    def test_a_png_of_giant_pixels_and_few_bytes_is_scaled_down(self) -> None:
        displayed = run(
            "import io\n"
            "from PIL import Image\n"
            "file = io.BytesIO(); Image.new('1', (7000, 7000)).save(file, 'PNG')\n"
            "display({'text/plain': 'p', 'image/png': file.getvalue()}, raw=True)\n"
        )
        self.assertLessEqual(size_of(displayed.only["png"])[0], 2000)


@needs("tqdm")
class TqdmTest(unittest.TestCase):
    def test_bars_for_notebooks_are_text(self) -> None:
        displayed = run(
            "from tqdm.notebook import tqdm, trange, tqdm_notebook\n"
            "from tqdm.auto import tqdm as automatic\n"
            "for _ in tqdm(range(3), desc='one', display=True): pass\n"
            "for _ in trange(4, desc='two'): pass\n"
            "with tqdm_notebook(total=5, desc='three') as bar: bar.update(5)\n"
            "for _ in automatic(range(6), desc='four'): pass\n"
        )
        for name, total in (("one", 3), ("two", 4), ("three", 5), ("four", 6)):
            self.assertRegex(displayed.stderr, rf"{name}: 100%\|█+\| {total}/{total}")
        self.assertNotIn("Warning", displayed.stderr)
        self.assertEqual((displayed.code, displayed.results), (0, []))


if __name__ == "__main__":
    unittest.main()
