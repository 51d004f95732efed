"""Families that programs ask for and this image does not have, each with the one that stands in for it.

Copied into matplotlib, whose search asks `resolve`.
"""

from typing import Any

SANS = "DejaVu Sans"
SERIF = "DejaVu Serif"
TIMES = "STIXGeneral"
MONO = "DejaVu Sans Mono"
CHINESE = "Noto Sans CJK SC"
TRADITIONAL_CHINESE = "Noto Sans CJK TC"
HONG_KONG = "Noto Sans CJK HK"
JAPANESE = "Noto Sans CJK JP"
KOREAN = "Noto Sans CJK KR"
THAI = "Noto Sans Thai"
DEVANAGARI = "Noto Sans Devanagari"
ARABIC = "Noto Sans Arabic"
HEBREW = "Noto Sans Hebrew"
EMOJI = "Noto Emoji"
SYMBOLS = "Noto Sans Symbols"

FALLBACK = [
    SANS,
    CHINESE,
    DEVANAGARI,
    THAI,
    ARABIC,
    HEBREW,
    EMOJI,
    SYMBOLS,
    "Noto Sans",
    "Noto Sans Armenian",
    "Noto Sans Bengali",
    "Noto Sans Ethiopic",
    "Noto Sans Georgian",
    "Noto Sans Gujarati",
    "Noto Sans Gurmukhi",
    "Noto Sans Kannada",
    "Noto Sans Khmer",
    "Noto Sans Lao",
    "Noto Sans Malayalam",
    "Noto Sans Myanmar",
    "Noto Sans Oriya",
    "Noto Sans Sinhala",
    "Noto Sans Tamil",
    "Noto Sans Telugu",
]
"""In which a glyph is looked for, in this order, when the font that a program has chosen lacks it."""

