import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { replaceFile } from './replace-file.ts';

function folder(): string {
  const directory = mkdtempSync(join(tmpdir(), 'glovebox-replace-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return directory;
}

test('a file is replaced for its owner alone, also over what a crash left', () => {
  const path = join(folder(), 'record');
  writeFileSync(`${path}.new`, '{"half');
  replaceFile(path, 'one');
  replaceFile(path, 'two', { flush: true });
  expect(readFileSync(path, 'utf8')).toBe('two');
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(join(path, '..'))).toEqual(['record']);
});

test('a file of which a part alone can be written does not replace the one before', async () => {
  const path = join(folder(), 'record');
  writeFileSync(path, 'before');
  const program = `
    // Without it the system ends a program that reaches the limit.
    process.on('SIGXFSZ', () => {});
    const { replaceFile } = await import(${JSON.stringify(new URL('./replace-file.ts', import.meta.url))});
    try { replaceFile(${JSON.stringify(path)}, 'x'.repeat(3000)); } catch ({ code }) { console.log(code); }
  `;
  // Blocks of 512 bytes, or of 1024 in some shells.
  const limited = 'ulimit -f 1; exec "$0" --input-type=module --eval "$1"';
  const { stdout } = await promisify(execFile)('sh', ['-c', limited, process.execPath, program]);
  expect(stdout).toBe('EFBIG\n');
  expect(readFileSync(path, 'utf8')).toBe('before');
  expect(readdirSync(join(path, '..'))).toEqual(['record']);
});
