#!/bin/bash
# Guess: `uv pip compile --overrides` replaces what other packages ask for. A requirement that the caller names himself,
#   and pins, stays, or at least a conflict with an override whose marker never holds is told.
# Versions: uv 0.13.9, with six 1.17.0 and python-dateutil 2.9.0.post0.
# Behaviour: an override with a marker that is false takes the package out of everything, the caller's own pinned
#   requirement too. The answer is an empty resolution, exit code 0, and no word on stderr.
# Output seen:
#   without the override: six==1.17.0
#   with it: nothing, exit code 0
#   as a dependency: python-dateutil==2.9.0.post0 alone
set -u
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 2
python3 -m venv venv && venv/bin/pip install -q --disable-pip-version-check uv==0.13.9 || exit 2
compile() { venv/bin/uv pip compile --quiet --no-header --no-annotate "$@" - 2>&1; }
echo "six ; python_version < '0'" > overrides.txt

plain=$(echo 'six==1.17.0' | compile)
direct=$(echo 'six==1.17.0' | compile --overrides overrides.txt)
code=$?
needed=$(echo 'python-dateutil==2.9.0.post0' | compile --overrides overrides.txt)
echo "without the override: $plain"
echo "with it: ${direct:-nothing}, exit code $code"
echo "as a dependency: $needed alone"
[ "$plain" = 'six==1.17.0' ] && [ -z "$direct" ] && [ "$code" = 0 ] && [ "$needed" = 'python-dateutil==2.9.0.post0' ]
