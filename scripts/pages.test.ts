import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ERROR_CODES, GloveboxError } from '../src/errors.ts';
import { TOOL_NAMES } from '../test/support/tool-names.ts';
import { linksOf } from './check-links.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PAGES = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', ...globSync('docs/**/*.md', { cwd: ROOT })].toSorted();

/** Folders that a path in code style begins with; the private package of the runner is named without those above it. */
const OWN_PATH = /`((?:src|test|sandbox-image|scripts|bench|soak|docs|examples|_glovebox)\/[\w./*-]*)`/g;

/** Paths with a name to be filled in, and what a run writes. */
const NOT_THERE = /NAME|^bench\/results\//;

const namesIn = (text = '') => [...text.matchAll(/[`'](\w+)[`']/g)].map(([, name = '']) => name);

const read = (page: string) => readFileSync(join(ROOT, page), 'utf8');

describe.each(PAGES)('%s', (page) => {
  it('names files and folders that there are', () => {
    const paths = [...read(page).matchAll(OWN_PATH)]
      .map(([, path = '']) => path)
      .filter((path) => !NOT_THERE.test(path));
    const missing = paths.filter((path) => {
      const own = path.startsWith('_glovebox/') ? `sandbox-image/runner/${path}` : path;
      return globSync(own, { cwd: ROOT }).length === 0;
    });
    expect(missing).toEqual([]);
  });
});

/** "`timeoutOf` in `src/tools/execute-python.ts`", of "in" and "of" alike: what is said to be in a file. */
const NAMED_IN = /`(\w+)` (?:in|of) `((?:src|scripts|test)\/[\w./-]+\.(?:ts|mjs|py))`/g;

describe('the pages', () => {
  it('say of files what the table of layers says', () => {
    const [, names = ''] = /`files` may import ([^;]+);/.exec(read('CONTRIBUTING.md')) ?? [];
    expect(namesIn(names)).toEqual(namesIn(/^ {2}files: \[([^\]]*)\]/m.exec(read('scripts/layers.mjs'))?.[1]));
  });

  it('name nothing in a file that is not there', () => {
    const named = PAGES.flatMap((page) => [...read(page).replaceAll(/\s+/g, ' ').matchAll(NAMED_IN)]);
    expect(named.length).toBeGreaterThan(3);
    const missing = named.filter(([, name = '', path = '']) => !new RegExp(`\\b${name}\\b`).test(read(path)));
    expect(missing.map(([text]) => text)).toEqual([]);
  });

  it('name files of the folders in the table of docs/architecture.md', () => {
    const rows = [...read('docs/architecture.md').matchAll(/^\| `([\w/-]+)` +\|[^|]+\|([^|]+)\|$/gm)];
    expect(rows.length).toBeGreaterThan(15);
    const files = rows.flatMap(([, folder = '', cell = '']) =>
      [...cell.matchAll(/`([\w./-]+\.\w+|Dockerfile)`/g)].map(([, name = '']) => join(folder, name)),
    );
    expect(files.filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
  });

  it('are all linked from README, or from a page that is', () => {
    const reached = new Set(['README.md']);
    for (const page of reached)
      for (const { target } of linksOf(ROOT, page)) if (target.endsWith('.md')) reached.add(target);
    expect(PAGES.filter((page) => !reached.has(page))).toEqual([]);
  });

  it('list every tool in README', () => {
    expect(TOOL_NAMES.filter((name) => !read('README.md').includes(`\`${name}\``))).toEqual([]);
  });

  it('name no setting that docs/settings.md does not explain', () => {
    const explained = [...read('docs/settings.md').matchAll(/^\| `(\w+)` \|/gm)].map(([, name = '']) => name);
    const known = new Set(['config', 'key', ...explained].map((name) => `GLOVEBOX_${name.toUpperCase()}`));
    const named = PAGES.flatMap((page) => [...read(page).matchAll(/\bGLOVEBOX_[A-Z_]*[A-Z]\b/g)].map(([name]) => name));
    expect(named.filter((name) => !known.has(name))).toEqual([]);
  });

  it('quote messages in README that the code has', () => {
    const [, table = ''] = read('README.md').split('## When something is wrong');
    const messages = [...table.matchAll(/^\| ([A-Z][^|`]+?) +\|/gm)].map(([, text = '']) => text);
    expect(messages.length).toBeGreaterThan(3);
    const code = globSync('src/**/*.ts', { cwd: ROOT }).map(read).join('\n');
    // What differs from case to case stands in "…", or is the name of an instance.
    const pattern = (text: string) =>
      new RegExp(text.replaceAll('.', '\\.').replaceAll(/ ?…:? ?|http-8000/g, '[^\'"`\\n]*'));
    expect(messages.filter((text) => !pattern(text).test(code))).toEqual([]);
  });

  it('list every dependency in docs/decisions/dependencies.md', () => {
    const listed = ['package.json', 'dashboard/package.json', 'website/package.json'].flatMap((manifest) => {
      const { dependencies, devDependencies } = JSON.parse(read(manifest)) as Record<string, object>;
      return Object.keys({ ...dependencies, ...devDependencies });
    });
    const names = listed.filter((name) => !name.startsWith('@types/'));
    expect(names.filter((name) => !read('docs/decisions/dependencies.md').includes(`\`${name}\``))).toEqual([]);
  });

  it('list every error code with its status in docs/execution.md', () => {
    const rows = [...read('docs/execution.md').matchAll(/^\| (\d{3}) +\|([^|]+)/gm)];
    const listed = rows.flatMap(([, status, codes = '']) =>
      [...codes.matchAll(/`(\w+)`/g)].map(([, code]) => [code, Number(status)]),
    );
    const all = ERROR_CODES.map((code) => [code, new GloveboxError(code, '').status]);
    expect(Object.fromEntries(listed)).toEqual(Object.fromEntries(all));
  });
});
