"""Compiles the locales that programs ask for by name: en_US.UTF-8 and de_DE.UTF-8.

From the C library's own definitions where the base has them (Debian's package `locales`); else from those below, since a
base may reach no mirror. What they do not say is as in C.UTF-8. The format is that of locale(5).
"""

import shutil
import subprocess
import tempfile
import unicodedata
from pathlib import Path

NAMES = ("en_US", "de_DE")
_SOURCES = Path("/usr/share/i18n/locales")
_LIKE_C = Path("/usr/lib/locale/C.utf8")
_TAKEN = ("LC_CTYPE", "LC_ADDRESS", "LC_IDENTIFICATION", "LC_NAME", "LC_TELEPHONE")
_ALPHABETS = 0x0600
"""Latin, Greek, Cyrillic, Armenian and Hebrew lie below; what lies above follows by its code points."""

_DEFINITIONS = {
    "en_US": """
LC_NUMERIC
decimal_point "."
thousands_sep ","
grouping 3;3
END LC_NUMERIC
LC_MONETARY
int_curr_symbol "USD "
currency_symbol "$"
mon_decimal_point "."
mon_thousands_sep ","
mon_grouping 3;3
positive_sign ""
negative_sign "-"
int_frac_digits 2
frac_digits 2
p_cs_precedes 1
p_sep_by_space 0
n_cs_precedes 1
n_sep_by_space 0
p_sign_posn 1
n_sign_posn 1
END LC_MONETARY
LC_TIME
abday "Sun";"Mon";"Tue";"Wed";"Thu";"Fri";"Sat"
day "Sunday";"Monday";"Tuesday";"Wednesday";"Thursday";"Friday";"Saturday"
abmon "Jan";"Feb";"Mar";"Apr";"May";"Jun";"Jul";"Aug";"Sep";"Oct";"Nov";"Dec"
mon "January";"February";"March";"April";"May";"June";"July";"August";"September";"October";"November";"December"
d_t_fmt "%a %d %b %Y %r %Z"
d_fmt "%m//%d//%Y"
t_fmt "%r"
am_pm "AM";"PM"
t_fmt_ampm "%I:%M:%S %p"
date_fmt "%a %b %e %r %Z %Y"
week 7;19971130;1
END LC_TIME
LC_MESSAGES
yesexpr "^[+1yY]"
noexpr "^[-0nN]"
yesstr "yes"
nostr "no"
END LC_MESSAGES
LC_PAPER
height 279
width 216
END LC_PAPER
LC_MEASUREMENT
measurement 2
END LC_MEASUREMENT
""",
    "de_DE": """
LC_NUMERIC
decimal_point ","
thousands_sep "."
grouping 3;3
END LC_NUMERIC
LC_MONETARY
int_curr_symbol "EUR "
currency_symbol "€"
mon_decimal_point ","
mon_thousands_sep "."
mon_grouping 3;3
positive_sign ""
negative_sign "-"
int_frac_digits 2
frac_digits 2
p_cs_precedes 0
p_sep_by_space 1
n_cs_precedes 0
n_sep_by_space 1
p_sign_posn 1
n_sign_posn 1
END LC_MONETARY
LC_TIME
abday "So";"Mo";"Di";"Mi";"Do";"Fr";"Sa"
day "Sonntag";"Montag";"Dienstag";"Mittwoch";"Donnerstag";"Freitag";"Samstag"
abmon "Jan";"Feb";"Mär";"Apr";"Mai";"Jun";"Jul";"Aug";"Sep";"Okt";"Nov";"Dez"
mon "Januar";"Februar";"März";"April";"Mai";"Juni";"Juli";"August";"September";"Oktober";"November";"Dezember"
d_t_fmt "%a %d %b %Y %T %Z"
d_fmt "%d.%m.%Y"
t_fmt "%T"
am_pm "";""
t_fmt_ampm ""
date_fmt "%a %e. %b %H:%M:%S %Z %Y"
week 7;19971130;4
first_weekday 2
END LC_TIME
LC_MESSAGES
yesexpr "^[+1jJyY]"
noexpr "^[-0nN]"
yesstr "ja"
nostr "nein"
END LC_MESSAGES
LC_PAPER
height 297
width 210
END LC_PAPER
LC_MEASUREMENT
measurement 1
END LC_MEASUREMENT
""",
}


