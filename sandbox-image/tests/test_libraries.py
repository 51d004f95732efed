"""Rich results of libraries: each test needs its library, those of the image "data" or one that users install."""

import base64
import importlib.util
import io
import json
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


_LABELS = "['苹果 销售额', '繁體', '売上 ひらがな', '매출', 'ยอดขาย', 'बिक्री', 'المبيعات', 'מכירות', '$x^2$ 销售额']"


@needs("matplotlib")
class FontsTest(unittest.TestCase):
    def test_labels_of_every_script_are_drawn_whatever_the_fonts_are_called(self) -> None:
        for settings in (
            "",
            "plt.rcParams['font.sans-serif'] = ['SimHei']; plt.rcParams['axes.unicode_minus'] = False",
            "plt.rcParams['font.family'] = 'Malgun Gothic'",
            "plt.rcParams['font.family'] = ['Arial', 'Microsoft YaHei', 'Noto Sans CJK JP']",
            "plt.rcParams.update({'font.family': 'serif', 'font.serif': ['Times New Roman']}); plt.rcdefaults()",
            "import seaborn; seaborn.set_theme(font='Helvetica')",
            "plt.style.use('ggplot')",
        ):
            with self.subTest(settings=settings):
                displayed = run(
                    "import matplotlib.pyplot as plt\n"
                    f"{settings}\n"
                    f"plt.barh({_LABELS}, range(-4, 5)); plt.title('销售额 − 売上', weight='bold'); plt.show()\n"
                )
                self.assertIn("png", displayed.only)
                self.assertEqual(displayed.stderr, "")

    def test_fonts_that_go_by_a_usual_name_are_found(self) -> None:
        displayed = run(
            "from matplotlib.font_manager import findfont\n"
            "from PIL import ImageFont\n"
            "for name in ('SimHei', 'MS Gothic', 'Malgun Gothic', 'Arial', 'Courier New'):\n"
            "    path = findfont(name, fallback_to_default=False)\n"
            "    print(path.rpartition('/')[2], path.face_index)\n"
            "for name in ('arial.ttf', 'Arial Bold.ttf', 'DejaVuSans.ttf', 'simhei.ttf', 'C:/Windows/Fonts/msyh.ttc',\n"
            "             '/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf', 'malgun.ttf', 'NotoSansCJK-Regular.ttc'):\n"
            "    print(ImageFont.truetype(name, 20).getname()[0])\n"
        )
        cjk = "NotoSansCJK-Regular.ttc"
        self.assertEqual(displayed.stdout.split("\n")[:5], [f"{cjk} 2", f"{cjk} 0", f"{cjk} 1", "DejaVuSans.ttf 0",
                                                           "DejaVuSansMono.ttf 0"])  # fmt: skip
        names = displayed.stdout.split("\n")[5:-1]
        self.assertEqual([name.partition(" CJK")[0] for name in names], [*["DejaVu Sans"] * 3, *["Noto Sans"] * 2,
                                                                       "DejaVu Sans", *["Noto Sans"] * 2])  # fmt: skip

    def test_the_same_warning_is_told_once_with_the_line_of_the_code(self) -> None:
        displayed = run(
            "import matplotlib.pyplot as plt\n"
            "plt.rcParams['font.family'] = ['Nonesuch', 'DejaVu Sans']\n"
            "for n in range(3):\n"
            "    plt.plot([1, 2]); plt.title('\U00013000 \U00013001')\n"
            "    plt.show()\n"
        )
        self.assertEqual([("png" in result) for result in displayed.results], [True] * 3)
        told = [line.partition(" (")[0] for line in displayed.stderr.splitlines()]
        self.assertEqual(told, ["main.py:5: findfont: Font family 'Nonesuch' not found.",
                                "main.py:5: UserWarning: Glyph 77824", "main.py:5: UserWarning: Glyph 77825"])  # fmt: skip

    def test_a_font_file_that_is_broken_is_told_and_the_next_figure_drawn(self) -> None:
        displayed = run(
            "import matplotlib.pyplot as plt\n"
            "open('/tmp/broken.ttf', 'wb').write(b'x' * 100)\n"
            "plt.title('a', fontproperties={'fname': '/tmp/broken.ttf'}); plt.show()\n"
            "plt.plot([1, 2]); plt.show()\n"
        )
        self.assertIn("could not be drawn: RuntimeError", displayed.results[0]["text"])
        self.assertIn("png", displayed.results[1])

    def test_a_video_of_an_animation_says_what_is_missing_and_a_gif_needs_nothing(self) -> None:
        displayed = run(
            "import matplotlib.pyplot as plt\n"
            "from matplotlib.animation import FFMpegWriter, FuncAnimation\n"
            "figure, axes = plt.subplots(); line, = axes.plot([1, 2])\n"
            "animation = FuncAnimation(figure, lambda frame: (line,), frames=2)\n"
            "for options in ({}, {'writer': 'ffmpeg'}, {'writer': FFMpegWriter(fps=2)}):\n"
            "    try: animation.save('/tmp/a.mp4', **options)\n"
            "    except RuntimeError as error: print('imageio-ffmpeg' in str(error))\n"
            "animation.save('/tmp/a.gif', writer='pillow')\n"
            "print(open('/tmp/a.gif', 'rb').read(3))\n"
        )
        self.assertEqual((displayed.stdout, displayed.stderr), ("True\n" * 3 + "b'GIF'\n", ""))


