"""The locales that programs ask for by name, in every variant of the image."""

import datetime
import locale
import unittest


class LocalesTest(unittest.TestCase):
    def setUp(self) -> None:
        self.addCleanup(locale.setlocale, locale.LC_ALL, locale.setlocale(locale.LC_ALL))

    def test_numbers_money_and_dates_are_written_as_in_the_locale(self) -> None:
        for name, number, money, date in (
            ("de_DE.UTF-8", "1.234.567,50", "1.234,50 €", "Dienstag, 05. März 2024; 05.03.2024"),
            ("en_US.UTF-8", "1,234,567.50", "$1,234.50", "Tuesday, 05. March 2024; 03/05/2024"),
        ):
            with self.subTest(name=name):
                locale.setlocale(locale.LC_ALL, name)
                self.assertEqual(locale.format_string("%.2f", 1234567.5, grouping=True), number)
                self.assertEqual(locale.currency(1234.5, grouping=True), money)
                self.assertEqual(f"{datetime.date(2024, 3, 5):%A, %d. %B %Y; %x}", date)
                self.assertEqual(locale.atof(number), 1234567.5)
                self.assertEqual(locale.nl_langinfo(locale.CODESET), "UTF-8")

    def test_words_are_sorted_by_letters_then_accents_then_case(self) -> None:
        for name in ("de_DE.utf8", "en_US.utf8"):
            with self.subTest(name=name):
                locale.setlocale(locale.LC_COLLATE, name)
                words = ["Zebra", "中", "ez", "Apfel", "éa", "Äpfel", "apple", "A", "st", "a", "ß", "ea", "1"]
                sorted_words = ["1", "a", "A", "Apfel", "Äpfel", "apple", "ea", "éa", "ez", "ß", "st", "Zebra", "中"]
                self.assertEqual(sorted(words, key=locale.strxfrm), sorted_words)

    def test_a_locale_that_is_not_there_is_refused(self) -> None:
        with self.assertRaises(locale.Error):
            locale.setlocale(locale.LC_ALL, "xx_XX.UTF-8")


if __name__ == "__main__":
    unittest.main()
