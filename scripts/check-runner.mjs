/**
 * Holds the runner's Python (`sandbox-image/runner`) to the table below: which folder may import which; no import circle;
 * no folder with too many files, and no file with too many lines. Imports within functions and those for types count, and so
 * does `import_own("…")`. Prints a line a breach, with the rule it breaks, and exits with 1 if there is any.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findCircles } from './circles.mjs';
import { MOST_FILES, MOST_LINES } from './layers.mjs';

/** Each folder may import itself, the modules beside the folders (`linux.py`, `paths.py`, …), and what stands here. */
export const RUNNER_LAYERS = {
  wire: [],
  files: [],
  packages: [],
  display: [],
  process: ['files', 'packages', 'display'],
  context: ['process', 'display', 'wire'],
  shell: ['process', 'wire'],
  program: ['context', 'shell', 'process', 'display', 'files', 'packages', 'wire'],
  supervisor: ['program', 'process', 'files', 'wire'],
  runner: ['supervisor', 'program', 'process', 'wire'],
  __main__: ['runner', 'process', 'wire'],
};

const PACKAGE = '_glovebox';
const NAMES = String.raw`(?:\((?<within>[^)]*)\)|(?<beside>[^\n#]*))`;
const FROM = new RegExp(
  String.raw`^[ \t]*from[ \t]+(?<from>${PACKAGE}[\w.]*|\.[\w.]*)[ \t]+import[ \t]*${NAMES}`,
  'gm',
);
const IMPORT = /^[ \t]*import[ \t]+(?<names>[^\n#]*)/gm;
const LATE = /\bimport_own\(\s*["'](?<late>[\w.]+)["']/g;

/**
 * The modules of the package that a file imports.
 * @param {ReadonlySet<string>} modules the dotted names of all that there are
 * @returns {string[]} dotted names below the package; as written where there is no such module
 */
export function importsOf(text, modules) {
  const found = [];
  for (const { groups } of text.matchAll(FROM)) {
    const { from, within, beside } = groups;
    if (from.startsWith('.')) {
      found.push(from);
      continue;
    }
    const base = below(from);
    // `from package import module`, or `from module import name`.
    for (const name of splitNames(within ?? beside)) {
      const whole = base ? `${base}.${name}` : name;
      found.push(modules.has(whole) || base === '' ? whole : base);
    }
  }
  for (const { groups } of text.matchAll(IMPORT)) {
    found.push(
      ...splitNames(groups.names)
        .filter((name) => new RegExp(`^${PACKAGE}\\b`).test(name))
        .map(below),
    );
  }
  for (const { groups } of text.matchAll(LATE)) found.push(groups.late);
  return [...new Set(found)];
}

const below = (name) => name.slice(PACKAGE.length + 1);

const splitNames = (text) =>
  text
    .split(',')
    .map((name) => name.replace(/#.*/gm, '').trim().split(/\s/)[0])
    .filter((name) => name !== '');

/**
 * What is wrong with a runner.
 * @param {Map<string, string>} files text by path from `runner/` on, with `/` between folders
 * @returns {string[]} one sentence a breach
 */
export function findBreaches(files) {
  const paths = new Map([...files.keys()].map((path) => [moduleOf(path), path]));
  const modules = new Set(paths.keys());
  const graph = new Map([...paths].map(([name, path]) => [name, importsOf(files.get(path), modules)]));
  const circles = findCircles(graph).map(
    (members) => `${paths.get(members[0])}: an import circle, types included, of ${members.join(', ')}`,
  );
  return [...findForbidden(graph, paths), ...circles, ...findCrowds(files), ...findLongFiles(files)];
}

function findForbidden(graph, paths) {
  return [...graph].flatMap(([name, imports]) =>
    imports.flatMap((target) => {
      const fault = faultOf(name, target, graph);
      return fault ? [`${paths.get(name)}: ${fault}`] : [];
    }),
  );
}

function faultOf(name, target, graph) {
  if (target.startsWith('.')) return `imports ${target}; the runner's modules are named in full, from ${PACKAGE} on`;
  if (!graph.has(target)) return `imports ${target}, which there is not`;
  const [from, to] = [folderOf(name), folderOf(target)];
  if (from === to || to === '') return undefined;
  const allowed = from === '' ? [] : RUNNER_LAYERS[from];
  if (!allowed) return `scripts/check-runner.mjs does not know "${from}": say there what it may import`;
  if (allowed.includes(to)) return undefined;
  return `imports ${target}; ${from ? `"${from}"` : 'a module beside the folders'} may import ${allowed.length > 0 ? allowed.join(', ') : 'nothing else'}`;
}

/** The dotted name below the package; `__main__` for the file that is run. */
function moduleOf(path) {
  return path
    .replace(/^_glovebox\//, '')
    .replace(/(^|\/)__init__\.py$|\.py$/, '')
    .replaceAll('/', '.');
}

/** The folder that a module is in, or the whole name of the file that is run; empty for modules beside the folders. */
function folderOf(name) {
  const [first] = name.split('.');
  return name in RUNNER_LAYERS || name.includes('.') ? first : '';
}

function findCrowds(files) {
  const folders = [...files.keys()].map((path) => posix.dirname(path));
  return [...new Set(folders)].flatMap((folder) => {
    const count = folders.filter((each) => each === folder).length;
    return count > MOST_FILES ? [`${folder}: ${count} files in one folder; ${MOST_FILES} are the most`] : [];
  });
}

function findLongFiles(files) {
  return [...files].flatMap(([path, text]) => {
    const lines = text.split('\n').length - 1;
    return lines > MOST_LINES ? [`${path}: ${lines} lines in one file; ${MOST_LINES} are the most`] : [];
  });
}

/** Reads all modules below a folder. */
export function readModules(root) {
  const paths = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.py'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'));
  return new Map(paths.sort().map((path) => [path, readFileSync(join(root, path), 'utf8')]));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const breaches = findBreaches(readModules(fileURLToPath(new URL('../sandbox-image/runner', import.meta.url))));
  for (const breach of breaches) process.stdout.write(`sandbox-image/runner/${breach}\n`);
  process.exitCode = breaches.length > 0 ? 1 : 0;
}