@needs("matplotlib")
class MatplotlibTest(unittest.TestCase):
    def test_show_publishes_every_open_figure(self) -> None:
        displayed = run(
            "import matplotlib.pyplot as plt\n"
            "plt.plot([1, 2]); plt.figure(); plt.plot([2, 1]); plt.show()\n"
        )
        self.assertEqual([result["text"] for result in displayed.results], ["<Figure size 640x480 with 1 Axes>"] * 2)
        self.assertTrue(all(size_of(result["png"])[0] > 400 for result in displayed.results))
        self.assertEqual((displayed.stdout, displayed.stderr), ("", ""))

    def test_a_figure_that_was_shown_can_still_be_saved_and_is_one_result(self) -> None:
        for save in ("plt.savefig(file)", "plt.gcf().savefig(file, dpi=30)", "plt.figure(1); plt.savefig(file)"):
            with self.subTest(save=save):
                displayed = run(
                    "import io, matplotlib.pyplot as plt, numpy as np\n"
                    "from PIL import Image\n"
                    "plt.bar(['north', 'south'], [3, 4]); plt.show()\n"
                    f"file = io.BytesIO(); {save}\n"
                    "print((np.array(Image.open(file).convert('L')) < 128).mean() > 0.1)\n"
                )
                self.assertEqual((displayed.stdout, displayed.stderr, len(displayed.results)), ("True\n", "", 1))

    def test_what_is_plotted_after_a_figure_was_shown_is_in_another(self) -> None:
        displayed = run(
            "import matplotlib.pyplot as plt, pandas as pd\n"
            "def lines(): print([len(axes.lines) for axes in plt.gcf().axes], end=' ')\n"
            "plt.plot([1, 2]); plt.show(); lines()\n"
            "plt.plot([1, 2]); plt.title('b'); plt.show(); lines()\n"
            "plt.clf(); plt.plot([2, 1]); plt.show(); lines()\n"
            "pd.Series([1, 2]).plot(); plt.show(); lines()\n"
            "plt.figure(1, figsize=(3, 3)); plt.plot([1, 2]); plt.show(); lines()\n"
            "plt.figure(1); plt.close(); plt.cla()\n"
        )
        self.assertEqual(displayed.stdout, "[1] " * 5)
        self.assertEqual((len(displayed.results), displayed.stderr), (5, ""))

    def test_a_figure_of_an_earlier_cell_can_be_saved_and_is_not_shown_again(self) -> None:
        displayed = run(
            "import io, matplotlib.pyplot as plt\n"
            "plt.plot([1, 2]); results.finish()\n"
            "first, second = io.BytesIO(), io.BytesIO(); plt.savefig(first); results.finish()\n"
            "plt.plot([1, 2]); plt.savefig(second); results.finish()\n"
            "print(first.getvalue() == second.getvalue(), len(plt.gcf().axes)); results.finish()\n"
        )
        self.assertEqual((displayed.stdout, len(displayed.results)), ("True 0\n", 2))

    def test_many_figures_that_were_shown_stay_few_and_give_no_warning(self) -> None:
        displayed = run(
            "import matplotlib.pyplot as plt\n"
            "for number in range(25): plt.figure(figsize=(1, 1)); plt.plot([number]); plt.show()\n"
            "print(len(plt.get_fignums()) < 15)\n"
        )
        self.assertEqual((displayed.stdout, displayed.stderr, len(displayed.results)), ("True\n", "", 25))

    def test_a_figure_with_nothing_in_it_is_no_result(self) -> None:
        displayed = run(
            "import matplotlib.pyplot as plt\n"
            "plt.figure(); plt.show(); plt.figure().add_subfigure(plt.GridSpec(1, 1)[0]); results.show(plt.figure(), last=True)\n"
        )
        self.assertEqual((displayed.results, displayed.stderr), ([], ""))
        displayed = run("import matplotlib.pyplot as plt\nplt.figure().text(0.5, 0.5, 'text')\n")
        self.assertIn("png", displayed.only)

    def test_a_figure_left_open_is_published_after_an_exception_too(self) -> None:
        displayed = run("import matplotlib.pyplot as plt\nplt.plot([1, 2])\n1 / 0\n")
        self.assertIn("png", displayed.only)
        self.assertIn("ZeroDivisionError", displayed.stderr)

    def test_a_figure_is_published_again_only_when_it_has_changed(self) -> None:
        displayed = run(
            "import matplotlib.pyplot as plt\n"
            "figure, axes = plt.subplots(); axes.plot([1, 2]); display(figure); figure.show(); plt.show(block=False)\n"
        )
        self.assertEqual(len(displayed.results), 2)
        displayed = run(
            "import matplotlib.pyplot as plt\n"
            "figure, axes = plt.subplots(); axes.plot([1, 2]); display(figure); axes.set_title('new')\n"
        )
        self.assertEqual(len(displayed.results), 2)
        self.assertNotEqual(displayed.results[0]["png"], displayed.results[1]["png"])

    def test_a_giant_figure_is_drawn_small_and_takes_little_memory(self) -> None:
        displayed = run(
            "import resource, matplotlib.pyplot as plt\n"
            "plt.figure(figsize=(1000, 1000)); plt.plot([1, 2]); plt.title('x'); plt.show()\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)\n"
        )
        width, height = size_of(displayed.only["png"])
        self.assertTrue(1_000_000 < width * height <= 4_200_000, (width, height))
        self.assertEqual(displayed.only["truncated"], ["png"])
        self.assertNotIn("original", displayed.only)
        self.assertLess(int(displayed.stdout), 300)

    def test_a_large_figure_has_an_original(self) -> None:
        displayed = run(
            "import matplotlib.pyplot as plt\n"
            "figure = plt.figure(figsize=(40, 30)); plt.plot([1, 2]); display(figure)\n"
            "print(figure.dpi, *figure.get_size_inches())\n"
        )
        self.assertEqual(displayed.stdout, "100.0 40.0 30.0\n")
        with open(f"/workspace/{displayed.only['original']['path']}", "rb") as file:
            self.assertEqual(size_of(base64.b64encode(file.read()).decode()), (4000, 3000))

    def test_a_legend_beside_the_figure_is_in_the_picture_and_a_far_away_text_is_not(self) -> None:
        displayed = run(
            "import matplotlib.pyplot as plt\n"
            "plt.plot([1, 2], label='x' * 40); plt.legend(bbox_to_anchor=(1.05, 1)); plt.show()\n"
            "plt.plot([1, 2]); plt.text(5000, 1, 'far'); plt.show()\n"
        )
        self.assertGreater(size_of(displayed.results[0]["png"])[0], 800)
        self.assertEqual(size_of(displayed.results[1]["png"]), (640, 480))

    def test_a_figure_that_cannot_be_drawn_says_so(self) -> None:
        displayed = run("import matplotlib.pyplot as plt\nplt.title(r'$\\frac{$')\nplt.show()\nplt.plot([1])\n")
        self.assertIn("could not be drawn: ValueError", displayed.results[0]["text"])
        self.assertIn("png", displayed.results[1])
        self.assertEqual((displayed.stderr, displayed.code), ("", 0))

    def test_a_picture_over_the_budget_is_scaled_down(self) -> None:
        displayed = run(
            "import numpy as np, matplotlib.pyplot as plt\n"
            "plt.imshow(np.random.rand(400, 400), interpolation='nearest'); plt.show()\n",
            limit=60_000,
        )
        self.assertEqual(displayed.only["truncated"], ["png"])
        self.assertGreater(displayed.only["original"]["size"], 60_000)
        self.assertGreater(size_of(displayed.only["png"])[0], 50)
        self.assertLessEqual(displayed.sizes[0], 60_000)


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


