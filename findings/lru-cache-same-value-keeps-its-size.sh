#!/bin/bash
# lru-cache 11 ignores the size that comes with `set` when the key already has that very value.
#
# Guess: `set(key, value, { size: 7 })` makes the entry count as 7, whatever was there before: an object that has grown is
#   set again with its new size, and `maxSize` then pushes out older entries.
# Versions: Node 22; lru-cache 11.5.3 (September 2026).
# Behaviour: where the value is the same object, neither `size` nor `sizeCalculation` is looked at: the entry keeps the size
#   that it had, and the cache holds more than `maxSize`. A copy of the object counts as it should.
# Output seen:
#   the same object, set again with the size 7: 1
#   the same object, which sizeCalculation now takes for 7: 1
#   a copy of it, set with the size 7: 7
# Exit code: 0 when it is as described, 1 when it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm install --prefix "$folder" --no-audit --no-fund --loglevel=error lru-cache@11.5.3 > "$folder/log"
cat > "$folder/sizes.mjs" <<'CODE'
import { LRUCache } from 'lru-cache';

const rows = ['one'];
const stated = new LRUCache({ maxSize: 10 });
stated.set('rows', rows, { size: 1 });
stated.set('rows', rows, { size: 7 });
console.log('the same object, set again with the size 7:', stated.calculatedSize);

const list = ['one'];
const counted = new LRUCache({ maxSize: 10, sizeCalculation: ({ length }) => length });
counted.set('list', list);
list.push('two', 'three', 'four', 'five', 'six', 'seven');
counted.set('list', list);
console.log('the same object, which sizeCalculation now takes for 7:', counted.calculatedSize);

stated.set('rows', [...rows], { size: 7 });
console.log('a copy of it, set with the size 7:', stated.calculatedSize);
CODE
node "$folder/sizes.mjs" | tee "$folder/seen"
grep -qx 'the same object, set again with the size 7: 1' "$folder/seen"
grep -qx 'the same object, which sizeCalculation now takes for 7: 1' "$folder/seen"
grep -qx 'a copy of it, set with the size 7: 7' "$folder/seen"
