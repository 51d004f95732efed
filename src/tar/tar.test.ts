import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setImmediate } from 'node:timers/promises';
import { type Header, pack } from 'tar-stream';
import { describe, expect, test } from 'vitest';
import type { ArchivedEntry, ArchiveEntry } from './entry.ts';
import { decodeName } from './names.ts';
import { readTar } from './reader.ts';
import { writeTar } from './writer.ts';

const LIMITS = { maxEntries: 100, maxBytes: 10_000_000 };

/** What a tar is read as, in pieces of a size that no block has; `pause` goes before each file in it. */
async function read(tar: Buffer, limits = LIMITS, { pieceBytes = 777, pause = async () => {} } = {}) {
  const pieces = function* () {
    for (let at = 0; at < tar.length; at += pieceBytes) yield tar.subarray(at, at + pieceBytes);
  };
  const found: (Partial<ArchiveEntry> & { content: string })[] = [];
  for await (const { entry, body } of readTar(Readable.from(pieces()), limits)) {
    await pause();
    found.push({ ...entry, content: (await buffer(body)).toString() });
  }
  return found;
}

async function tarOf(...entries: (Partial<Header> & { name: string; content?: string })[]): Promise<Buffer> {
  const archive = pack();
  for (const { content = '', ...headers } of entries) archive.entry(headers, content);
  archive.finalize();
  return await buffer(Readable.from(archive));
}

async function written(...entries: [ArchiveEntry, string][]): Promise<Buffer> {
  async function* all(): AsyncGenerator<ArchivedEntry> {
    for (const [entry, content] of entries) yield { entry, body: Readable.from([Buffer.from(content)]) };
  }
  return await buffer(writeTar(all()));
}

const file = (path: string, content: string): [ArchiveEntry, string] => [
  { path, type: 'file', size: Buffer.byteLength(content), mode: 0o640, modifiedMs: 1_700_000_000_000 },
  content,
];

describe('a tar', () => {
  test.each([['ustar'], ['gnu'], ['pax'], ['v7']])('as GNU tar makes it (%s) is read whole', async (format) => {
    const script =
      'cd "$(mktemp -d)"; mkdir -p a/b; printf 1234 > a/b/c; chmod 750 a/b/c; ln -s b/c a/l; touch -d @1700000000 a/b/c; tar -c --format="$0" .';
    const tar = execFileSync('sh', ['-c', script, format]);
    const found = await read(tar);
    expect(found.map(({ path }) => path).sort()).toEqual(['a', 'a/b', 'a/b/c', 'a/l']);
    expect(found.find(({ path }) => path === 'a/b/c')).toMatchObject({
      type: 'file',
      size: 4,
      mode: 0o750,
      modifiedMs: 1_700_000_000_000,
      content: '1234',
    });
    expect(found.find(({ path }) => path === 'a/l')).toMatchObject({ type: 'link', target: 'b/c' });
  });

  test.each([['gnu'], ['pax']])('has long names (%s)', async (format) => {
    const script =
      'cd "$(mktemp -d)"; d=$(printf "x%.0s" $(seq 250)); mkdir "$d"; printf 1 > "$d/$d"; ln -s "$d" l; tar -c --format="$0" "$d" l';
    const name = 'x'.repeat(250);
    const found = await read(execFileSync('sh', ['-c', script, format]));
    expect(found.map(({ path }) => path)).toEqual([name, `${name}/${name}`, 'l']);
    expect(found[2]?.target).toBe(name);
  });

  test('that was written is read as it was, by GNU tar as well', async () => {
    const entries = [
      file('a/é 😀\n', 'one'),
      file(`${'y'.repeat(255)}/${'z'.repeat(255)}`, ''),
      file('large', 'x'.repeat(100_000)),
    ];
    const link: ArchiveEntry = { path: 'a/l', type: 'link', size: 0, mode: 0o777, modifiedMs: 0, target: '../large' };
    const folder: ArchiveEntry = { path: 'a', type: 'directory', size: 0, mode: 0o755, modifiedMs: 0 };
    const tar = await written([folder, ''], ...entries, [link, '']);
    const found = await read(tar);
    expect(found).toEqual([
      { ...folder, content: '' },
      ...entries.map(([entry, content]) => ({ ...entry, content })),
      { ...link, content: '' },
    ]);
    const listed = execFileSync('tar', ['-t', '--quoting-style=literal'], { input: tar }).toString();
    expect(listed).toBe(`a/\na/é 😀\n\n${'y'.repeat(255)}/${'z'.repeat(255)}\nlarge\na/l\n`);
  });

  test.each(['BZhang.txt', 'Rar!\x1a', 'PK\x03\x04'])(
    'was taken for a compressed file when its first name began like one: %j',
    async (path) => {
      const found = await read(await written(file(path, '1')));
      expect(found).toMatchObject([{ path, content: '1' }]);
    },
  );

  test('is read without taking a file at all', async () => {
    const tar = await tarOf({ name: 'a', content: 'x'.repeat(2000) }, { name: 'b', content: 'y' });
    const paths: string[] = [];
    for await (const { entry } of readTar(Readable.from([tar]), LIMITS)) paths.push(entry.path);
    expect(paths).toEqual(['a', 'b']);
  });
});

