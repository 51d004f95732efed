"""The packages that an execution can import, and those that bring a module. Needs a writable /workspace."""

import json
import unittest

from client import Client

from _glovebox.packages import missing_module
from _glovebox.packages.list_packages import find_distributions
from _glovebox.packages.module_names import explain


class InstalledTest(unittest.TestCase):
    def test_lists_what_the_image_holds(self) -> None:
        found = {name: (version, source) for name, version, source in find_distributions()}
        self.assertIn("pip", found)
        self.assertEqual(found["pip"][1], "image")

    def test_an_execution_can_list(self) -> None:
        client = Client()
        outcome = client.run("", kind="packages")
        client.close()
        self.assertIn("pip", [package["name"] for package in json.loads(outcome.stdout)])


class ModuleNamesTest(unittest.TestCase):
    def test_a_slip_of_the_pen_is_one_letter_or_two_in_the_wrong_order(self) -> None:
        for slip in ("pandsa", "panda", "pandass", "pamdas"):
            self.assertTrue(missing_module._nearly(slip, "pandas"), slip)
        for other in ("pandas", "pan", "polars", "geopandas", "adnpas"):
            self.assertFalse(missing_module._nearly(other, "pandas"), other)

    def test_a_version_asks_for_the_project_of_that_name(self) -> None:
        self.assertIsNotNone(explain("docx", "docx>0.1"))
        self.assertIsNotNone(explain("docx", "docx; python_version == '3.13'"))
        self.assertIsNone(explain("docx", "docx==0.2.4"))
        self.assertIsNone(explain("cowsay", "cowsay"))


if __name__ == "__main__":
    unittest.main()
