import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { loadConfig } from '../src/config/load.ts';
import { ensureImage } from '../src/engines/docker/images/sandbox-image.ts';
import { type Canary, startCanary } from './support/canary.ts';
import { engine } from './support/engine-access.ts';

const SOURCE = new URL('../sandbox-image/', import.meta.url);

/** The runner, the modules for code, and their tests, by path. */
function readSources(): Record<string, string> {
  const paths = ['runner', 'site-packages', 'tests'].flatMap((folder) =>
    readdirSync(new URL(folder, SOURCE), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.py'))
      .map((name) => `${folder}/${name}`),
  );
  return Object.fromEntries(paths.map((path) => [path, readFileSync(new URL(path, SOURCE), 'utf8')]));
}

/** Runs modules of the runner's tests in the container. */
async function runTests(canary: Canary, ...modules: string[]) {
  return await canary.python(`
import json, os, subprocess, sys
for path, text in json.loads(${JSON.stringify(JSON.stringify(readSources()))}).items():
    os.makedirs(os.path.dirname('/tmp/source/' + path), exist_ok=True)
    open('/tmp/source/' + path, 'w').write(text)
command = [sys.executable, '-m', 'unittest', '-v', *${JSON.stringify(modules)}]
sys.exit(subprocess.run(command, cwd='/tmp/source/tests').returncode)
`);
}

it.each([
  ['the runner', 'test_runner', 'test_own_modules'],
  ['waiting processes, streams and memory', 'test_standby', 'test_streams', 'test_memory_kills', 'test_packages'],
  ['the channel, attaching and surviving', 'test_channel', 'test_attach', 'test_survival'],
  ['rich results', 'test_results', 'test_kept_results'],
  ['contexts', 'test_context'],
  ['cells', 'test_cells', 'test_web'],
  ['file operations', 'test_files', 'test_folders', 'test_bundles', 'test_preconditions'],
  ['locales', 'test_locales'],
  ['archives', 'test_archives'],
  ['what gVisor needs', 'test_gvisor'],
  ['tools', 'test_tools_calls', 'test_tools_arguments', 'test_tools_values'],
  ['tools in programs', 'test_tools_runs'],
  ['commands', 'test_commands'],
  ['shells that stay', 'test_shell'],
  ['terminals', 'test_terminal'],
])('the tests of %s pass inside a sealed container', { timeout: 240_000 }, async (_what, ...modules) => {
  await using canary = await startCanary({ pids: 128 });
  const { exitCode, stderr } = await runTests(canary, ...modules);
  expect(stderr).toContain('\nOK');
  expect(stderr).not.toContain('skipped');
  expect(exitCode).toBe(0);
});

it('tables and pictures are shown as results, and loaded modules are shared, in the image with data packages', {
  timeout: 480_000,
}, async () => {
  const { docker } = await engine();
  const image = await ensureImage(docker, { ...loadConfig(), image: 'data' }, (line) =>
    process.stderr.write(`${line}\n`),
  );
  await using canary = await startCanary({ image, memoryMb: 1024, pids: 128 });
  const { exitCode, stderr } = await runTests(
    canary,
    'test_libraries',
    'test_figures',
    'test_displays',
    'test_preload',
    'test_expected',
    'test_locales',
  );
  expect(stderr).toContain('\nOK');
  // What users install is tested where it is installed.
  expect(stderr).not.toMatch(/skipped '(?!needs (IPython|altair|bokeh|great_tables|holoviews|plotly|vl_convert)')/);
  expect(exitCode).toBe(0);
});