/** What a script makes of a folder of files, links and holes, as a tar on stdout. */
function made(script: string, cwd = mkdtempSync(join(tmpdir(), 'tar-'))): Buffer {
  const setup = `
mkdir -p a/b; printf 1234 > a/b/c; chmod 750 a; touch -d @1700000000 a/b/c a/b; chmod 700 a/b; ln a/b/c a/hard
ln -s b/c a/l; ln -P a/l a/l2; truncate -s 3M holes; printf data | dd of=holes bs=1 seek=1M conv=notrunc 2>/dev/null
printf end | dd of=holes bs=1 seek=2M conv=notrunc 2>/dev/null; : > empty; truncate -s 1M allhole`;
  try {
    return execFileSync('sh', ['-c', `${setup}\n${script}`], { cwd, maxBuffer: 2 ** 26 });
  } finally {
    rmSync(cwd, { recursive: true });
  }
}

const HOLES = Buffer.alloc(3 * 2 ** 20);
HOLES.write('data', 2 ** 20);
HOLES.write('end', 2 ** 21);

describe('holes, hard links and folders are taken', () => {
  test.each([
    ['GNU tar, gnu', 'tar -S --format=gnu -c a holes empty allhole'],
    ['GNU tar, pax 0.0', 'tar -S --format=pax --sparse-version=0.0 -c a holes empty allhole'],
    ['GNU tar, pax 0.1', 'tar -S --format=pax --sparse-version=0.1 -c a holes empty allhole'],
    ['GNU tar, pax 1.0', 'tar -S --format=pax --sparse-version=1.0 -c a holes empty allhole'],
    ['GNU tar, incremental', 'tar -S -g ../$$.list -c a holes empty allhole; rm ../$$.list'],
    ['GNU tar, v7', 'tar --format=v7 -c a holes empty allhole'],
    ['GNU tar, gzip', 'tar -S -cz a holes empty allhole'],
    [
      'GNU tar, two in one',
      'tar -S -cf ../$$.tar a; tar -S -cf ../$$.2.tar holes empty allhole; cat ../$$.tar ../$$.2.tar; rm ../$$.*',
    ],
    [
      'Python, pax',
      `python3 -c 'import sys, tarfile; t = tarfile.open(fileobj=sys.stdout.buffer, mode="w|"); [t.add(n) for n in ("a", "holes", "empty", "allhole")]; t.close()'`,
    ],
    [
      'Python, gzip',
      `python3 -c 'import sys, tarfile; t = tarfile.open(fileobj=sys.stdout.buffer, mode="w|gz", format=tarfile.GNU_FORMAT); [t.add(n) for n in ("a", "holes", "empty", "allhole")]; t.close()'`,
    ],
  ])('as %s makes them', async (_tool, script) => {
    const found = new Map((await read(made(script))).map((entry) => [entry.path, entry]));
    expect([...found.keys()].sort()).toEqual([
      'a',
      'a/b',
      'a/b/c',
      'a/hard',
      'a/l',
      'a/l2',
      'allhole',
      'empty',
      'holes',
    ]);
    expect(found.get('a')).toMatchObject({ type: 'directory', mode: 0o750 });
    expect(found.get('a/b')).toMatchObject({ type: 'directory', mode: 0o700, modifiedMs: 1_700_000_000_000 });
    const [first, second] = [...found.values()].filter(({ path }) => path === 'a/b/c' || path === 'a/hard');
    expect(first).toMatchObject({ type: 'file', content: '1234' });
    expect(second).toMatchObject({ type: 'hard', target: first?.path, size: 0 });
    for (const path of ['a/l', 'a/l2']) expect(found.get(path)).toMatchObject({ type: 'link', target: 'b/c' });
    expect(found.get('holes')?.size).toBe(HOLES.length);
    expect(Buffer.from(found.get('holes')?.content ?? '').equals(HOLES)).toBe(true);
    expect(found.get('allhole')).toMatchObject({ size: 2 ** 20, content: '\0'.repeat(2 ** 20) });
  });

  test('as old programs write them, by the slash at the end of their names', async () => {
    const tar = await written(
      [{ path: 'a', type: 'directory', size: 0, mode: 0o755, modifiedMs: 0 }, ''],
      file('a/b', 'x'),
    );
    tar.write('0', 156);
    tar.write(sum(tar), 148);
    expect(await read(tar)).toMatchObject([
      { path: 'a', type: 'directory' },
      { path: 'a/b', type: 'file' },
    ]);
  });
});

