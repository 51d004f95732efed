"""What libraries display by themselves, as IPython does, and the formats that it comes in."""

import base64
import io
import json
import unittest

from displayed import run
from test_libraries import needs


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