@needs("PIL")
class OtherPicturesTest(unittest.TestCase):
    def test_a_picture_of_another_kind_is_a_png_of_its_first_frame_with_its_original(self) -> None:
        displayed = run(
            "import io\n"
            "from PIL import Image\n"
            "from IPython.display import Image as Shown, display as show\n"
            "frames = [Image.new('RGB', (40, 30), (200, shade, 0)) for shade in range(0, 250, 50)]\n"
            "def encode(kind, **more):\n"
            "    file = io.BytesIO(); frames[0].save(file, kind, **more); return file.getvalue()\n"
            "gif = encode('GIF', save_all=True, append_images=frames[1:])\n"
            "open('/tmp/moving.gif', 'wb').write(gif)\n"
            "webp = encode('WEBP', save_all=True, append_images=frames[1:])\n"
            "show(Shown(filename='/tmp/moving.gif'), Shown(data=webp), Image.open('/tmp/moving.gif'))\n"
            "display({'image/gif': gif}, raw=True); show({'image/webp': webp, 'text/plain': 'w'}, raw=True)\n"
            "display({'image/bmp': encode('BMP')}, raw=True); display({'image/tiff': encode('TIFF')}, raw=True)\n"
            "Image.open(io.BytesIO(encode('BMP'))).show(); display({'image/png': gif}, raw=True)\n"
        )
        self.assertEqual((displayed.stdout, displayed.stderr, len(displayed.results)), ("", "", 9))
        from PIL import Image

        for result in displayed.results:
            picture = Image.open(io.BytesIO(base64.b64decode(result["png"]))).convert("RGB")
            self.assertEqual(picture.size, (40, 30))
            self.assertLess(max(abs(a - b) for a, b in zip(picture.getpixel((5, 5)), (200, 0, 0))), 8)
            original = result["original"]
            with open(f"/workspace/{original['path']}", "rb") as file:
                kept = Image.open(file)
                self.assertEqual((kept.size, file.seek(0, 2)), ((40, 30), original["size"]))
                self.assertNotIn(kept.format, ("PNG", "JPEG"))

    def test_a_picture_that_is_none_or_far_too_large_is_told(self) -> None:
        displayed = run(
            "from IPython.display import Image\n"
            "open('/tmp/none.gif', 'w').write('no gif'); display(Image(filename='/tmp/none.gif'))\n"
            "side = (40_000).to_bytes(2, 'little') * 2\n"
            "giant = b'GIF89a' + side + b'\\x80\\0\\0' + bytes(6) + b',' + bytes(4) + side + b'\\0\\2\\2L\\1\\0;'\n"
            "display({'image/gif': giant}, raw=True); display({'image/gif': giant[:20]}, raw=True)\n"
            "display(Image(data=b'GIF89a', format='png')); display({'image/webp': ''}, raw=True)\n"
        )
        self.assertEqual((displayed.stderr, len(displayed.results)), ("", 5))
        reasons = ("no kind that Pillow knows", "too many pixels", "", "no kind that Pillow knows", "no bytes")
        for reason, result in zip(reasons, displayed.results, strict=True):
            self.assertRegex(result["text"], rf"\[image/\w+.* could not be shown: .*{reason}")
            self.assertNotIn("png", result)


