import { expect, test } from 'vitest';
import { parsePipSettings } from '../../../packages/index/host-indexes.ts';
import { formatPipConfig } from './index-access.ts';

test('keeps the settings that mean the same in a container, the environment before files', () => {
  const settings = parsePipSettings(
    [
      ":env:.index-url='https://user:p%40ss@index.example/simple'",
      ":env:.find-links='/opt/wheels'",
      ":env:.default-timeout='180'",
      "global.cert='/etc/ssl/certs/ca.pem'",
      "global.index-url='https://other.example/simple'",
      "global.extra-index-url='https://a.example/simple\\nhttps://b.example/simple'",
      "install.trusted-host='index.example'",
      "freeze.timeout='10'",
    ].join('\n'),
  );
  expect(Object.fromEntries(settings)).toEqual({
    'index-url': 'https://user:p%40ss@index.example/simple',
    'default-timeout': '180',
    'extra-index-url': 'https://a.example/simple\nhttps://b.example/simple',
    'trusted-host': 'index.example',
  });
  expect(formatPipConfig(settings)).toBe(
    [
      '[global]',
      'index-url = https://user:p%40ss@index.example/simple',
      'extra-index-url = https://a.example/simple',
      '    https://b.example/simple',
      'trusted-host = index.example',
      'timeout = 180',
      '',
    ].join('\n'),
  );
});

test('a host whose pip is not configured makes an empty file', () => {
  expect(formatPipConfig(parsePipSettings(''))).toBe('[global]\n\n');
});
