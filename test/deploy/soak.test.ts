import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { runCommand } from '../../src/lib/run-command.ts';

const SOAK = fileURLToPath(new URL('../../soak/run.ts', import.meta.url));
const LIMIT_MS = 300_000;

test('a short soak finds every answer right, and nothing left', { timeout: LIMIT_MS }, async () => {
  const flags = ['--executions', '100', '--sessions', '4', '--seed', '1', '--engine', 'machine'];
  const { code, stdout, stderr } = await runCommand(process.execPath, [SOAK, ...flags], { timeoutMs: LIMIT_MS });
  expect(stdout, stderr).toContain('Every invariant held.');
  expect(code).toBe(0);
});
