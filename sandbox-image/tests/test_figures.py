"""What matplotlib draws, and the fonts that it draws with."""

import base64
import shutil
import unittest

from displayed import run
from test_libraries import needs, size_of

_LABELS = "['苹果 销售额', '繁體', '売上 ひらがな', '매출', 'ยอดขาย', 'बिक्री', 'المبيعات', 'מכירות', '$x^2$ 销售额']"


@needs("matplotlib")
class FontsTest(unittest.TestCase):
    def test_labels_of_every_script_are_drawn_whatever_the_fonts_are_called(self) -> None:
        settings = (
            "pass",
            "plt.rcParams['font.sans-serif'] = ['SimHei']; plt.rcParams['axes.unicode_minus'] = False",
            "plt.rcParams['font.family'] = 'Malgun Gothic'",
            "plt.rcParams['font.family'] = ['Arial', 'Microsoft YaHei', 'Noto Sans CJK JP']",
            "plt.rcParams.update({'font.family': 'serif', 'font.serif': ['Times New Roman']}); plt.rcdefaults()",
            "import seaborn; seaborn.set_theme(font='Helvetica')",
            "plt.style.use('ggplot')",
        )
        displayed = run(
            "import matplotlib.pyplot as plt\n"
            f"for settings in {settings}:\n"
            "    plt.rcdefaults(); plt.figure(); exec(settings)\n"
            f"    plt.barh({_LABELS}, range(-4, 5)); plt.title('销售额 − 売上', weight='bold'); plt.show()\n"
        )
        self.assertEqual(["png" in result for result in displayed.results], [True] * len(settings))
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

    def test_a_video_of_an_animation_is_written_or_says_what_is_missing_and_a_gif_needs_nothing(self) -> None:
        displayed = run(
            "import os\n"
            "import matplotlib.pyplot as plt\n"
            "from matplotlib.animation import FFMpegWriter, FuncAnimation\n"
            "figure, axes = plt.subplots(); line, = axes.plot([1, 2])\n"
            "animation = FuncAnimation(figure, lambda frame: (line,), frames=2)\n"
            "def save(**options):\n"
            "    try: animation.save('/tmp/a.mp4', **options)\n"
            "    except RuntimeError as error: return 'imageio-ffmpeg' in str(error)\n"
            "    return open('/tmp/a.mp4', 'rb').read(8)[4:]\n"
            "for folders in (os.environ['PATH'], '/nowhere'):\n"
            "    os.environ['PATH'] = folders\n"
            "    for options in ({}, {'writer': 'ffmpeg'}, {'writer': FFMpegWriter(fps=2)}): print(save(**options))\n"
            "animation.save('/tmp/a.gif', writer='pillow')\n"
            "print(open('/tmp/a.gif', 'rb').read(3))\n"
        )
        with_tools = "b'ftyp'\n" if shutil.which("ffmpeg") else "True\n"
        said = with_tools * 3 + "True\n" * 3 + "b'GIF'\n"
        self.assertEqual((displayed.stdout, displayed.stderr), (said, ""))


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


if __name__ == "__main__":
    unittest.main()