@needs("jinja2")
class StylerTest(unittest.TestCase):
    def test_the_text_of_a_styled_table_is_the_table_however_long_it_is(self) -> None:
        displayed = run(
            "import pandas as pd\n"
            "table = pd.DataFrame({'share': [0.5] * 2000, 'z': ['abc'] * 2000})\n"
            "display(table.style.format({'share': '{:.1%}'}).set_properties(color='red'))\n",
            limit=100_000,
        )
        result = displayed.only
        self.assertEqual(result["text"].splitlines()[:2], ["    share  z", "0   50.0%  abc"])
        self.assertLess(len(result["text"]), 8000)
        self.assertEqual(result["truncated"], ["html"])
        with open(f"/workspace/{result['original']['path']}") as file:
            self.assertEqual(file.read().count("<td"), 4000)


@needs("IPython")
class IPythonTest(unittest.TestCase):
    def test_its_display_publishes_without_a_shell(self) -> None:
        displayed = run(
            "from IPython.display import display, HTML, Markdown, JSON, SVG, Latex, display_html\n"
            "display(HTML('<b>'), Markdown('# m'), JSON({'a': 1}), Latex('$x$'))\n"
            "display(SVG('<svg xmlns=\"http://www.w3.org/2000/svg\"/>')); display_html('<i>', raw=True)\n"
            "handle = display(1, display_id=True); handle.update(2)\n"
        )
        formats = [sorted(set(result) - {"text"}) for result in displayed.results]
        self.assertEqual(formats, [["html"], ["markdown"], ["json"], ["latex"], ["svg"], ["html"], [], []])
        self.assertEqual((displayed.stdout, displayed.stderr), ("", ""))

    def test_display_shows_however_it_was_imported_or_copied_before(self) -> None:
        code = (
            "import sys, IPython\n"
            "from IPython.display import HTML, clear_output, update_display\n"
            "from IPython.display import display as first\n"
            "from IPython.core.display_functions import display as second\n"
            "copied = getattr(sys.modules['__main__'], 'copied', first)\n"
            "for each in (first, second, IPython.display.display, copied):\n"
            "    handle = each(HTML('<b>1</b>'), display_id=True)\n"
            "    for number in range(2, 9): handle.update(HTML(f'<b>{number}</b>'))\n"
            "first('a', display_id='x'); update_display('b', display_id='x'); clear_output(); clear_output(wait=True)\n"
        )
        # As in a process that was forked from one with IPython loaded, where a library has copied it.
        for before in ("", "import IPython; from IPython.display import display as copied"):
            with self.subTest(before=before):
                displayed = run(code, before=before)
                self.assertEqual(displayed.of("html"), ["<b>1</b>"] * 4 + [None] + ["<b>8</b>"] * 4 + [None])
                self.assertEqual([displayed.of("text")[at] for at in (4, 9)], ["'a'", "'b'"])
                self.assertEqual((displayed.stdout, displayed.stderr), ("", ""))

    def test_what_a_library_publishes_itself_is_shown_and_makes_no_shell(self) -> None:
        displayed = run(
            "from IPython.display import publish_display_data as publish\n"
            "publish({'text/html': '<b>'}, transient={'display_id': 'x'})\n"
            "publish({'text/html': '<i>'}, transient={'display_id': 'x'}, update=True)\n"
            "import inspect, IPython\n"
            "print(IPython.get_ipython(), 'display_id' in inspect.signature(IPython.display.display).parameters)\n"
        )
        self.assertEqual((displayed.of("html"), displayed.stdout), (["<b>", "<i>"], "None True\n"))

    def test_display_shows_beside_a_shell_that_the_code_has_made(self) -> None:
        displayed = run(
            "from IPython.core.interactiveshell import InteractiveShell\n"
            "from IPython.display import display, clear_output, HTML\n"
            "InteractiveShell.instance(); display(HTML('<b>')); clear_output()\n"
        )
        self.assertEqual((displayed.of("html"), displayed.stdout), (["<b>"], ""))

    def test_a_forked_process_prints_what_it_displays(self) -> None:
        displayed = run(
            "import os\n"
            "from IPython.display import display, publish_display_data\n"
            "if os.fork() == 0:\n"
            "    display('child'); publish_display_data({'text/plain': 'its text'}); print(end='', flush=True); os._exit(0)\n"
            "os.wait()\n"
        )
        self.assertEqual((displayed.results, displayed.stdout), ([], "child\nits text\n"))

    def test_html_without_text_is_told_and_scripts_are_no_text(self) -> None:
        displayed = run(
            "from IPython.display import HTML\n"
            "display(HTML('<script>x</script><style>y</style><b>total:</b> 7')); display(HTML('<script>x</script>'))\n"
            "display(HTML('<h1>All</h1><table><tr><td>1</td><td>2</td></tr></table>'))\n"
        )
        self.assertEqual(displayed.of("text"), ["total: 7", "<HTML of 18 characters without text>", "All\n\n1  2"])


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


