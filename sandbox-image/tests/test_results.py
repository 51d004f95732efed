"""Rich results with nothing but the standard library."""

import base64
import os
import struct
import unittest
import zlib

from displayed import run


def png(width: int, height: int) -> bytes:
    """A grey picture, hardly compressed."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = b"".join(b"\0" + os.urandom(width) for _ in range(height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class ResultsTest(unittest.TestCase):
    def test_display_needs_no_import_and_takes_any_number_of_objects(self) -> None:
        self.assertEqual(run("display(1, 'a', None)").results, [{"text": "1"}, {"text": "'a'"}, {"text": "None"}])

    def test_only_a_last_value_that_is_none_says_nothing(self) -> None:
        self.assertEqual(run("results.show(None, last=True); results.show(0, last=True)").results, [{"text": "0"}])

    def test_each_format_of_an_object_is_there_with_its_text(self) -> None:
        picture = png(2, 2)
        result = run(
            "class Thing:\n"
            "    def __repr__(self): return 'thing'\n"
            "    def _repr_html_(self): return '<b>é</b>'\n"
            "    def _repr_markdown_(self): return '# t', {'meta': 1}\n"
            "    def _repr_svg_(self): return '<svg/>'\n"
            f"    def _repr_png_(self): return {picture!r}\n"
            f"    def _repr_jpeg_(self): return {base64.b64encode(bytes([0xFF, 0xD8, 1])).decode()!r}\n"
            "    def _repr_latex_(self): return '$x$'\n"
            "    def _repr_json_(self): return {'a': [1, float('nan'), (2,)], 3: {'b'}, 'n': 2**70}\n"
            "display(Thing())\n"
        ).only
        self.assertEqual(
            result,
            {
                "text": "thing",
                "html": "<b>é</b>",
                "markdown": "# t",
                "svg": "<svg/>",
                "png": base64.b64encode(picture).decode(),
                "jpeg": "/9gB",
                "latex": "$x$",
                "json": {"a": [1, None, [2]], "3": ["b"], "n": str(2**70)},
            },
        )

    def test_integers_beyond_2_53_keep_every_digit_as_text(self) -> None:
        most = 2**53 - 1
        result = run(
            "large = 2**53\n"
            "display({'text/plain': 'n', 'application/json': [large - 1, 1 - large, large, -large, {large: [large + 1]},\n"
            "         10**5000, True, float(large), float('inf')]}, raw=True)\n"
        ).only
        self.assertEqual(
            result["json"],
            [most, -most, str(2**53), str(-(2**53)), {str(2**53): [str(2**53 + 1)]}, "1" + "0" * 5000, True, 2.0**53, None],
        )
        huge = run("display({'text/plain': 'n', 'application/json': {'n': 1 << 40_000_000}}, raw=True)").only
        self.assertEqual(huge, {"text": "n", "truncated": ["json"]})

    def test_a_mime_bundle_of_an_object_goes_before_its_methods(self) -> None:
        result = run(
            "class Thing:\n"
            "    def _repr_mimebundle_(self, include=None, exclude=None): return {'text/html': 'new', 'text/plain': 't'}\n"
            "    def _repr_html_(self): return 'old'\n"
            "display(Thing())\n"
        ).only
        self.assertEqual(result, {"text": "t", "html": "new"})

    def test_a_method_that_raises_or_answers_nonsense_leaves_its_format_out(self) -> None:
        displayed = run(
            "class Broken:\n"
            "    def __repr__(self): raise ValueError('no')\n"
            "    def _repr_html_(self): raise RuntimeError\n"
            "    def _repr_png_(self): return 'not base64 \\xff'\n"
            "    def _repr_svg_(self): return 7\n"
            "    def _repr_markdown_(self): return 'fine'\n"
            "class Any:\n"
            "    def __getattr__(self, name): return lambda *a, **k: 'any'\n"
            "    def __repr__(self): return 'anything'\n"
            "display(Broken(), Any(), Broken)\n"
        )
        self.assertEqual(
            displayed.results[0],
            {"text": "<repr of Broken failed: ValueError: no>", "markdown": "fine", "truncated": ["png", "svg"]},
        )
        self.assertEqual(displayed.results[1:], [{"text": "anything"}, {"text": "<class '__main__.Broken'>"}])

    def test_a_display_that_failed_says_why_and_nothing_of_the_runner(self) -> None:
        displayed = run(
            "class Broken:\n"
            "    def _repr_html_(self): raise ValueError('no html')\n"
            "    def _repr_mimebundle_(self): raise KeyError('no bundle')\n"
            "    def _repr_latex_(self): raise NotImplementedError\n"
            "class Own:\n"
            "    def _ipython_display_(self): raise RuntimeError('not now')\n"
            "display(Broken(), Own())\n"
        )
        self.assertEqual([set(result) for result in displayed.results], [{"text"}, {"text"}])
        for reason in ("ValueError: no html", "KeyError: 'no bundle'", "RuntimeError: not now"):
            self.assertEqual(displayed.stderr.count(reason), 1)
        self.assertNotIn("asking.py", displayed.stderr)
        self.assertNotIn("NotImplementedError", displayed.stderr)

    def test_a_display_that_is_updated_shows_its_first_and_its_last_state(self) -> None:
        displayed = run(
            "bar = display('0%', display_id=True)\n"
            "named = display('a', display_id='name')\n"
            "later = display(display_id=True)\n"
            "for percent in range(1, 101): bar.update(f'{percent}%')\n"
            "later.update({'text/html': '<i>later</i>'}, raw=True); named.update('b'); named.display('c')\n"
        )
        self.assertEqual(displayed.of("text"), ["'0%'", "'a'", "'c'", "'100%'", "later"])
        self.assertEqual((displayed.of("html")[-1], displayed.stdout, displayed.stderr), ("<i>later</i>", "", ""))
        self.assertIn("display_id required", run("display(1, update=True)").stderr)

    def test_only_the_formats_that_display_is_asked_for_are_shown(self) -> None:
        displayed = run(
            "class Thing:\n"
            "    def _repr_html_(self): return '<b>'\n"
            "    def __repr__(self): return 't'\n"
            "display(Thing(), include=['text/html']); display(Thing(), exclude={'text/html'})\n"
        )
        self.assertEqual((displayed.of("html"), displayed.of("text")[1]), (["<b>", None], "t"))

    def test_a_format_that_cannot_be_shown_is_named(self) -> None:
        displayed = run(
            "display({'video/mp4': b'film', 'text/plain': 'clip'}, raw=True)\n"
            "display({'application/javascript': 'alert()', 'x/y': 1}, raw=True)\n"
            "display({'application/pdf': b'%PDF', 'text/html': '<b>'}, raw=True)\n"
            "display({'image/gif': 'no base64 \xe9'}, raw=True); display({'nonsense': object()}, raw=True)\n"
            "class Script:\n"
            "    def _repr_javascript_(self): return 'alert()'\n"
            "    def __repr__(self): return 's'\n"
            "display(Script())\n"
        )
        film, script, page, gif, nonsense, own = displayed.results
        self.assertRegex(film["text"], r"^clip\n\[video/mp4, 4 bytes, cannot be shown; it is in \.glovebox/results/.*\.mp4\]$")
        with open(f"/workspace/{film['original']['path']}", "rb") as file:
            self.assertEqual(file.read(), b"film")
        self.assertEqual(script["text"], "[application/javascript cannot be shown]\n[x/y cannot be shown]")
        self.assertEqual((script["omitted"], film["omitted"]), (["application/javascript", "x/y"], ["video/mp4"]))
        self.assertEqual((page["html"], page["omitted"]), ("<b>", ["application/pdf"]))
        self.assertIn("image/gif could not be shown", gif["text"])
        self.assertEqual(nonsense, {"text": "[nonsense cannot be shown]", "omitted": ["nonsense"]})
        self.assertEqual(own["text"], "s\n[application/javascript cannot be shown]")

    def test_an_interrupt_or_exit_in_a_method_passes_through(self) -> None:
        displayed = run(
            "class Leaves:\n"
            "    def _repr_html_(self): raise SystemExit(7)\n"
            "class Interrupted:\n"
            "    def __repr__(self): raise KeyboardInterrupt\n"
            "try: display(Interrupted())\n"
            "except KeyboardInterrupt: print('interrupted')\n"
            "display(Leaves())\n"
        )
        self.assertEqual((displayed.stdout, displayed.code, displayed.results), ("interrupted\n", 7, []))

    def test_a_text_over_the_budget_is_cut_where_the_reader_sees_it(self) -> None:
        for letter in ("x", "é", "😀", "\udc80"):
            with self.subTest(letter=letter):
                displayed = run(
                    f"class Long:\n    def __repr__(self): return 'a' + {letter!r} * 100_000 + 'z'\ndisplay(Long())\n",
                    limit=5000,
                )
                self.assertRegex(displayed.only["text"], r"(?s)^a.*\n… \d+ characters left out …\n.*z$")
                self.assertEqual(displayed.only["truncated"], ["text"])
                self.assertLessEqual(displayed.sizes[0], 5000)
                self.assertGreater(displayed.sizes[0], 4000)

    def test_results_beyond_the_budget_of_an_execution_are_counted(self) -> None:
        many = run("for number in range(107): display(number)")
        self.assertEqual(len(many.results), 101)
        self.assertEqual(many.results[-1], {"text": "… 7 more results left out …"})
        large = run("for number in range(5): display('x' * 40_000)", limit=50_000, total=100_000)
        self.assertLessEqual(sum(large.sizes), 100_000)
        self.assertEqual(large.results[2]["truncated"], ["text"])
        self.assertEqual(large.results[-1], {"text": "… 2 more results left out …"})

    def test_a_new_budget_begins_with_each_opening(self) -> None:
        displayed = run(
            "import os\n"
            "reading, writing = os.pipe()\n"
            "for _ in range(2):\n"
            "    results.open(writing, 1000, 2000)\n"
            "    for number in range(100): display(number)\n"
            "    results.finish()\n"
            "os.close(writing)\n"
            "print(open(reading).read().count('left out'))\n"
        )
        self.assertEqual(displayed.stdout, "0\n")

    def test_a_picture_over_the_budget_is_kept_as_a_file(self) -> None:
        picture = png(300, 300)
        displayed = run(f"display({{'text/plain': 'p', 'image/png': {picture!r}}}, raw=True)", limit=20_000)
        original = displayed.only["original"]
        self.assertRegex(original["path"], r"^\.glovebox/results/\d+-[0-9a-f]{8}-1\.png$")
        self.assertEqual(original["size"], len(picture))
        with open(f"/workspace/{original['path']}", "rb") as file:
            self.assertEqual(file.read(), picture)
        self.assertEqual(displayed.only["truncated"], ["png"])

    def test_each_execution_of_a_context_keeps_originals_and_none_keeps_too_many(self) -> None:
        displayed = run(
            "import os\n"
            "reading, writing = os.pipe()\n"
            "for _ in range(2):\n"
            "    results.open(writing, 400, 100_000)\n"
            f"    for _ in range(25): display({{'image/png': {png(30, 30)!r}}}, raw=True)\n"
            "os.close(writing)\n"
            "import json\n"
            "paths = [json.loads(line).get('original', {}).get('path') for line in open(reading)]\n"
            "print(len(paths), len(set(paths)), paths.count(None))\n"
        )
        self.assertEqual(displayed.stdout, "50 41 10\n")

    def test_a_disk_without_room_costs_only_the_original(self) -> None:
        displayed = run(
            "import resource\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
            f"display({{'text/plain': 'p', 'image/png': {png(300, 300)!r}}}, raw=True)\n",
            limit=20_000,
        )
        self.assertEqual({**displayed.only, "png": 0}, {"text": "p", "truncated": ["png"], "png": 0})

    def test_threads_write_whole_lines(self) -> None:
        displayed = run(
            "import threading\n"
            "def work(letter):\n"
            "    for _ in range(10): display(letter * 20_000)\n"
            "threads = [threading.Thread(target=work, args=[letter]) for letter in 'abcdefgh']\n"
            "for thread in threads: thread.start()\n"
            "for thread in threads: thread.join()\n"
        )
        self.assertEqual(sorted(result["text"][1] for result in displayed.results), sorted("abcdefgh" * 10))

    def test_a_forked_process_prints_instead(self) -> None:
        displayed = run(
            "import os\n"
            "display('parent')\n"
            "if os.fork() == 0:\n"
            "    display('child'); results.finish(); os._exit(0) if print(end='', flush=True) is None else 0\n"
            "os.wait()\n"
        )
        self.assertEqual((displayed.results, displayed.stdout), ([{"text": "'parent'"}], "'child'\n"))

    def test_a_line_that_an_interrupt_tore_spoils_no_other(self) -> None:
        displayed = run(
            "import os, signal, threading\n"
            "reading, writing = os.pipe()\n"
            "results.open(writing, 1_000_000, 4_000_000)\n"
            "def interrupt(*_): raise KeyboardInterrupt\n"
            "signal.signal(signal.SIGALRM, interrupt)\n"
            "signal.setitimer(signal.ITIMER_REAL, 0.2)\n"
            "try: display('x' * 500_000)\n"
            "except KeyboardInterrupt: print('interrupted')\n"
            "thread = threading.Thread(target=lambda: print(open(reading).read().splitlines()[1:]))\n"
            "thread.start()\n"
            "display(2); os.close(writing); thread.join()\n"
        )
        self.assertEqual(displayed.stdout, "interrupted\n['{\"text\": \"2\"}']\n")

    def test_a_pipe_that_is_gone_is_no_failure(self) -> None:
        displayed = run(
            "import os, tempfile\n"
            "reading, writing = os.pipe(); results.open(writing, 1000, 10_000); os.close(reading); display(1)\n"
            "reading, writing = os.pipe(); results.open(writing, 1000, 10_000); os.close(writing)\n"
            "with tempfile.TemporaryFile() as file:\n"
            "    os.dup2(file.fileno(), writing); display(2); results.finish(); print(file.read())\n"
        )
        self.assertEqual((displayed.stdout, displayed.stderr), ("b''\n", ""))

    def test_the_code_may_have_modules_of_the_same_names(self) -> None:
        displayed = run(
            "import os, sys, tempfile\n"
            "names = ['results', 'loading', 'formats', 'figures', 'pictures', 'tables', 'fitting', 'plain', 'rich']\n"
            "with tempfile.TemporaryDirectory() as folder:\n"
            "    for name in names: open(f'{folder}/{name}.py', 'w').write('mine = True')\n"
            "    sys.path.insert(0, folder)\n"
            "    display(1)\n"
            "    print(all(__import__(name).mine for name in names))\n"
        )
        self.assertEqual((displayed.stdout, displayed.results), ("True\n", [{"text": "1"}]))


if __name__ == "__main__":
    unittest.main()