/** The checksum of the first header. */
function sum(tar: Buffer): string {
  const header = Buffer.from(tar.subarray(0, 512)).fill(' ', 148, 156);
  return `${header
    .reduce((all, byte) => all + byte, 0)
    .toString(8)
    .padStart(6, '0')}\0 `;
}

describe('names that are not UTF-8 are kept byte for byte', () => {
  const names = [
    Buffer.from('cffa2e747874', 'hex'),
    Buffer.from('cadb2e747874', 'hex'),
    Buffer.from(`${'c3a9'.repeat(60)}ff`, 'hex'),
  ];
  const paths = names.map(decodeName);

  test.each(['gnu', 'pax', 'v7', 'ustar'])('by GNU tar (%s)', async (format) => {
    const short = names.slice(0, format === 'gnu' || format === 'pax' ? 3 : 2);
    const script = short.map(
      (name) => `: > "$(printf '${[...name].map((byte) => `\\${byte.toString(8)}`).join('')}')"`,
    );
    const tar = made(`mkdir d; cd d; ${script.join(';')}; tar -c --format=${format} *`);
    expect((await read(tar)).map(({ path }) => path).sort()).toEqual(paths.slice(0, short.length).sort());
  });

  test('in what is written, too', async () => {
    const tar = await written(...paths.map((path) => file(path, path)), [
      { ...file('l', '')[0], type: 'link', target: paths[0] ?? '' },
      '',
    ]);
    const found = await read(tar);
    expect(found.map(({ path }) => path)).toEqual([...paths, 'l']);
    expect(found[3]?.target).toBe(paths[0]);
    const listed = execFileSync('tar', ['-t', '--quoting-style=literal'], { input: tar });
    expect(listed.toString('hex')).toBe(
      [...names, Buffer.from('l')].map((name) => `${name.toString('hex')}0a`).join(''),
    );
  });
});