_NAMES = {
    SANS: """
        Arial, Arial Unicode MS, Arimo, Avenir, Avenir Next, Bitstream Vera Sans, Calibri, Carlito, Century Gothic,
        Comic Neue, Comic Sans MS, Fira Sans, Franklin Gothic Book, FreeSans, Futura, Geneva, Gill Sans, Helvetica,
        Helvetica Neue, Humor Sans, IBM Plex Sans, Impact, Inter, Lato, Liberation Sans, Lucida Grande,
        Lucida Sans Unicode, Microsoft Sans Serif, Montserrat, Nimbus Sans, Nunito, Open Sans, Optima, PT Sans, Poppins,
        Roboto, San Francisco, Segoe UI, SF Pro Display, SF Pro Text, Source Sans 3, Source Sans Pro, Tahoma,
        Trebuchet MS, Ubuntu, Verdana, xkcd, xkcd Script
    """,
    SERIF: """
        Baskerville, Bitstream Vera Serif, Bookman, Book Antiqua, Cambria, Century Schoolbook, Charter, Didot, Garamond,
        EB Garamond, Georgia, Hoefler Text, IBM Plex Serif, Merriweather, Noto Serif, Palatino, Palatino Linotype,
        Playfair Display, PT Serif, Roboto Slab, Source Serif Pro
    """,
    TIMES: """
        FreeSerif, Latin Modern Roman, Liberation Serif, Nimbus Roman, Nimbus Roman No9 L, Times, Times New Roman, Tinos
    """,
    MONO: """
        Andale Mono, Bitstream Vera Sans Mono, Cascadia Code, Cascadia Mono, Consolas, Courier, Courier New, Cousine,
        Fira Code, Fira Mono, FreeMono, Hack, IBM Plex Mono, Inconsolata, JetBrains Mono, Liberation Mono,
        Lucida Console, Menlo, Monaco, Nimbus Mono PS, Noto Mono, Noto Sans Mono, PT Mono, Roboto Mono, SF Mono,
        Source Code Pro, Ubuntu Mono
    """,
    CHINESE: """
        AR PL UKai CN, AR PL UMing CN, Alibaba PuHuiTi, DengXian, Droid Sans Fallback, FangSong, FangSong_GB2312,
        Heiti SC, Hiragino Sans GB, KaiTi, KaiTi_GB2312, Kaiti SC, LXGW WenKai, LiSu, Microsoft YaHei,
        Microsoft YaHei UI, NSimSun, Noto Sans SC, Noto Serif CJK SC, Noto Serif SC, PingFang, PingFang SC,
        Sarasa Gothic SC, SimHei, SimSun, SimSun-ExtB, Songti SC, Source Han Sans CN, Source Han Sans SC,
        Source Han Serif CN, Source Han Serif SC, STFangsong, STHeiti, STHeiti Light, STHupo, STKaiti, STLiti, STSong,
        STXihei, STXingkai, STXinwei, STZhongsong, WenQuanYi Bitmap Song, WenQuanYi Micro Hei,
        WenQuanYi Micro Hei Mono, WenQuanYi Zen Hei, WenQuanYi Zen Hei Mono, WenQuanYi Zen Hei Sharp, YouYuan,
        宋体, 微软雅黑, 楷体, 黑体
    """,
    TRADITIONAL_CHINESE: """
        AR PL UKai TW, AR PL UMing TW, BiauKai, DFKai-SB, Heiti TC, LiHei Pro, Microsoft JhengHei,
        Microsoft JhengHei UI, MingLiU, Noto Sans TC, Noto Serif CJK TC, Noto Serif TC, PMingLiU, PingFang TC,
        Songti TC, Source Han Sans TC, Source Han Sans TW, Source Han Serif TC, Taipei Sans TC Beta
    """,
    HONG_KONG: "MingLiU_HKSCS, Noto Sans HK, PingFang HK, Source Han Sans HK",
    JAPANESE: """
        BIZ UDGothic, BIZ UDPGothic, Hiragino Kaku Gothic Pro, Hiragino Kaku Gothic ProN, Hiragino Maru Gothic Pro,
        Hiragino Maru Gothic ProN, Hiragino Mincho Pro, Hiragino Mincho ProN, Hiragino Sans, IPAGothic, IPAMincho,
        IPAPGothic, IPAPMincho, IPAexGothic, IPAexMincho, MS Gothic, MS Mincho, MS PGothic, MS PMincho, MS UI Gothic,
        Meiryo, Meiryo UI, Noto Sans JP, Noto Serif CJK JP, Noto Serif JP, Osaka, Source Han Sans, Source Han Sans JP,
        Source Han Serif, TakaoExGothic, TakaoGothic, TakaoPGothic, VL Gothic, VL PGothic, Yu Gothic, Yu Gothic UI,
        Yu Mincho, YuGothic, YuMincho
    """,
    KOREAN: """
        Apple SD Gothic Neo, AppleGothic, AppleMyungjo, Batang, BatangChe, D2Coding, Dotum, DotumChe, Gulim, GulimChe,
        Gungsuh, GungsuhChe, Malgun Gothic, Nanum Brush Script, Nanum Gothic, Nanum Myeongjo, NanumBarunGothic,
        NanumGothic, NanumGothicCoding, NanumMyeongjo, NanumSquare, NanumSquareRound, New Gulim, Noto Sans KR,
        Noto Serif CJK KR, Noto Serif KR, Pretendard, Source Han Sans K, Source Han Sans KR, UnDotum, 나눔고딕, 맑은 고딕
    """,
    THAI: """
        Angsana New, AngsanaUPC, Browallia New, Cordia New, CordiaUPC, Garuda, Kanit, Kinnari, Laksaman, Leelawadee,
        Leelawadee UI, Loma, Norasi, Noto Serif Thai, Prompt, Sarabun, TH Sarabun New, TH SarabunPSK, Thonburi,
        Tlwg Typist, Waree
    """,
    DEVANAGARI: """
        Aparajita, Devanagari MT, Devanagari Sangam MN, Kohinoor Devanagari, Kokila, Lohit Devanagari, Mangal,
        Nirmala Text, Nirmala UI, Noto Serif Devanagari, Utsaah
    """,
    ARABIC: """
        Amiri, Arabic Typesetting, Cairo, Droid Arabic Kufi, Droid Arabic Naskh, Dubai, Geeza Pro, Noto Kufi Arabic,
        Noto Naskh Arabic, Sakkal Majalla, Scheherazade, Scheherazade New, Simplified Arabic, Tajawal,
        Traditional Arabic, Vazir, Vazirmatn
    """,
    HEBREW: """
        Alef, Arial Hebrew, David, David CLM, David Libre, FrankRuehl, Frank Ruhl Libre, Gisha, Heebo, Miriam,
        Narkisim, Noto Serif Hebrew
    """,
    EMOJI: "Apple Color Emoji, Noto Color Emoji, Segoe UI Emoji, Segoe UI Symbol, Symbola, Twemoji",
}

ALIASES = {name.strip().lower(): family for family, names in _NAMES.items() for name in names.split(",")}
_GENERIC = {"sans", "sans serif", "sans-serif", "serif", "monospace", "cursive", "fantasy"}


def resolve(manager: Any, properties: Any) -> Any:
    """The font properties with stand-ins for the families that are not there; the same object where all are."""
    asked: list[str] = []
    for family in properties.get_family():
        asked += manager._expand_aliases(family) if family.lower() in _GENERIC else [family]
    there = {font.name.lower() for font in manager.ttflist}
    found = [family if family.lower() in there else ALIASES.get(family.lower(), family) for family in asked]
    if found == asked:
        return properties
    properties = properties.copy()
    properties.set_family(found)
    return properties
