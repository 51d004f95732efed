// What runs each night, one after the other: what takes too long for every change. Ends with 1 if any of it fails.
import { spawnSync } from 'node:child_process';
import { CATALOG } from './engines/catalog.ts';

/** Those in virtual machines, which are emulated and slow. */
const ENGINES = CATALOG.filter(({ isVirtual }) => isVirtual).map(({ name }) => name);
const STEPS = [
  ['fuzz', '--minutes', '5'],
  ['engines', ...ENGINES, '--suites', 'contract,hardening,readme'],
  ['test:kubernetes'],
];

/** Has the tests in a cluster run further outside tests: test/kubernetes/outside.ts. */
// biome-ignore lint/style/noProcessEnv: a test run, not the product
const env = { ...process.env, AT_NIGHT: '1' };

const failed = STEPS.filter(([script, ...args]) => {
  process.stdout.write(`\n== npm run ${[script, ...args].join(' ')}\n`);
  const { status } = spawnSync('npm', ['run', '--silent', script, '--', ...args], { stdio: 'inherit', env });
  return status !== 0;
});
process.stdout.write(failed.length === 0 ? '\nok\n' : `\nfailed: ${failed.map(([script]) => script).join(', ')}\n`);
process.exitCode = failed.length === 0 ? 0 : 1;