@needs("plotly")
class PlotlyTest(unittest.TestCase):
    def test_a_figure_is_json_and_html_that_loads_its_library(self) -> None:
        displayed = run(
            "import plotly.graph_objects as go\n"
            "figure = go.Figure(go.Bar(x=[1], y=[2])); figure.show(); display(figure)\n"
        )
        self.assertEqual(len(displayed.results), 2)
        for result in displayed.results:
            self.assertEqual(result["json"]["data"][0]["type"], "bar")
            self.assertIn("<div", result["html"])
            self.assertLess(len(result["html"]), 50_000)

    def test_a_figure_over_the_limit_is_kept_whole_as_json_and_html(self) -> None:
        result = run(
            "import plotly.graph_objects as go\n"
            "go.Figure(go.Scatter(x=list(range(100_000)), y=list(range(100_000)))).show()\n"
        ).only
        self.assertEqual(result["truncated"], ["json", "html"])
        with open(f"/workspace/{result['originals']['json']['path']}") as file:
            self.assertEqual(len(json.load(file)["data"][0]["x"]), 100_000)
        self.assertEqual(result["original"], result["originals"]["html"])
        self.assertLess(len(result["text"]), 2000)

    def test_loading_its_library_is_no_result(self) -> None:
        displayed = run(
            "from plotly.offline import init_notebook_mode, iplot\n"
            "init_notebook_mode(); iplot({'data': [{'y': [1, 2]}]})\n"
        )
        self.assertIn("html", displayed.only)
        self.assertLess(len(displayed.only["text"]), 2000)


