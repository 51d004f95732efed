import { describe, expect, test } from 'vitest';
import { pathWithin } from './local-files.ts';
import { pictureOf, showOnTerminal } from './pictures.ts';
import { readMemory, readTimeout } from './quantities.ts';

describe('a name that a program chose', () => {
  test.each(['../a', 'a/../../b', '/etc/passwd', 'a//b', './a', '', 'a\0', 'a\\b'])('%j leads nowhere', (path) => {
    expect(pathWithin('out', path)).toBeUndefined();
  });

  test('is below the folder else', () => {
    expect(pathWithin('out', 'a/..b/c d.txt')).toBe('out/a/..b/c d.txt');
  });
});

test('times and sizes are read with their units', () => {
  expect(['90', '90s', '1.5m', '1h'].map(readTimeout)).toEqual([90_000, 90_000, 90_000, 3_600_000]);
  expect(['512', '512m', '2g', '1.5GB'].map(readMemory)).toEqual([512, 512, 2048, 1536]);
  for (const wrong of ['', '-1', '0', 'm', '5 m', '1d', '1e3']) expect(() => readTimeout(wrong)).toThrow('no time');
  for (const wrong of ['', '-1', '63', '1k', '64.5', 'g']) expect(() => readMemory(wrong)).toThrow('no size');
});

describe('a picture', () => {
  test('is shown by the protocol of the terminal, in pieces that it takes', () => {
    const picture = { bytes: Buffer.alloc(7000, 'a'), extension: 'png' } as const;
    const shown = showOnTerminal(picture, 'kitty') ?? '';
    const chunks = shown
      .split('\x1b\\')
      .slice(0, -1)
      .map((part) => part.replace('\x1b_G', '').split(';'));
    expect(chunks.map(([keys]) => keys)).toEqual(['f=100,a=T,m=1', 'm=1', 'm=0']);
    expect(Buffer.from(chunks.map(([, data]) => data).join(''), 'base64')).toEqual(picture.bytes);
    const base64 = picture.bytes.toString('base64');
    expect(showOnTerminal(picture, 'iterm')).toBe(`\x1b]1337;File=inline=1;size=7000:${base64}\x07\n`);
    expect(showOnTerminal(picture, undefined)).toBeUndefined();
    expect(showOnTerminal({ ...picture, extension: 'svg' }, 'kitty')).toBeUndefined();
  });

  test('is the best format of what was displayed', () => {
    expect(pictureOf({ text: 'a', svg: '<svg/>', png: 'aaaa' })).toMatchObject({ extension: 'png' });
    expect(pictureOf({ text: 'a', html: '<b>a</b>' })).toBeUndefined();
  });
});
