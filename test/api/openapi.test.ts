import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openSession } from '../support/rest-client.ts';
import { newStateDir, type Server, startServer } from '../support/server.ts';

const LINTERS = ['@redocly/cli@2.77.0', '@stoplight/spectral-cli@6.16.3'];
const FUZZER = 'schemathesis==4.32.5';
/** Seconds that the fuzzer goes on at most. */
const FUZZING_S = 45;
/**
 * Left out: whether all that the description does not promise is refused, for arguments are read with leniency,
 * and whether all that it allows succeeds, for it cannot say which files there are.
 */
const NOT_CHECKED = 'negative_data_rejection,positive_data_acceptance';
const SETUP_MS = 240_000;

let server: Server;
let folder: string;
beforeAll(async () => {
  server = await startServer({
    env: {
      GLOVEBOX_POOL_SIZE: '1',
      GLOVEBOX_EXEC_TIMEOUT_S: '2',
      GLOVEBOX_MAX_TIMEOUT_S: '3',
      GLOVEBOX_MAX_SESSIONS: '6',
      GLOVEBOX_DISK_MB: '64',
    },
  });
  folder = newStateDir();
  const api = await (await fetch(`${server.url}/openapi.json`)).text();
  writeFileSync(join(folder, 'openapi.json'), api);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

/** What a program says, be it that it succeeds or not. */
async function run(command: string, args: readonly string[]): Promise<{ code: number; said: string }> {
  const options = { cwd: folder, maxBuffer: 2 ** 26 };
  try {
    const { stdout, stderr } = await promisify(execFile)(command, [...args], options);
    return { code: 0, said: stdout + stderr };
  } catch (thrown) {
    const { code, stdout, stderr, message } = thrown as Error & { code: number; stdout?: string; stderr?: string };
    return { code, said: stdout === undefined ? message : stdout + stderr };
  }
}

/** A Python environment with the fuzzer; on Debian and Ubuntu its means are installed if need be. */
async function installFuzzer(): Promise<string> {
  const venv = join(folder, 'venv');
  const make = () => run('python3', ['-m', 'venv', venv]);
  if ((await make()).code !== 0) await run('apt-get', ['install', '-y', 'python3-venv']);
  const made = await make();
  expect(made).toMatchObject({ code: 0 });
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', FUZZER];
  expect(await run(join(venv, 'bin/python'), pip)).toMatchObject({ code: 0 });
  return join(venv, 'bin/schemathesis');
}

/** A WebSocket succeeds with 101, which the linter does not count as a success. */
const RULES = `extends: ["spectral:oas"]
overrides:
  - files: ["*.json#/paths/~1sessions~1%7Bid%7D~1terminals~1%7Bterminal%7D~1attach/get/responses"]
    rules:
      operation-success-response: "off"
`;

test('the description of the API passes the common linters without error or warning', {
  timeout: SETUP_MS,
}, async () => {
  mkdirSync(join(folder, 'node_modules'));
  writeFileSync(join(folder, '.spectral.yaml'), RULES);
  const npm = ['install', '--no-audit', '--no-fund', '--no-save', '--ignore-scripts', '--prefix', folder];
  expect(await run('npm', [...npm, ...LINTERS])).toMatchObject({ code: 0 });
  const bin = (name: string) => join(folder, 'node_modules', '.bin', name);
  const redocly = await run(process.execPath, [bin('redocly'), 'lint', 'openapi.json', '--format=json']);
  expect(redocly.said).toMatch(/"totals":\s*{\s*"errors":\s*0,\s*"warnings":\s*0,/);
  const spectral = await run(process.execPath, [bin('spectral'), 'lint', 'openapi.json', '--fail-severity=hint']);
  expect(spectral).toMatchObject({ code: 0, said: expect.stringContaining('No results') });
});

test('a fuzzer that is driven by the description finds no answer that it does not describe, and no 5xx', {
  timeout: SETUP_MS + 2 * FUZZING_S * 1000,
}, async () => {
  await openSession(server, '0'); // The first name that it thinks of.
  const fuzzer = await installFuzzer();
  const { code, said } = await run(fuzzer, [
    'run',
    `${server.url}/openapi.json`,
    ...['--no-color', '--seed', '1', '--max-examples', '8', '--max-time', String(FUZZING_S), '--request-timeout', '60'],
    ...['--phases', 'coverage,fuzzing', '--exclude-checks', NOT_CHECKED, '--suppress-health-check', 'all'],
    ...['--continue-on-failure', '--max-failures', '10'],
    ...['--exclude-operation-id', 'unpackWorkspace'], // It makes no tars.
  ]);
  expect(said).toContain('Test Phases:');
  // What it found stands at the end of what it says.
  expect(code === 0 ? '' : said.slice(-20_000)).toBe('');
});
