/**
 * Leaves of the declarations in a build those that `index.d.ts` needs, and no others: the rest would show programs what
 * is within the package. Plain JavaScript without dependencies, for it runs at each build.
 */
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

pruneDeclarations(process.argv[2] ?? 'dist');

function pruneDeclarations(folder) {
  const needed = new Set();
  follow(new URL('index.d.ts', `${pathToFileURL(folder)}/`), needed);
  for (const name of readdirSync(folder, { recursive: true })) {
    const path = join(folder, name);
    if (name.endsWith('.d.ts') && !needed.has(pathToFileURL(path).href)) rmSync(path);
  }
}

function follow(declaration, needed) {
  if (needed.has(declaration.href)) return;
  needed.add(declaration.href);
  const text = readFileSync(declaration, 'utf8');
  for (const [, path] of text.matchAll(/\b(?:from|import\() ?['"](\.[^'"]+)['"]/g)) {
    follow(new URL(path.replace(/\.[jt]s$/, '.d.ts'), declaration), needed);
  }
}
