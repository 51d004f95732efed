#!/bin/bash
# `npm sbom --omit=dev` leaves out packages that `npm ls --omit=dev` lists.
#
# Guess: the bill has what is installed for production, which is what `npm ls --omit=dev` lists.
# Versions: Node 22; npm 12.2.2 (November 2026), and 11.19.1 as well; wrap-ansi 8.1.0, strip-ansi 7.1.0.
# Behaviour: a package that is needed at runtime is left out when a package for development needs it as well, and so is
#   all that it needs itself. Known since npm 10 (npm/cli issue 7909), and still so.
# Output seen:
#   npm ls: ansi-regex strip-ansi
#   npm sbom:
# Exit code: 0 when it is as described, 1 when it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm="npx --yes npm@12.2.2"
mkdir "$folder/project"
cd "$folder/project"
cat > package.json <<'CODE'
{
  "name": "project",
  "version": "1.0.0",
  "dependencies": { "strip-ansi": "7.1.0" },
  "devDependencies": { "wrap-ansi": "8.1.0" }
}
CODE
$npm install --no-audit --no-fund --loglevel=error > ../log
$npm ls --omit=dev --all --parseable > ../listed
echo "npm ls: $(sed -n 's|.*/node_modules/||p' ../listed | sort | paste -sd ' ')" | tee ../seen
$npm sbom --sbom-format=cyclonedx --omit=dev > ../bill
names='JSON.parse(require("fs").readFileSync(0)).components.map(({ name }) => name).sort().join(" ")'
echo "npm sbom: $(node -p "$names" < ../bill)" | tee -a ../seen
grep -qx 'npm ls: ansi-regex strip-ansi' ../seen
grep -qx 'npm sbom: ' ../seen
