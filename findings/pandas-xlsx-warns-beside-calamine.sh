#!/bin/bash
# To have python-calamine installed, as pandas advises for .xls, makes pandas warn of every .xlsx that is read.
#
# Guess: which engines are installed does not matter to a call that takes the default one: pd.read_excel("t.xlsx") reads by
#   openpyxl, without a word, as ever. A reader for .xls has nothing to do with it.
# Versions: Python 3.11 and later; pandas 3.1.1, openpyxl 3.1.5, xlrd 2.0.2, python-calamine 0.9.1 (November 2026).
# Behaviour: with openpyxl and xlrd, .xlsx is read in silence, and .xls with the warning to take calamine. Once
#   python-calamine is installed too, the same read of .xlsx warns that its default will change, and .xls, which is still
#   read by xlrd as long as that is there, warns as before. Without xlrd, .xls is read by calamine in silence.
# Output seen:
#   openpyxl, xlrd: xlsx silent, xls warns
#   and python-calamine: xlsx warns, xls warns
#   without xlrd: xlsx warns, xls silent
# Exit code: 0 when it is as described, 1 when it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/pip" --quiet --disable-pip-version-check "$@"; }
pip install pandas==3.1.1 openpyxl==3.1.5 xlrd==2.0.2 xlwt==1.3.0
cat > "$folder/read.py" <<'CODE'
import os
import sys
import warnings

import pandas
import xlwt

os.chdir(sys.argv[1])
pandas.DataFrame({"n": [1]}).to_excel("t.xlsx", index=False)
book = xlwt.Workbook()
book.add_sheet("Sheet1").write(0, 0, "n")
book.save("t.xls")
said = []
for end in ("xlsx", "xls"):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pandas.read_excel(f"t.{end}")
    said.append(f"{end} {'warns' if any('engine' in str(each.message) for each in caught) else 'silent'}")
print(f"{sys.argv[2]}:", ", ".join(said))
CODE
read_both() { "$folder/venv/bin/python" "$folder/read.py" "$folder" "$1"; }
{
  read_both "openpyxl, xlrd"
  pip install python-calamine==0.9.1
  read_both "and python-calamine"
  pip uninstall --yes xlrd
  read_both "without xlrd"
} | tee "$folder/seen"
diff - "$folder/seen" <<'EXPECTED' > /dev/null && echo "as described" || { echo "changed"; exit 1; }
openpyxl, xlrd: xlsx silent, xls warns
and python-calamine: xlsx warns, xls warns
without xlrd: xlsx warns, xls silent
EXPECTED
