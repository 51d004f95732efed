"""Names of font files that programs open: Pillow looks for a font by the name of its file."""

_ARIAL = ["arial", "Arial", "calibri", "Helvetica", "helvetica", "LiberationSans", "OpenSans", "Roboto", "Lato",
          "segoeui", "tahoma", "verdana", "Verdana"]  # fmt: skip
FILES = {
    "DejaVuSans.ttf": [
        *(f"{name}{end}.ttf" for name in _ARIAL for end in ("", "-Regular")),
        *["ARIAL.TTF", "FreeSans.ttf", "ArialUnicode.ttf", "comic.ttf", "Vera.ttf", "Ubuntu-R.ttf", "Geneva.ttf"],
    ],
    "DejaVuSans-Bold.ttf": [
        *(f"{name}-Bold.ttf" for name in _ARIAL),
        *["arialbd.ttf", "Arial Bold.ttf", "Arial_Bold.ttf", "calibrib.ttf", "FreeSansBold.ttf", "impact.ttf"],
        *["Impact.ttf", "segoeuib.ttf", "tahomabd.ttf", "verdanab.ttf", "VeraBd.ttf", "Ubuntu-B.ttf"],
    ],
    "DejaVuSans-Oblique.ttf": [
        *(f"{name}-Italic.ttf" for name in _ARIAL),
        *["ariali.ttf", "Arial Italic.ttf", "FreeSansOblique.ttf"],
    ],
    "DejaVuSans-BoldOblique.ttf": ["arialbi.ttf", "Arial Bold Italic.ttf", "LiberationSans-BoldItalic.ttf"],
    "DejaVuSansMono.ttf": [
        *["cour.ttf", "Courier.ttf", "Courier New.ttf", "consola.ttf", "Consolas.ttf", "Menlo.ttf", "Monaco.ttf"],
        *["LiberationMono-Regular.ttf", "FreeMono.ttf", "UbuntuMono-R.ttf", "RobotoMono-Regular.ttf", "lucon.ttf"],
    ],
    "DejaVuSansMono-Bold.ttf": ["courbd.ttf", "consolab.ttf", "LiberationMono-Bold.ttf", "FreeMonoBold.ttf"],
    "DejaVuSerif.ttf": ["georgia.ttf", "Georgia.ttf", "cambria.ttc", "pala.ttf", "NotoSerif-Regular.ttf"],
    "DejaVuSerif-Bold.ttf": ["georgiab.ttf", "NotoSerif-Bold.ttf"],
    "STIXGeneral.ttf": [
        *["times.ttf", "Times.ttf", "Times New Roman.ttf", "TimesNewRoman.ttf", "LiberationSerif-Regular.ttf"],
        *["FreeSerif.ttf"],
    ],
    "STIXGeneralBol.ttf": ["timesbd.ttf", "Times New Roman Bold.ttf", "LiberationSerif-Bold.ttf", "FreeSerifBold.ttf"],
    "STIXGeneralItalic.ttf": ["timesi.ttf", "LiberationSerif-Italic.ttf"],
    "NotoSansCJK-Regular.ttc": [
        *["simhei.ttf", "SimHei.ttf", "simsun.ttc", "SimSun.ttf", "simsun.ttf", "simkai.ttf", "simfang.ttf", "msyh.ttc"],
        *["msyh.ttf", "msyhbd.ttc", "msyhbd.ttf", "Deng.ttf", "STHeiti Light.ttc", "STHeiti Medium.ttc", "PingFang.ttc"],
        *["STSONG.TTF", "STKAITI.TTF", "Songti.ttc", "wqy-zenhei.ttc", "wqy-microhei.ttc", "DroidSansFallback.ttf"],
        *["DroidSansFallbackFull.ttf", "SourceHanSansSC-Regular.otf", "SourceHanSansCN-Regular.otf", "uming.ttc"],
        *["NotoSansSC-Regular.otf", "NotoSansSC-Regular.ttf", "NotoSansCJKsc-Regular.otf", "msjh.ttc", "msjh.ttf"],
        *["mingliu.ttc", "kaiu.ttf", "NotoSansTC-Regular.otf", "NotoSansTC-Regular.ttf", "NotoSansCJKtc-Regular.otf"],
        *["msgothic.ttc", "msmincho.ttc", "meiryo.ttc", "YuGothR.ttc", "YuGothM.ttc", "yugothic.ttf", "ipag.ttf"],
        *["ipaexg.ttf", "ipam.ttf", "ipaexm.ttf", "NotoSansJP-Regular.otf", "NotoSansJP-Regular.ttf"],
        *["NotoSansCJKjp-Regular.otf", "malgun.ttf", "malgunbd.ttf", "gulim.ttc", "batang.ttc", "NanumGothic.ttf"],
        *["NanumGothicBold.ttf", "NanumMyeongjo.ttf", "AppleGothic.ttf", "AppleSDGothicNeo.ttc"],
        *["NotoSansKR-Regular.otf", "NotoSansKR-Regular.ttf", "NotoSansCJKkr-Regular.otf", "NotoSansCJK-Bold.ttc"],
    ],
    "NotoSansThai-Regular.ttf": ["THSarabunNew.ttf", "Sarabun-Regular.ttf", "Loma.ttf", "Garuda.ttf"],
    "NotoSansDevanagari-Regular.ttf": ["mangal.ttf", "Mangal.ttf", "Nirmala.ttf", "Lohit-Devanagari.ttf"],
    "NotoSansArabic-Regular.ttf": ["Amiri-Regular.ttf", "trado.ttf", "NotoNaskhArabic-Regular.ttf", "Cairo-Regular.ttf"],
    "NotoSansHebrew-Regular.ttf": ["david.ttf", "Alef-Regular.ttf", "Heebo-Regular.ttf"],
    "NotoEmoji-Regular.ttf": ["seguiemj.ttf", "seguisym.ttf", "Symbola.ttf"],
}
"""Font files of this image, each with the names of those that it stands in for."""
