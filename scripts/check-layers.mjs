/**
 * Holds `src/` to the table in `layers.mjs`: who may import whom, types included; no import circle; no folder with too many
 * files, and no file with too many lines. Prints a line a breach, with the rule it breaks, and exits with 1 if there is any.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findCircles } from './circles.mjs';
import { LAYERS, MOST_FILES, MOST_LINES, PACKAGES } from './layers.mjs';

/** Imported by everyone. */
const COMMON = ['errors.ts', 'log.ts'];
const IMPORT = /^[ \t]*(?:import|export)\b(?:(?<clause>[^'"`;=()]*?)\bfrom)?\s*['"](?<from>[^'"]+)['"]/gm;
const LAZY_IMPORT = /\bimport\(\s*['"](?<lazy>[^'"]+)['"]/g;

/**
 * The imports of one file.
 * @returns {{ to: string, typeOnly: boolean }[]} `to` as written: relative, or the name of a package
 */
export function importsOf(text) {
  const code = text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
  const named = [...code.matchAll(IMPORT)].map(({ groups: { clause = '', from } }) => ({
    to: from,
    typeOnly: /^\s*type\b/.test(clause) || isAllTypes(clause),
  }));
  // Within an expression it loads code, in the place of a type it does not; which of both does not matter to a circle.
  const lazy = [...code.matchAll(LAZY_IMPORT)].map(({ groups }) => ({ to: groups.lazy, typeOnly: false }));
  return [...named, ...lazy];
}

/** Whether each name between braces is marked as a type. */
function isAllTypes(clause) {
  const names = /^\s*\{(?<names>[^}]*)\}\s*$/.exec(clause)?.groups.names;
  return names?.split(',').every((name) => name.trim() === '' || /^\s*type\s/.test(name)) ?? false;
}

/**
 * What is wrong with a tree of sources.
 * @param {Map<string, string>} files text by path from `src/` on, with `/` between folders; tests left out
 * @returns {string[]} one sentence a breach
 */
export function findBreaches(files) {
  const graph = new Map(
    [...files].map(([path, text]) => [
      path,
      importsOf(text).map((found) => ({ ...found, target: targetOf(path, found) })),
    ]),
  );
  return [...findForbidden(graph), ...describeCircles(graph), ...findCrowds(files), ...findLongFiles(files)];
}

/** The path of what is imported from `src/` on; undefined for a package. */
function targetOf(path, { to }) {
  return to.startsWith('.') ? posix.join(posix.dirname(path), to) : undefined;
}

function findForbidden(graph) {
  return [...graph].flatMap(([path, imports]) =>
    imports.flatMap((found) => {
      const fault = found.target === undefined ? packageFault(path, found) : layerFault(path, found);
      return fault ? [`src/${path}: ${fault}`] : [];
    }),
  );
}

function layerFault(path, { target, typeOnly }) {
  const [from, to] = [roomOf(path), roomOf(target)];
  if (from === to || COMMON.includes(target)) return undefined;
  const allowed = LAYERS[from];
  if (!allowed) return `scripts/layers.mjs does not know "${from}": say there what it may import`;
  const covers = (rule) => target === rule || target.startsWith(`${rule}/`) || target === `${rule}.ts`;
  if (allowed.some((rule) => (rule.startsWith('type:') ? typeOnly && covers(rule.slice(5)) : covers(rule)))) {
    return undefined;
  }
  const list = allowed.length > 0 ? allowed.join(', ') : 'nothing else';
  return `imports ${typeOnly ? 'a type of ' : ''}${target}; "${from}" may import ${list}`;
}

function packageFault(path, { to }) {
  const name = /^(?:@[^/]+\/)?[^/]+/.exec(to)?.[0] ?? to;
  const places = PACKAGES[name];
  if (!places || places.some((place) => path.startsWith(`${place}/`))) return undefined;
  return `imports the package ${name}; only ${places.join(' and ')} may`;
}

/** The folder at the top of `src/`, or the name of a file there. */
function roomOf(path) {
  const [first] = path.split('/');
  return path.includes('/') ? first : first.replace(/\.ts$/, '');
}

/** Files that import each other, directly or through others. */
function describeCircles(graph) {
  const targets = new Map([...graph].map(([path, imports]) => [path, imports.map(({ target }) => target)]));
  return findCircles(targets).map(
    (members) => `src/${members[0]}: an import circle, types included, of ${members.join(', ')}`,
  );
}

function findCrowds(files) {
  const counts = new Map();
  for (const path of files.keys()) {
    const folder = posix.dirname(path);
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  return [...counts].flatMap(([folder, count]) =>
    count > MOST_FILES ? [`src/${folder}: ${count} files in one folder; ${MOST_FILES} are the most`] : [],
  );
}

function findLongFiles(files) {
  return [...files].flatMap(([path, text]) => {
    const lines = text.split('\n').length - 1;
    return lines > MOST_LINES ? [`src/${path}: ${lines} lines in one file; ${MOST_LINES} are the most`] : [];
  });
}

/** Test code, in files that are no tests by themselves among it. */
const TEST_CODE = /\.test\.ts$|^engine-contract\.ts$/;

/** Reads all sources below a folder, tests aside. */
function readSources(root) {
  const paths = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.ts$/.test(entry.name) && !TEST_CODE.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'));
  return new Map(paths.sort().map((path) => [path, readFileSync(join(root, path), 'utf8')]));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = join(dirname(dirname(fileURLToPath(import.meta.url))), 'src');
  const breaches = findBreaches(readSources(root));
  for (const breach of breaches) process.stdout.write(`${breach}\n`);
  process.exitCode = breaches.length > 0 ? 1 : 0;
}
