import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { CLIENTS } from '../../src/client-config/clients.ts';
import { recipeNames } from './recipe.ts';

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

test('each client that mcp-config knows has a page, and each page is in the list and in a test that runs its block', () => {
  const names = recipeNames();
  for (const { id } of CLIENTS) expect(names).toContain(id);
  const list = read('docs/recipes/README.md');
  const tests = ['agents', 'editors', 'frameworks'].map((name) => read(`test/recipes/${name}.test.ts`)).join('\n');
  for (const name of names) {
    expect(list).toContain(`(${name}.md)`);
    expect(tests).toMatch(new RegExp(`['"]${name}['"]|^ {2}${name}: \\{`, 'm'));
  }
});
