#!/bin/bash
# pip-requirements-js refuses every requirement with ===, though its types have a name for that operator.
#
# Guess: a parser that is generated from the grammar of PEP 508, and whose `VersionOperator` has `ArbitrarilyEqual`, reads
#   `requests===2.32.0` as pip does.
# Versions: Node 22 and later; pip-requirements-js 1.0.3 (March 2026); Python 3.11 and later with packaging 26.4.
# Behaviour: the line is a RequirementsSyntaxError, and so is a marker with ===. The grammar lists "==" before "===", as PEP
#   508 itself does, and takes the first that fits; what is left, "=2.32.0", is no version. The loose parser takes the line
#   and gives the operator "===".
# Output seen:
#   requests==2.32.0: ==2.32.0
#   requests===2.32.0: Failed to parse requirements line. Line 1, col 11
#   requests; python_full_version === "3.13.1": Failed to parse requirements line. Line 1, col 33
#   loosely: ===2.32.0
#   packaging: ===2.32.0
# Exit code: 0 when it is as described, 1 when it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check packaging==26.4
npm install --silent --no-save --prefix "$folder" pip-requirements-js@1.0.3
cat > ask.mjs <<'CODE'
import parser from 'pip-requirements-js';

const show = ({ versionSpec = [] }) => versionSpec.map(({ operator, version }) => operator + version).join();
for (const line of ['requests==2.32.0', 'requests===2.32.0', 'requests; python_full_version === "3.13.1"']) {
  let told;
  try {
    told = show(parser.parsePipRequirementsLine(line));
  } catch (error) {
    told = error.message.split(':')[0];
  }
  console.log(`${line}: ${told}`);
}
console.log(`loosely: ${show(parser.parsePipRequirementsLineLoosely('requests===2.32.0'))}`);
CODE
{
  node ask.mjs
  venv/bin/python -c 'from packaging.requirements import Requirement; print("packaging:", Requirement("requests===2.32.0").specifier)'
} | tee seen
grep -qxF 'requests==2.32.0: ==2.32.0' seen
grep -q '^requests===2.32.0: Failed to parse' seen
grep -q '^requests; python_full_version === "3.13.1": Failed to parse' seen
grep -qxF 'loosely: ===2.32.0' seen
grep -qxF 'packaging: ===2.32.0' seen