@needs("altair")
class AltairTest(unittest.TestCase):
    def test_a_chart_is_its_specification_and_html(self) -> None:
        displayed = run(
            "import altair as alt\n"
            "chart = alt.Chart(alt.Data(values=[{'a': 1}])).mark_bar().encode(x='a:Q'); chart.show(); display(chart)\n"
        )
        self.assertEqual(len(displayed.results), 2)
        for result in displayed.results:
            self.assertIn("vega-lite", result["json"]["$schema"])
            self.assertIn("<script", result["html"])

    @needs("vl_convert")
    def test_the_renderer_that_was_chosen_is_used(self) -> None:
        displayed = run(
            "import altair as alt\n"
            "chart = alt.Chart(alt.Data(values=[{'a': 1}])).mark_bar().encode(x='a:Q')\n"
            "for renderer in ('svg', 'png', 'json'): alt.renderers.enable(renderer); chart.show()\n"
        )
        self.assertEqual(
            [sorted(result) for result in displayed.results],
            [["json", "svg", "text"], ["json", "png", "text"], ["json", "text"]],
        )
        self.assertEqual(displayed.of("text"), ["alt.Chart(...)"] * 3)


@needs("bokeh")
class BokehTest(unittest.TestCase):
    def test_show_gives_html_that_loads_its_library(self) -> None:
        displayed = run(
            "from bokeh.plotting import figure, show, output_notebook\n"
            "from bokeh.layouts import row\n"
            "output_notebook()\n"
            "plot = figure(title='T'); plot.line([1, 2], [2, 1]); show(plot); show(row(plot)); display(plot)\n"
        )
        self.assertEqual((len(displayed.results), displayed.stdout, displayed.stderr), (3, "", ""))
        for result in displayed.results:
            self.assertIn("<script", result["html"])
            self.assertLess(len(result["html"]), 50_000)

    def test_the_file_that_was_asked_for_is_written_too(self) -> None:
        displayed = run(
            "import os\n"
            "from bokeh.plotting import figure, show, output_file\n"
            "output_file('/tmp/plot.html', title='mine'); plot = figure(); plot.scatter([1], [2]); show(plot)\n"
            "print('mine' in open('/tmp/plot.html').read())\n"
        )
        self.assertIn("html", displayed.only)
        self.assertEqual(displayed.stdout, "True\n")


@needs("holoviews")
class HoloViewsTest(unittest.TestCase):
    def test_an_element_is_drawn_by_the_library_that_was_chosen(self) -> None:
        displayed = run(
            "import holoviews as hv\n"
            "for name in ('bokeh', 'matplotlib'): hv.extension(name); display(hv.Curve([1, 2, 3]))\n"
        )
        self.assertEqual([sorted(result) for result in displayed.results], [["html", "text"], ["png", "text"]])


@needs("great_tables")
class GreatTablesTest(unittest.TestCase):
    def test_the_text_is_the_table(self) -> None:
        result = run(
            "import pandas as pd\n"
            "from great_tables import GT\n"
            "display(GT(pd.DataFrame({'name': ['a', 'b'], 'n': [1.25, 2]})).tab_header(title='Title'))\n"
        ).only
        self.assertEqual(result["text"], "Title\nname  n\na     1.25\nb     2.0")


if __name__ == "__main__":
    unittest.main()
