/**
 * Builds the documentation as a site into site/: the pages of the repository, the REST API as the server describes it, and
 * the library as its types do. Ends with status 1 if a link in it leads nowhere.
 */
import { spawnSync } from 'node:child_process';
import { globSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readApiDocument } from './site/api-document.ts';
import { makeApiPages } from './site/api-pages.ts';
import { layPages, makeSidebar } from './site/pages.ts';
import { followSite } from './site/site-links.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const GENERATOR = join(ROOT, 'website');
const PAGES = join(GENERATOR, 'pages');
const SITE = join(ROOT, 'site');

/** Runs a program of the generator's package. */
function run(...command: readonly string[]): void {
  const [name = '', ...args] = command;
  const path = join(GENERATOR, 'node_modules', name);
  const { status } = spawnSync(process.execPath, [path, ...args], {
    cwd: GENERATOR,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  if (status !== 0) throw new Error(`${name} ended with ${status}.`);
}

/** @param base path below which the site is served */
async function build(base: string): Promise<void> {
  layPages(ROOT, PAGES, makeApiPages(await readApiDocument()));
  run('typedoc/bin/typedoc', '--logLevel', 'Warn');
  const pages = globSync('**/*.md', { cwd: PAGES });
  writeFileSync(join(PAGES, 'sidebar.json'), JSON.stringify(makeSidebar(PAGES, pages)));
  run('vitepress/bin/vitepress.js', 'build', '--base', base);
  const { broken, outside } = followSite(SITE, base);
  for (const link of broken) process.stdout.write(`${link} leads nowhere\n`);
  for (const link of outside) process.stdout.write(`${link} is not of this site\n`);
  process.stdout.write(`${pages.length} pages are in site/.\n`);
  if (broken.length + outside.length > 0) process.exitCode = 1;
}

await build(process.argv[2] ?? '/');
