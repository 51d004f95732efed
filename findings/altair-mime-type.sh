#!/bin/bash
# Altair 6 calls a chart "application/vnd.vegalite.v6.json", with a dot, where every version before wrote "+json".
#
# Guess: the mime type of a chart ends in "+json", the suffix registered for JSON, as it did for Vega-Lite 2 to 5; what
#   picks JSON formats out of a mime bundle by `mime.endswith("+json")` finds the chart of any Altair.
# Versions: Python 3.11 and later; altair 5.5.0 and 6.3.0 (July 2026).
# Behaviour: `chart._repr_mimebundle_()` with the renderer "mimetype" has one key besides text/plain, which is
#   application/vnd.vegalite.v5+json in 5.5.0 and application/vnd.vegalite.v6.json in 6.3.0: such a filter is left with
#   the text "<VegaLite 6 object>" alone.
# Output seen:
#   altair 5.5.0: application/vnd.vegalite.v5+json
#   altair 6.3.0: application/vnd.vegalite.v6.json
# Exit code: 0 when it is as described, 1 when it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/chart.py" <<'CODE'
import altair

altair.renderers.enable("mimetype")
chart = altair.Chart(altair.Data(values=[{"a": 1}])).mark_bar().encode(x="a:Q")
bundle = chart._repr_mimebundle_()
bundle = bundle[0] if isinstance(bundle, tuple) else bundle
print(f"altair {altair.__version__}:", *(mime for mime in bundle if mime != "text/plain"))
CODE
for version in 5.5.0 6.3.0; do
  python3 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install --quiet "altair==$version"
  "$folder/$version/bin/python" "$folder/chart.py"
done | tee "$folder/seen"
grep -qx 'altair 5.5.0: application/vnd.vegalite.v5+json' "$folder/seen"
grep -qx 'altair 6.3.0: application/vnd.vegalite.v6.json' "$folder/seen"
