import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { startCanary } from './canary.ts';

const SOURCE = new URL('../sandbox-image/', import.meta.url);

/** The runner and its tests, by path. */
function readSources(): Record<string, string> {
  const paths = ['runner', 'tests'].flatMap((folder) =>
    readdirSync(new URL(folder, SOURCE))
      .filter((name) => name.endsWith('.py'))
      .map((name) => `${folder}/${name}`),
  );
  return Object.fromEntries(paths.map((path) => [path, readFileSync(new URL(path, SOURCE), 'utf8')]));
}

it('the runner and its contexts pass their own tests inside a sealed container', async () => {
  await using canary = await startCanary({ pids: 128 });
  const { exitCode, stderr } = await canary.python(`
import json, os, subprocess, sys
for path, text in json.loads(${JSON.stringify(JSON.stringify(readSources()))}).items():
    os.makedirs(os.path.dirname('/tmp/source/' + path), exist_ok=True)
    open('/tmp/source/' + path, 'w').write(text)
sys.exit(subprocess.run([sys.executable, '-m', 'unittest', 'discover', '-s', '/tmp/source/tests']).returncode)
`);
  expect(stderr).toContain('\nOK');
  expect(stderr).not.toContain('skipped');
  expect(exitCode).toBe(0);
});
