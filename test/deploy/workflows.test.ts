import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { run } from '../clients/environments.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const LINTER = 'github.com/rhysd/actionlint/cmd/actionlint@v1.7.12';

test('the workflows have no fault that a linter finds, and run only scripts that there are', {
  timeout: 300_000,
}, async () => {
  const workflows = globSync('.github/workflows/*.yml', { cwd: ROOT });
  expect(workflows).not.toEqual([]);
  const { code, stdout, stderr } = await run('go', ['run', LINTER, '-no-color', ...workflows], { cwd: ROOT });
  expect(code, stdout + stderr).toBe(0);
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const text = workflows.map((path) => readFileSync(join(ROOT, path), 'utf8')).join('\n');
  const named = [...text.matchAll(/\bnpm (?:run )?(test|check|bundle|site)\b/g)].map(([, name = '']) => name);
  expect(named.length).toBeGreaterThan(2);
  expect(named.filter((name) => !(name in scripts))).toEqual([]);
});
