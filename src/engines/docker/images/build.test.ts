import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { extract } from 'tar-stream';
import { expect, onTestFinished, test, vi } from 'vitest';
import { lastLines, readProgress, StallGuard } from '../host/progress.ts';
import { chooseNetwork, describeStep } from './build.ts';
import { hashInputs, packContext, readContext } from './build-context.ts';
import { describeDownload } from './pull.ts';

function makeContext(): string {
  const directory = mkdtempSync(join(tmpdir(), 'gbx-context-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  mkdirSync(join(directory, 'runner', '__pycache__'), { recursive: true });
  writeFileSync(join(directory, 'Dockerfile'), 'FROM scratch');
  writeFileSync(join(directory, 'runner', 'b.py'), 'b');
  writeFileSync(join(directory, 'runner', 'a.py'), 'a');
  writeFileSync(join(directory, 'runner', '__pycache__', 'a.pyc'), 'left by a test');
  return directory;
}

test('the hash of a context changes with content and facts, not with times or what Python leaves behind', () => {
  const directory = makeContext();
  const read = () => readContext(['runner', 'Dockerfile'], directory);
  const before = hashInputs(read(), ['slim', 'base']);
  expect(before).toMatch(/^[0-9a-f]{12}$/);
  utimesSync(join(directory, 'Dockerfile'), 1, 1);
  writeFileSync(join(directory, 'runner', '__pycache__', 'b.pyc'), 'more');
  expect(hashInputs(read(), ['slim', 'base'])).toBe(before);
  expect(hashInputs(read(), ['slimb', 'ase'])).not.toBe(before);
  writeFileSync(join(directory, 'runner', 'a.py'), 'A');
  expect(hashInputs(read(), ['slim', 'base'])).not.toBe(before);
});

test('a packed context is the same whatever the modes and times of its files', async () => {
  const entries: string[] = [];
  const archive = packContext(readContext(['runner', 'Dockerfile'], makeContext())).pipe(extract());
  for await (const entry of archive) {
    const { name, mode = 0, mtime } = entry.header;
    entries.push(`${name} ${mode.toString(8)} ${mtime?.getTime()}`);
    entry.resume();
  }
  expect(entries).toEqual(['runner 755 0', 'Dockerfile 644 0', 'runner/a.py 644 0', 'runner/b.py 644 0']);
});

test('reads progress that comes in pieces, and throws what the engine reports as an error', async () => {
  const pieces = ['{"stream":"Step 1/2', ' : FROM x\\n"}\r\n{"str', 'eam":"ok"}\n{"error":"no such thing"}\n', '{}'];
  const seen: unknown[] = [];
  const reading = (async () => {
    for await (const event of readProgress(Readable.from(pieces))) seen.push(event);
  })();
  await expect(reading).rejects.toThrow('no such thing');
  expect(seen).toEqual([{ stream: 'Step 1/2 : FROM x\n' }, { stream: 'ok' }]);
});

test('a build on an engine with remapped users does not ask for the network of the host, which Docker refuses there', () => {
  expect(chooseNetwork({ SecurityOptions: ['name=seccomp,profile=default', 'name=userns'] })).toEqual({});
  expect(chooseNetwork({ SecurityOptions: ['name=seccomp,profile=default', 'name=rootless'] })).toEqual({
    networkmode: 'host',
  });
  expect(chooseNetwork({})).toEqual({ networkmode: 'host' });
});

test('says which step a build is at and which package it fetches, and nothing else', () => {
  expect(describeStep({ stream: 'Step 7/15 : RUN set -eu;     command' })).toBe('step 7/15: RUN set -eu; command');
  expect(describeStep({ stream: 'Collecting numpy==2.4.6 (from -r x)\n' })).toBe('collecting numpy==2.4.6');
  expect(describeStep({ stream: ' ---> 0123456789ab\n' })).toBeUndefined();
});

test('sums the layers of a download in steps of ten per cent', () => {
  const layers = new Map<string, { current: number; total: number }>();
  const download = (id: string, current: number, total: number) =>
    describeDownload(layers, { status: 'Downloading', id, progressDetail: { current, total } });
  expect(download('a', 0, 30e6)).toBe('0% of 30 MB');
  expect(download('b', 10e6, 10e6)).toBe('20% of 40 MB');
  expect(describeDownload(layers, { status: 'Extracting', id: 'a' })).toBeUndefined();
});

test('a stall guard aborts only when nothing is heard', () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  using guard = new StallGuard(60);
  for (let beat = 0; beat < 4; beat += 1) {
    vi.advanceTimersByTime(30);
    guard.touch();
  }
  expect(guard.signal.aborted).toBe(false);
  vi.advanceTimersByTime(60);
  expect(guard.stalled).toBe(true);
});

test('keeps the last lines of foreign output, without colours', () => {
  expect(lastLines('one\n\u001b[31mtwo\u001b[0m\r\n\n three  \n', 2)).toBe('two\n three');
});
