import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FORMATS } from './formats/index.ts';
import { type Written, writeEntry } from './write.ts';

const ENTRY = { command: 'node' };
let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'glovebox-config-'));
  file = join(folder, 'mcp.json');
});
afterEach(() => rmSync(folder, { recursive: true }));

function write(path = file, { force = false, entry = ENTRY } = {}): Written {
  return writeEntry({ file: path, format: FORMATS.json, path: ['servers', 'glovebox'] }, entry, { force });
}

const read = (name: string) => readFileSync(join(folder, name), 'utf8');

describe('writing the configuration of a client', () => {
  it('makes the file with its folders, for its owner alone', () => {
    const path = join(folder, 'a', 'b', 'mcp.json');
    expect(write(path)).toEqual({ outcome: 'added', file: path });
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({ servers: { glovebox: ENTRY } });
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('keeps the rights of the file, and each state that it had, under names that are free', () => {
    writeFileSync(file, '{}');
    chmodSync(file, 0o664);
    expect(write().backup).toBe(`${file}.before-glovebox`);
    const second = write(file, { force: true, entry: { command: 'other' } });
    expect(second).toEqual({ outcome: 'replaced', file, backup: `${file}.before-glovebox-2` });
    expect(read('mcp.json.before-glovebox')).toBe('{}');
    expect(read('mcp.json.before-glovebox-2')).toContain('"node"');
    expect(read('mcp.json')).toContain('"other"');
    expect(statSync(file).mode & 0o777).toBe(0o664);
  });

  it('writes nothing if the entry is there, or another of its name that is to be kept', () => {
    writeFileSync(file, '{"servers":{"glovebox":{"command":"node"}}}');
    expect(write().outcome).toBe('same');
    writeFileSync(file, '{"servers":{"glovebox":{"command":"mine"}}}');
    expect(write().outcome).toBe('kept');
    expect(readdirSync(folder)).toEqual(['mcp.json']);
  });

  it('follows a link, and leaves it a link', () => {
    writeFileSync(join(folder, 'dotfiles.json'), '{}');
    symlinkSync('dotfiles.json', file);
    expect(write().file).toBe(join(folder, 'dotfiles.json'));
    expect(read('dotfiles.json')).toContain('glovebox');
    expect(statSync(file).ino).toBe(statSync(join(folder, 'dotfiles.json')).ino);
  });

  it.each([
    ['is broken', Buffer.from('{"a" 1}'), /mcp\.json:1:6 is broken: Colon expected\./],
    ['is no UTF-8', Buffer.from('{"ä": 1}', 'utf16le').subarray(1), /is no text in UTF-8/],
  ])('leaves a file that %s as it is', (_what, bytes, message) => {
    writeFileSync(file, bytes);
    expect(() => write()).toThrow(message);
    expect(readFileSync(file)).toEqual(bytes);
    expect(readdirSync(folder)).toEqual(['mcp.json']);
  });

  it('says which file cannot be read or written', () => {
    expect(() => write(folder)).toThrow(`${folder} cannot be read and written: EISDIR`);
    writeFileSync(file, '{}');
    expect(() => write(join(file, 'mcp.json'))).toThrow(/mcp\.json cannot be read and written: ENOTDIR/);
  });
});
