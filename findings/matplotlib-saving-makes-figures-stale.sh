#!/bin/bash
# A figure of matplotlib that is saved says afterwards that it has changed, and is the same; but not if pyplot saves it.
#
# Guess: saving a figure is reading it: Figure.stale, which tells whether a figure has changed since it was drawn, is
#   False after savefig if it was before; or else it is True after every savefig alike.
# Versions: matplotlib 3.11.2, backend Agg.
# Behaviour: after figure.savefig, in its own resolution or another, as png or pdf, stale is True, although a picture
#   that is drawn then has the same bytes as one that was drawn before. After pyplot's savefig, which calls it and then
#   draws the figure, stale is False. Who shows figures again when they are stale shows some that were saved twice.
# Output seen:
#   own dpi: stale True, same picture True
#   pyplot: stale False, same picture True
#   other dpi: stale True, same picture True
#   pdf: stale True, same picture True
# Exit code: 0 when it is as described, 1 when it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check matplotlib==3.11.2
MPLCONFIGDIR="$folder" venv/bin/python - <<'PYTHON' | tee seen
import io
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt

def picture(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()

figure, axes = plt.subplots()
axes.plot([1, 2])
before = picture(figure)
for name, save in {
    "own dpi": lambda: figure.savefig(io.BytesIO(), format="png"),
    "pyplot": lambda: plt.savefig(io.BytesIO(), format="png", dpi=30),
    "other dpi": lambda: figure.savefig(io.BytesIO(), format="png", dpi=30),
    "pdf": lambda: figure.savefig(io.BytesIO(), format="pdf"),
}.items():
    figure.canvas.draw()
    save()
    print(f"{name}: stale {figure.stale}, same picture {picture(figure) == before}")
PYTHON
diff seen - <<'EXPECTED'
own dpi: stale True, same picture True
pyplot: stale False, same picture True
other dpi: stale True, same picture True
pdf: stale True, same picture True
EXPECTED
