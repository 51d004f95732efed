#!/bin/bash
# An element of HoloViews describes itself as nothing outside of a notebook, whatever extension was loaded.
#
# Guess: after `hv.extension("bokeh")` an element's `_repr_mimebundle_` has html, as `hv.render(element)` has the figure:
#   a program that shows objects by that protocol needs no IPython for it.
# Versions: Python 3.11 and later; holoviews 1.23.2 with bokeh 3.9.1 (2026).
# Behaviour: the call succeeds with an empty bundle and no error or warning, although the backend is chosen and loaded;
#   `hv.render` draws the same element at once. Only with an IPython shell running does the extension register the hooks.
# Output seen:
#   backend bokeh; mime bundle ({}, {}); rendered figure
# Exit code: 0 when it is as described, 1 when it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet holoviews==1.23.2 bokeh==3.9.1
"$folder/venv/bin/python" - <<'CODE' | tee "$folder/seen"
import holoviews as hv

hv.extension("bokeh")
curve = hv.Curve([1, 2, 3])
bundle = curve._repr_mimebundle_()
print(f"backend {hv.Store.current_backend}; mime bundle {bundle}; rendered {type(hv.render(curve)).__name__}")
CODE
grep -qxF 'backend bokeh; mime bundle ({}, {}); rendered figure' "$folder/seen"
