#!/bin/bash
# Renovate's PEP 440 package says that version 1 does not match ==1.0.*, and that 2.0rc1 is not below 2.0rc2.
#
# Guess: a port of `packaging` that Renovate decides updates with pads releases with zeros wherever they are compared, as
#   PEP 440 says under "Version matching" ("==1.1.*" is against "1.1" and its kin): 1, 1.0 and 1.0.0 are one version in
#   every specifier. And `<2.0rc2` has 2.0rc1, which sorts before it.
# Versions: Node 22 and later; @renovatebot/pep440 5.0.1 (September 2026); Python 3.11 and later with packaging 26.4.
# Behaviour: `eq('1', '1.0')` is true and `satisfies('1', '==1.0')` is true, but `satisfies('1', '==1.0.*')` is false. So it
#   is with `<` and `>` whenever the numbers before "rc", "a" or ".post" are the same: `>1.7a1` does not have 1.7, which is
#   the release of that pre-release. `packaging`, and so pip, has all of them.
# Output seen:
#   1 ==1.0: pep440 true, packaging True
#   1 ==1.0.*: pep440 false, packaging True
#   2.0rc1 <2.0rc2: pep440 false, packaging True
#   1.7 >1.7a1: pep440 false, packaging True
# Exit code: 0 when it is as described, 1 when it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check packaging==26.4
npm install --silent --no-save --prefix "$folder" @renovatebot/pep440@5.0.1
cat > ask.mjs <<'CODE'
import { satisfies } from '@renovatebot/pep440';

console.log(satisfies(process.argv[2], process.argv[3], { prereleases: true }));
CODE
cat > ask.py <<'CODE'
import sys

from packaging.specifiers import SpecifierSet

print(SpecifierSet(sys.argv[2]).contains(sys.argv[1], prereleases=True))
CODE
while read -r version specifier; do
  echo "$version $specifier: pep440 $(node ask.mjs "$version" "$specifier"), packaging $(venv/bin/python ask.py "$version" "$specifier")"
done > seen << 'CASES'
1 ==1.0
1 ==1.0.*
2.0rc1 <2.0rc2
1.7 >1.7a1
CASES
cat seen
grep -qxF '1 ==1.0: pep440 true, packaging True' seen
grep -qxF '1 ==1.0.*: pep440 false, packaging True' seen
grep -qxF '2.0rc1 <2.0rc2: pep440 false, packaging True' seen
grep -qxF '1.7 >1.7a1: pep440 false, packaging True' seen