describe('an archive is refused', () => {
  test.each<[string, Partial<Header> & { name: string }]>([
    ['".." in its path', { name: '../x' }],
    ['".." in its path', { name: 'a/../../x' }],
    ['an absolute path', { name: '/etc/passwd' }],
    ['a name that is too long', { name: 'x'.repeat(256) }],
    ['a path that is too long', { name: 'x/'.repeat(2500) }],
    ['folders deep', { name: `${'x/'.repeat(100)}x` }],
    ['hard link', { name: 'x', type: 'link', linkname: '/etc/passwd' }],
    ['hard link', { name: 'x', type: 'link', linkname: '../before' }],
    ['hard link', { name: 'x', type: 'link', linkname: 'after' }],
    ['device', { name: 'x', type: 'character-device', devmajor: 1, devminor: 3 }],
    ['device', { name: 'x', type: 'block-device' }],
    ['FIFO', { name: 'x', type: 'fifo' }],
    ['leads out', { name: 'x', type: 'symlink', linkname: '/' }],
    ['leads out', { name: 'x', type: 'symlink', linkname: '..' }],
    ['leads out', { name: 'a/x', type: 'symlink', linkname: '../..' }],
    ['leads out', { name: 'a/x', type: 'symlink', linkname: 'b/../../..' }],
  ])('for %s', async (why, headers) => {
    await expect(read(await tarOf({ name: 'before' }, headers))).rejects.toThrow(why);
  });

  test.each([
    ['compressed as xz', () => made('tar -cJ a')],
    ['compressed as bzip2', () => Buffer.from('BZh91AY&SY')],
    ['compressed as zip', () => Buffer.from('504b030414000000', 'hex')],
    ['gzip data is damaged', () => made('tar -cz a').fill('x', 40, 60)],
    ['gzip data is damaged or incomplete', () => made('tar -cz a').subarray(0, 100)],
    ['not a tar', () => Buffer.from('<html>'.repeat(200))],
    ['ends too early', () => Buffer.alloc(0)],
  ])('that is %s', async (why, tar) => {
    await expect(read(tar())).rejects.toMatchObject({ code: 'invalid_input', message: expect.stringContaining(why) });
  });

  test('for a sparse file of 1 TiB, and for a gzip that unpacks to more than there is room for', async () => {
    const limits = { maxEntries: 100, maxBytes: 2 ** 20 };
    for (const form of ['gnu', 'pax --sparse-version=0.0', 'pax --sparse-version=0.1', 'pax --sparse-version=1.0']) {
      const tar = made(`truncate -s 1T huge; tar -S --format=${form} -c huge`);
      await expect(read(tar, limits)).rejects.toMatchObject({ code: 'payload_too_large' });
    }
    const bomb = made('truncate -s 20M x; tar -cz x');
    await expect(read(bomb, limits)).rejects.toMatchObject({ code: 'payload_too_large' });
    const nothing = made('truncate -s 80M zeros; gzip -c zeros');
    await expect(read(nothing, limits)).rejects.toMatchObject({ code: 'invalid_input' });
  });

  test.each([
    ['overlap', [0, 4, 2, 2]],
    ['lie behind its end', [4096, 4]],
    ['are more than are stored', [0, 100]],
    ['are fewer than are stored', [0, 1]],
  ])('for a sparse file whose parts %s', async (_what, map) => {
    const sparse = { 'GNU.sparse.size': '4096', 'GNU.sparse.map': map.join() };
    const tar = await tarOf({ name: 'x', content: 'data', pax: sparse });
    await expect(read(tar)).rejects.toThrow('inconsistent map');
  });

  test('for a file below what is a link', async () => {
    const link = { name: 'a', type: 'symlink', linkname: 'b' } as const;
    await expect(read(await tarOf({ name: 'b', type: 'directory' }, link, { name: 'a/x' }))).rejects.toThrow(
      '"a" is a link and a directory',
    );
    await expect(read(await tarOf({ name: 'a/x' }, link))).rejects.toThrow('"a" is a directory and a link');
  });

  test('for more than it may hold', async () => {
    const tar = await tarOf({ name: 'a', content: '1234' }, { name: 'b', content: '5' });
    await expect(read(tar, { maxEntries: 1, maxBytes: 100 })).rejects.toMatchObject({ code: 'payload_too_large' });
    await expect(read(tar, { maxEntries: 2, maxBytes: 4 })).rejects.toMatchObject({ code: 'payload_too_large' });
    expect(await read(tar, { maxEntries: 2, maxBytes: 5 })).toHaveLength(2);
  });

  test.each([
    ['at once', async () => {}],
    ['later', () => setImmediate()],
  ])('wherever it breaks off, if its files are read %s', async (_when, pause) => {
    const tar = await tarOf(
      { name: 'x'.repeat(200), content: 'y'.repeat(600) },
      { name: 'b', content: 'z'.repeat(600) },
    );
    const message = 'This is not a tar that can be read: it ends too early.';
    for (let end = 0; end < tar.length; end += 50) {
      for (const pieceBytes of [100, 777, tar.length]) {
        const reading = read(tar.subarray(0, end), LIMITS, { pieceBytes, pause });
        await expect(reading, `${end} bytes`).rejects.toMatchObject({ code: 'invalid_input', message });
      }
    }
  });

  test('with what its source threw, to whoever reads a file in it', async () => {
    const tar = await tarOf({ name: 'a', content: 'y'.repeat(2000) });
    const failure = new Error('gone');
    async function* broken() {
      yield tar.subarray(0, 1000);
      throw failure;
    }
    for await (const { body } of readTar(broken(), LIMITS)) {
      await setImmediate();
      await expect(buffer(body)).rejects.toBe(failure);
      break;
    }
    expect.assertions(1);
  });

  test('whatever byte of its header is not what it was', async () => {
    const tar = await tarOf({ name: 'a', content: '1' });
    for (let at = 0; at < 512; at += 1) {
      // The checksum's own field is more than its digits.
      if (at >= 154 && at < 156) continue;
      const bent = Buffer.from(tar);
      bent[at] = (bent[at] ?? 0) ^ 0x80;
      await expect(read(bent)).rejects.toMatchObject({ code: 'invalid_input' });
    }
  });

  test('without holding a name that is as long as the disk', async () => {
    const tar = await tarOf({ name: 'a', content: '1' });
    tar.write('L', 156);
    tar.write('77777777777', 124);
    let sum = 8 * 32;
    for (let at = 0; at < 512; at += 1) if (at < 148 || at >= 156) sum += tar[at] ?? 0;
    tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    let taken = 0;
    const endless = function* () {
      yield tar.subarray(0, 512);
      for (;;) {
        taken += 1;
        yield Buffer.alloc(65_536);
      }
    };
    const reading = readTar(Readable.from(endless(), { highWaterMark: 1 }), LIMITS).next();
    await expect(reading).rejects.toMatchObject({ code: 'invalid_input' });
    expect(taken).toBeLessThan(5);
  });

  test('when it is something else', async () => {
    await expect(read(Buffer.from('PK\u0003\u0004'.padEnd(2000, 'x')))).rejects.toMatchObject({
      code: 'invalid_input',
    });
    await expect(read(Buffer.alloc(0))).rejects.toThrow('ends too early');
  });
});
