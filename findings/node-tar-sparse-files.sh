#!/bin/bash
# The npm package tar makes another file of a file with holes, or none at all, and says nothing.
#
# Guess: what `tar -cS` packs is unpacked by the npm package tar (npm's own unpacker) as it was: a file of 1 MiB and
#   four bytes, by its name. If the package does not know sparse entries, it warns of them.
# Versions: tar 7.5.23 (npm), GNU tar 1.34; GNU tar's three formats of a sparse entry. bsdtar, which is macOS' tar,
#   writes the first of them by default wherever a file has holes.
# Behaviour: in the pax format 1.0 the file comes out as GNUSparseFile.NUMBER/holes with 516 bytes, the map of its holes
#   in front of its contents; in 0.0 as "holes" with 4 bytes; in GNU tar's old format it is not there. `strict` does
#   not make that an error, and the only event is "ignoredEntry" for the last.
# Output seen (NUMBER stands for a process id):
#   pax 1.0: ./GNUSparseFile.NUMBER/holes 516
#   pax 0.0: ./holes 4
#   gnu:
# Exit code: 0 when it is as described, 1 when it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund tar@7.5.23 > /dev/null
truncate -s 1M holes
printf data >> holes
tar -S --format=pax --sparse-version=1.0 -cf 'pax 1.0.tar' holes
tar -S --format=pax --sparse-version=0.0 -cf 'pax 0.0.tar' holes
tar -S --format=gnu -cf gnu.tar holes
for name in 'pax 1.0' 'pax 0.0' gnu; do
  mkdir "$name"
  node -e 'require("tar").x({ file: `${process.argv[1]}.tar`, cwd: process.argv[1], sync: true, strict: true })' "$name"
  echo "$name:$(cd "$name" && find . -type f -printf ' %p %s' | sed 's/GNUSparseFile\.[0-9]*/GNUSparseFile.NUMBER/')"
done | tee seen
diff seen - <<'EXPECTED'
pax 1.0: ./GNUSparseFile.NUMBER/holes 516
pax 0.0: ./holes 4
gnu:
EXPECTED
