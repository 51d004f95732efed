import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Chain } from './chain.ts';
import { LogFile } from './log-file.ts';
import { filesOf, type VerifyOptions, verifyFiles } from './verify.ts';

let folder: string;
let path: string;
const chain = new Chain();

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'audit-test-'));
  path = join(folder, 'audit.jsonl');
});
afterEach(() => rmSync(folder, { recursive: true }));

function logFile(settings: { maxBytes?: number; maxFiles?: number; chain?: Chain } = {}): LogFile {
  return new LogFile({ path, chain, maxBytes: 1000, maxFiles: 3, isSynced: false, ...settings });
}

/** Writes lines one after the other. */
async function write(from: number, to: number, file = logFile()): Promise<void> {
  await file.open();
  for (let n = from; n <= to; n += 1) await file.append([{ event: 'call', n }]);
  await file.close();
}

async function verify(options: Partial<VerifyOptions> = {}) {
  return await verifyFiles(await filesOf(path), { chain, ...options });
}

function edit(change: (lines: string[]) => string[], file = path): void {
  writeFileSync(file, change(readFileSync(file, 'utf8').split('\n')).join('\n'));
}

it('a chain goes on over files, and a log that has removed its oldest ones says so', async () => {
  await write(1, 12);
  const all = await verify();
  expect(all.broken).toBeUndefined();
  expect(all.first?.seq).toBe(1);
  await write(13, 60);
  const later = await verify();
  expect(later).toMatchObject({ broken: undefined, files: 4 });
  expect(later.first?.seq).toBeGreaterThan(1);
});

it('removed, changed, exchanged and added lines are each found where they are', async () => {
  await write(1, 5);
  const whole = readFileSync(path, 'utf8');
  const cases: [(lines: string[]) => string[], number, RegExp][] = [
    [(lines) => lines.toSpliced(2, 1), 3, /lines 3 to 3 are missing/],
    [(lines) => lines.with(1, (lines[1] ?? '').replace('"n":2', '"n":7')), 2, /not that of its text/],
    [(lines) => lines.toSpliced(1, 0, lines[0] ?? ''), 2, /line 1 of the log, in the place of line 2/],
    [(lines) => lines.toSpliced(3, 0, 'nonsense'), 4, /no line of an audit log/],
    [(lines) => lines.slice(1), 1, /lines 1 to 1 are missing/],
    [(lines) => lines.slice(0, 3).with(2, (lines[2] ?? '').slice(0, 40)), 3, /cut off/],
  ];
  for (const [change, line, why] of cases) {
    writeFileSync(path, whole);
    edit(change);
    const { broken } = await verify();
    expect(broken).toMatchObject({ file: path, line });
    expect(broken?.why).toMatch(why);
  }
});

it('a line that somebody made anew without the lines after it does not fit them', async () => {
  await write(1, 3);
  edit((lines) => {
    const first = chain.read(lines[0] ?? '');
    const forged = chain.seal(first ?? { seq: 0, hash: '' }, { event: 'call', n: 99 }).line.trimEnd();
    return lines.with(1, forged);
  });
  expect((await verify()).broken).toMatchObject({ line: 3, why: 'it does not follow the line before it' });
});

it('a missing file in the middle is found, and so is a missing oldest one that no rotation removed', async () => {
  await write(1, 30);
  const files = await filesOf(path);
  expect(files).toHaveLength(4);
  const [oldest = '', second = ''] = files;
  const content = readFileSync(second);
  rmSync(second);
  expect((await verify()).broken?.why).toMatch(/are missing before it/);
  writeFileSync(second, content);
  expect((await verify()).broken).toBeUndefined();
  rmSync(oldest);
  expect((await verify()).broken?.why).toMatch(/are missing, and the log does not say that they were removed/);
  expect((await verify({ isPart: true })).broken).toBeUndefined();
});

it('a missing end is found by the hash of a line that was there', async () => {
  await write(1, 5);
  const { last } = await verify();
  edit((lines) => [...lines.slice(0, 3), '']);
  const cut = await verify({ holds: last?.hash });
  expect(cut).toMatchObject({ broken: undefined, holds: false });
});

it('lines that are made without the key are found with it', async () => {
  const keyed = new Chain(Buffer.alloc(32, 1));
  await write(1, 2, logFile({ chain: keyed }));
  expect((await verify({ chain: keyed })).broken).toBeUndefined();
  const link = keyed.read(readFileSync(path, 'utf8').split('\n')[1] ?? '');
  appendFileSync(path, chain.seal(link ?? { seq: 0, hash: '' }, { event: 'call' }).line);
  expect((await verify({ chain: keyed })).broken).toMatchObject({ line: 3 });
});

it('half a line at the end is cut off, and the log says how much', async () => {
  await write(1, 2);
  appendFileSync(path, '{"seq":3,"event":"ca');
  const file = logFile();
  const found = await file.open();
  expect(found).toMatchObject({ after: 'crash', cut_bytes: 20 });
  await file.append([{ event: 'start', ...found }]);
  await file.close();
  expect((await verify()).broken).toBeUndefined();
});

it('a log that is moved away goes on in a new file', async () => {
  await write(1, 2);
  const file = logFile({ maxBytes: 1_000_000 });
  await file.open();
  rmSync(path);
  await file.append([{ event: 'call' }]);
  await expect
    .poll(
      async () => {
        await file.append([{ event: 'call' }]);
        return existsSync(path) ? readFileSync(path, 'utf8') : '';
      },
      { timeout: 5000 },
    )
    .toContain('"reopened"');
  await file.close();
  expect((await verify()).broken?.why).toMatch(/lines 1 to \d+ are missing/);
});

it('a log of a crash between the two steps of a rotation goes on', async () => {
  await write(1, 30);
  rmSync(path);
  await write(31, 31);
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  expect(lines).toHaveLength(1);
  const earlier = chain.read(readFileSync(`${path}.1`, 'utf8').trimEnd().split('\n').at(-1) ?? '');
  expect(chain.read(lines[0] ?? '')?.previous).toBe(earlier?.hash);
});
