import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeWheel } from '../support/distributions.ts';
import { IndexServer } from '../support/index-server.ts';
import { CLI, runShell, type Server, startServer } from '../support/server.ts';

/** The lines of README's first ten minutes, in the order in which a person types them. */
const LINES = (
  /## The first ten minutes\n(.*?)\n## /s.exec(
    readFileSync(new URL('../../README.md', import.meta.url), 'utf8'),
  )?.[1] ?? ''
)
  .split('\n')
  .filter((line) => /^(curl|echo|npx) /.test(line));

/** What an answer has in it, by what the line has in it. */
const ANSWERS: readonly (readonly [line: string, answer: string])[] = [
  ['Hello from MCP', '"stdout":"Hello from MCP!\\n"'],
  ['Count: ', 'Count: 4'],
  ['x * 7', '42'],
  ['"cowsay"', '"cowsay"'],
  ['cowsay.cow', 'sealed'],
  ['-T data.csv', '"path":"data.csv"'],
  ['/health', '"status":"ok"'],
  ['/tools', 'execute_python'],
  ['list_installed_packages', '"cowsay"'],
  ['run sum.py', '45'],
];

let index: IndexServer;
let server: Server;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'glovebox-readme-'));
  index = await IndexServer.start();
  index.add(makeWheel('cowsay', '6.1', { files: { 'cowsay/__init__.py': 'cow = print\n' } }));
  server = await startServer({ env: { GLOVEBOX_INDEX_URL: index.url, GLOVEBOX_CACHE_DIR: join(folder, 'cache') } });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await index[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

test('README has lines to try', () => {
  expect(LINES.length).toBeGreaterThan(10);
});

test.each(LINES)('%s', async (line) => {
  const here = line
    .replace('localhost:8000', `localhost:${server.port}`)
    .replace(/^curl/, 'curl -sS')
    .replace(/^npx glovebox/, `GLOVEBOX_PORT=${server.port} ${process.execPath} ${CLI}`);
  const { code, stdout, stderr } = await runShell(`cd ${folder} && ${here}`);
  expect([code, stderr]).toEqual([0, '']);
  const [, answer = ''] = ANSWERS.find(([part]) => line.includes(part)) ?? [];
  expect(stdout).toContain(answer);
});
