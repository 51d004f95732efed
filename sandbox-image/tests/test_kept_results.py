"""What a result has no room for, and what its text says instead."""

import json
import os
import unittest

from displayed import run


class KeptResultsTest(unittest.TestCase):
    def test_what_cannot_be_cut_is_kept_in_a_file_and_named(self) -> None:
        displayed = run(
            "class Large:\n"
            "    def __repr__(self): return 'large'\n"
            "    def _repr_html_(self): return '<p>' * 100_000\n"
            "    def _repr_svg_(self): return '<g>' * 100_000\n"
            "    def _repr_json_(self): return [[0] * 1000] * 1_000_000\n"
            "    def _repr_latex_(self): return '$x$'\n"
            "display(Large())\n",
            limit=5000,
        )
        result = displayed.only
        self.assertEqual((result["text"], result["latex"], result["truncated"]), ("large", "$x$", ["svg", "json", "html"]))
        self.assertEqual(set(result["originals"]), {"svg", "html"})
        self.assertEqual(result["original"], result["originals"]["html"])
        for name, text in (("html", "<p>" * 100_000), ("svg", "<g>" * 100_000)):
            path = result["originals"][name]["path"]
            self.assertTrue(path.endswith(f".{name}"), path)
            with open(f"/workspace/{path}") as file:
                self.assertEqual(file.read(), text)

    def test_json_and_a_text_without_another_format_are_kept_whole_too(self) -> None:
        displayed = run(
            "display({'application/json': list(range(9999)), 'text/plain': 'list'}, raw=True)\n"
            "display('x' * 50_000)\n",
            limit=5000,
        )
        numbers, text = displayed.results
        with open(f"/workspace/{numbers['original']['path']}") as file:
            self.assertEqual(json.load(file), list(range(9999)))
        with open(f"/workspace/{text['original']['path']}") as file:
            self.assertEqual(file.read(), f"'{'x' * 50_000}'")
        self.assertEqual((numbers["truncated"], text["truncated"]), (["json"], ["text"]))
        self.assertTrue(all(size <= 5000 for size in displayed.sizes))

    def test_a_long_format_that_a_result_has_room_for_is_kept_as_well(self) -> None:
        result = run("display({'text/html': '<b>' * 20_000, 'text/plain': 't'}, raw=True)").only
        self.assertEqual((len(result["html"]), result["original"]["size"], "truncated" in result), (60_000, 60_000, False))

    def test_a_text_beside_other_formats_has_a_budget_of_its_own(self) -> None:
        result = run("display({'text/html': '<b>', 'text/plain': 'x' * 50_000}, raw=True)").only
        self.assertLess(len(result["text"]), 16_001)
        self.assertEqual((result["truncated"], result["html"]), (["text"], "<b>"))

    def test_the_text_of_a_drawn_table_has_twenty_columns_beside_the_labels_of_its_rows(self) -> None:
        for columns, is_cut in ((20, False), (21, True)):
            cells = "".join(f"<td>{number}</td>" for number in range(columns))
            html = f"<table><tr><th>row</th>{cells}</tr></table>"
            result = run(f"class Table:\n    def _repr_html_(self): return {html!r}\ndisplay(Table())\n").only
            self.assertEqual((" 19" in result["text"], "…" in result["text"]), (True, is_cut))

    def test_the_text_of_an_object_that_draws_a_table_is_the_table(self) -> None:
        rows = "".join(f"<tr><th>{row}</th><td>{row * 10}</td></tr>" for row in range(100))
        html = f"<style>p {{}}</style><table><caption>Top</caption><tr><td></td><th>n</th></tr>{rows}</table><script>x</script>"
        for text in ("object.__repr__(self)", "'x' * 9000"):
            result = run(
                f"class Table:\n    def _repr_html_(self): return {html!r}\n    def __repr__(self): return {text}\ndisplay(Table())\n"
            ).only
            lines = result["text"].splitlines()
            self.assertEqual(lines[:4], ["Top", "    n", "0   0", "1   10"])
            self.assertEqual((lines[-1], result["html"]), ("… 42 more rows", html))
        telling = run(
            f"class Table:\n    def _repr_html_(self): return {html!r}\n    def __repr__(self): return 'rows'\ndisplay(Table())\n"
        ).only
        self.assertEqual(telling["text"], "rows")

    def test_tables_that_are_none_harm_nothing(self) -> None:
        for html in ("<table>", "<td>x<table><td><table></td></tr>", "<table><tr><td colspan=99999999>a<td>b", "<table><![x", "</table>"):
            with self.subTest(html=html):
                result = run(f"class Odd:\n    def _repr_html_(self): return {html!r}\ndisplay(Odd())\n").only
                self.assertEqual(result["html"], html)
                self.assertTrue(result["text"])

    def test_the_files_of_results_make_room_for_new_ones(self) -> None:
        displayed = run(
            "import os\n"
            "originals = results.rich().originals\n"
            "originals.MOST_BYTES = 250_000\n"
            "for number in range(4):\n"
            "    results.open(results._pipe._descriptor, 1_000_000, 4_000_000)\n"
            "    display({'text/html': str(number) * 100_000}, raw=True)\n"
            "print(sum(file.stat().st_size for file in os.scandir('/workspace/.glovebox/results')) <= 250_000)\n"
        )
        self.assertEqual(displayed.stdout, "True\n")
        self.assertTrue(os.path.exists(f"/workspace/{displayed.results[-1]['original']['path']}"))


if __name__ == "__main__":
    unittest.main()
