"""Lets pandas write `.xls`, and read it, and `.xlsx`, without a warning."""

import shutil
from pathlib import Path

from source import replace_once


def add_formats(site: Path) -> None:
    excel = site / "pandas/io/excel"
    if not excel.is_dir():
        return
    shutil.copyfile(Path(__file__).with_name("xls_writer.py"), excel / "_xlwt.py")
    replace_once(
        excel / "__init__.py",
        "\nregister_writer(_ODSWriter)\n",
        "\nregister_writer(_ODSWriter)\n\nfrom pandas.io.excel._xlwt import XlwtWriter\n\nregister_writer(XlwtWriter)\n",
    )
    # Its own choice is xlrd, if that is there, and then to warn that xlrd is deprecated.
    replace_once(excel / "_util.py", '        "xls": "xlrd",\n', '        "xls": "calamine",\n')
    replace_once(
        excel / "_util.py",
        '        "xlsb": "pyxlsb",\n        "ods": "odf",\n    }\n    assert',
        '        "xlsb": "pyxlsb",\n        "ods": "odf",\n        "xls": "xlwt",\n    }\n    assert',
    )
    replace_once(
        excel / "_util.py",
        'if ext == "xls" and not import_optional_dependency("xlrd", errors="ignore"):',
        'if ext == "xls":',
    )
    # Beside calamine it warns of every xlsx that a later version will read it by that.
    replace_once(
        excel / "_base.py",
        '''                if (
                    ext == "xlsx"
                    and engine == "openpyxl"
''',
        '''                if False and (
                    ext == "xlsx"
                    and engine == "openpyxl"
''',
    )
    options = site / "pandas/core/config_init.py"
    replace_once(
        options,
        "\n\n# Set up the io.parquet specific configuration.\n",
        """
with cf.config_prefix("io.excel.xls"):
    cf.register_option("writer", "auto", writer_engine_doc.format(ext="xls", others="xlwt"), validator=str)

# Set up the io.parquet specific configuration.
""",
    )