def add_locales(root: Path) -> None:
    if not shutil.which("localedef") or not _LIKE_C.is_dir():
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            target = root / f"usr/lib/locale/{name}.utf8"
            target.parent.mkdir(parents=True, exist_ok=True)
            if (_SOURCES / name).is_file():
                _compile(target, _SOURCES / name, "UTF-8")
            else:
                _write_sources(Path(folder), name)
                _compile(target, Path(folder, name), f"{folder}/UTF-8")
                for category in _TAKEN:
                    # localedef makes a file that another locale has too a link to that.
                    (target / category).unlink(missing_ok=True)
                    shutil.copyfile(_LIKE_C / category, target / category)


def _compile(target: Path, source: Path, charmap: str) -> None:
    # Forced: it warns of each category that is not there, and its exit code would be that of a failure.
    command = ["localedef", "--no-archive", "--quiet", "--force", "-i", str(source), "-f", charmap, str(target)]
    done = subprocess.run(command, capture_output=True, text=True)
    if not (target / "LC_COLLATE").is_file():
        raise SystemExit(f"The locale {target.name} cannot be compiled: {done.stderr[-2000:]}")


def _write_sources(folder: Path, name: str) -> None:
    ctype = 'LC_CTYPE\nupper <U0041>\nlower <U0061>\ntoupper (<U0061>,<U0041>)\ntolower (<U0041>,<U0061>)\nEND LC_CTYPE\n'
    text = f"comment_char %\nescape_char /\n{ctype}{_collation()}{_DEFINITIONS[name]}"
    (folder / name).write_text(text, encoding="utf-8")
    ranges = [start for start in range(0, 0x11000, 64) if not 0xD800 <= start < 0xE000]
    lines = [f"{_symbol(start)}..{_symbol(start + 63)} {_bytes(start)} {start:X}" for start in ranges]
    head = "<code_set_name> UTF-8\n<comment_char> %\n<escape_char> /\n<mb_cur_min> 1\n<mb_cur_max> 6\nCHARMAP\n"
    (folder / "UTF-8").write_text(head + "\n".join(lines) + "\nEND CHARMAP\n", encoding="ascii")


def _symbol(code: int) -> str:
    return f"<U{code:04X}>" if code < 0x10000 else f"<U{code:08X}>"


def _bytes(code: int) -> str:
    return "".join(f"/x{byte:02x}" for byte in chr(code).encode())


def _collation() -> str:
    """By letters; what has the same letters by accents, and then small before capital: `a Ä b`, and not `b a Ä`."""
    described = sorted((_weights(chr(code)), code) for code in range(0x20, _ALPHABETS) if _is_sorted(chr(code)))
    letters = sorted({letter for (letters, _, _), _ in described for letter in letters}, key=_rank)
    accents = sorted({accent for (_, accents, _), _ in described for accent in accents})
    names = {accent: f"<A{number:04d}>" for number, accent in enumerate(accents)}
    firsts = {letter: f"<L{number:04d}>" for number, letter in enumerate(letters)}
    symbols = [*names.values(), "<SMALL>", "<CAPITAL>", *firsts.values()]
    lines = ["LC_COLLATE", *(f"collating-symbol {symbol}" for symbol in symbols), "order_start forward;forward;forward,position"]
    lines += symbols
    for (letters, accents, cases), code in described:
        levels = [[firsts[each] for each in letters], [names[each] for each in accents],
                  ["<CAPITAL>" if each else "<SMALL>" for each in cases]]  # fmt: skip
        weights = ";".join(each[0] if len(each) == 1 else '"' + "".join(each) + '"' for each in levels)
        lines.append(f"{_symbol(code)} {weights}")
    others = [_symbol(code) for code in range(_ALPHABETS, 0xFFFE) if not 0xD800 <= code < 0xE000]
    return "\n".join([*lines, *others, "UNDEFINED", "order_end", "END LC_COLLATE", ""])


def _is_sorted(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNPSZ"


def _weights(character: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[bool, ...]]:
    """Letters, their accents, and whether they are capitals."""
    letters, accents, cases = [], [], []
    for part in unicodedata.normalize("NFKD", character):
        if unicodedata.combining(part) and letters:
            accents[-1] += part
            continue
        for letter in part.casefold():
            letters.append(letter)
            accents.append("")
            cases.append(part != letter and part.isupper())
    return tuple(letters), tuple(accents), tuple(cases)


def _rank(letter: str) -> tuple[int, str]:
    return "ZPSN".find(unicodedata.category(letter)[0]) % 5, letter
