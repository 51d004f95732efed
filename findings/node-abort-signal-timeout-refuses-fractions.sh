#!/bin/bash
# AbortSignal.timeout() of Node throws for a part of a millisecond, which setTimeout takes, and which the standard rounds down.
#
# Guess: `AbortSignal.timeout(seconds * 1000)` works for any number of seconds that is not negative. Its argument is
#   `[EnforceRange] unsigned long long` in the DOM standard: by Web IDL a fraction is cut off, and only what is out of range
#   throws.
# Versions: Node 22 to 24; here node 24.21.0 of npm, and jsdom 27.0.0 for what the standard says (its converters are made of Web IDL).
# Behaviour: Node throws ERR_OUT_OF_RANGE ("It must be an integer"). Ordinary numbers are hit: 16.1 * 1000 is
#   16100.000000000002. `setTimeout` takes the same numbers, and so does AbortSignal.timeout of jsdom.
# Output seen:
#   node: 1500.5 ERR_OUT_OF_RANGE, 16.1 * 1000 ERR_OUT_OF_RANGE, 4.35 * 1000 a signal
#   jsdom: 1500.5 a signal, 16.1 * 1000 a signal, 4.35 * 1000 a signal
# Exit code: 0 when it is as described, 1 when it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund node@24.21.0 jsdom@27.0.0
cat > try.cjs <<'CODE'
const { JSDOM } = require('jsdom');
const { window } = new JSDOM('');
for (const [name, timeout] of [['node', AbortSignal.timeout.bind(AbortSignal)], ['jsdom', window.AbortSignal.timeout.bind(window.AbortSignal)]]) {
  const told = [['1500.5', 1500.5], ['16.1 * 1000', 16.1 * 1000], ['4.35 * 1000', 4.35 * 1000]].map(([text, ms]) => {
    setTimeout(() => {}, ms).unref();
    try {
      timeout(ms);
      return `${text} a signal`;
    } catch (error) {
      return `${text} ${error.code ?? error.message}`;
    }
  });
  console.log(`${name}: ${told.join(', ')}`);
}
process.exit(0);
CODE
node_modules/.bin/node try.cjs | tee seen
grep -qx 'node: 1500.5 ERR_OUT_OF_RANGE, 16.1 \* 1000 ERR_OUT_OF_RANGE, 4.35 \* 1000 a signal' seen
grep -qx 'jsdom: 1500.5 a signal, 16.1 \* 1000 a signal, 4.35 \* 1000 a signal' seen
