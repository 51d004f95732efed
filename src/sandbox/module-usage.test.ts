import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createLog, type Log } from '../log.ts';
import { ModuleUsage } from './module-usage.ts';
import { UsageFile } from './usage-file.ts';

const PANDAS = { modules: ['pandas', 'numpy'], context: false };
const modulesOf = (usage: ModuleUsage) => [...usage.wanted.modules];

function beginSessions(usage: ModuleUsage, count: number): void {
  for (let begun = 0; begun < count; begun += 1) usage.beginSession();
}

describe('what sessions used of late', () => {
  test('is expected of the next one after one use, in the order of the imports', () => {
    const usage = new ModuleUsage();
    expect(usage.wanted).toEqual({ modules: new Set(), context: false });
    usage.count(PANDAS);
    expect(modulesOf(usage)).toEqual(['pandas', 'numpy']);
    usage.count({ modules: [], context: true });
    expect(usage.wanted.context).toBe(true);
  });

  test('is forgotten slowly, the more slowly the more sessions used it', () => {
    const usage = new ModuleUsage();
    usage.count(PANDAS);
    usage.count({ modules: ['numpy'], context: true });
    beginSessions(usage, 20);
    expect(modulesOf(usage)).toEqual(['numpy', 'pandas']);
    beginSessions(usage, 1);
    expect(modulesOf(usage)).toEqual(['numpy']);
    expect(usage.wanted.context).toBe(false);
    for (let uses = 0; uses < 1000; uses += 1) usage.count(PANDAS);
    beginSessions(usage, 62);
    expect(modulesOf(usage)).toEqual([]);
  });

  test('is the same object until it changes, so that a sandbox is not asked again', () => {
    const usage = new ModuleUsage();
    usage.count(PANDAS);
    const { wanted } = usage;
    usage.beginSession();
    usage.count(PANDAS);
    expect(usage.wanted).toBe(wanted);
    usage.refuse('numpy');
    expect(modulesOf(usage)).toEqual(['pandas']);
  });

  test('takes no more names, and no others, than modules can have', () => {
    const usage = new ModuleUsage();
    usage.count({ modules: ['os; import this', '../x', '', 'a'.repeat(200), '__proto__'], context: false });
    expect(modulesOf(usage)).toEqual(['__proto__']);
    for (let at = 0; at < 3000; at += 1) usage.count({ modules: [`made_up_${at}`], context: false });
    expect(Object.keys(usage.record.modules).length).toBeLessThanOrEqual(2000);
    expect(usage.wanted.modules.size).toBe(500);
  });
});

describe('the file of it', () => {
  let directory: string;
  let warnings: string[];
  let log: Log;
  const path = () => join(directory, 'usage', 'modules.json');
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'glovebox-usage-'));
    warnings = [];
    const silent = createLog('error');
    log = { ...silent, warn: (message) => void warnings.push(message) };
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  function write(image: string): void {
    const file = new UsageFile(path(), image, log);
    file.usage.count(PANDAS);
    file.saveSoon();
    file.save();
  }

  test('brings it back after a restart, for each image', () => {
    write('data');
    write('own');
    expect(modulesOf(new UsageFile(path(), 'data', log).usage)).toEqual(['pandas', 'numpy']);
    expect(modulesOf(new UsageFile(path(), 'own', log).usage)).toEqual(['pandas', 'numpy']);
    expect(modulesOf(new UsageFile(path(), 'slim', log).usage)).toEqual([]);
    expect(warnings).toEqual([]);
  });

  test.each(['', '{"images":', '{"images":{"data":{"modules":{"os; x":1},"contexts":0}}}', '[]'])(
    'begins anew, and says so, when it is damaged: %s',
    (content) => {
      write('data');
      writeFileSync(path(), content);
      const file = new UsageFile(path(), 'data', log);
      expect(modulesOf(file.usage)).toEqual([]);
      expect(warnings).toEqual(['the record of what sessions import is damaged, and begins anew']);
      file.usage.count(PANDAS);
      file.saveSoon();
      file.save();
      expect(JSON.parse(readFileSync(path(), 'utf8'))).toEqual({
        images: { data: { modules: { pandas: 1, numpy: 1 }, contexts: 0 } },
      });
    },
  );

  test('is not written when nothing was used', () => {
    new UsageFile(path(), 'data', log).save();
    expect(() => readFileSync(path())).toThrow('ENOENT');
  });

  test('a directory that cannot be written is told, and nothing else fails', () => {
    writeFileSync(join(directory, 'usage'), '');
    const file = new UsageFile(path(), 'data', log);
    file.saveSoon();
    file.save();
    expect(warnings.at(-1)).toBe('what sessions import could not be written down');
  });
});
