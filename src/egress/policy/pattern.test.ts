import { describe, expect, it, test } from 'vitest';
import { GloveboxError } from '../../errors.ts';
import { readHost } from './host-name.ts';
import { coversHosts, matchesHost, parsePattern, parsePatterns } from './pattern.ts';

test.each([
  ['Example.COM', 'example.com'],
  ['example.com.', 'example.com'],
  ['bücher.example', 'xn--bcher-kva.example'],
  ['_dmarc.example.com', '_dmarc.example.com'],
  ['2130706433', '127.0.0.1'],
  ['0x7f.1', '127.0.0.1'],
  ['0177.0.0.1', '127.0.0.1'],
  ['127.1', '127.0.0.1'],
  ['①②⑦.0.0.1', '127.0.0.1'],
  ['[::1]', '::1'],
  ['[::ffff:127.0.0.1]', '127.0.0.1'],
  ['[::ffff:7f00:1]', '127.0.0.1'],
  ['[2606:4700:0:0::1111]', '2606:4700::1111'],
])('the host %s is %s', (written, host) => {
  expect(readHost(written)).toBe(host);
});

test.each([
  '',
  '.',
  '..',
  'a b',
  'a/b',
  'a%2eb',
  'user@host',
  'host:80',
  '[::1',
  '[fe80::1%eth0]',
  '[v1.x]',
  '-a.example',
  'a..b',
  'a\u0000b',
  'a\\b',
  `${'a'.repeat(64)}.example`,
  `${'a.'.repeat(200)}b`,
  '256.256.256.256',
  '1.2.3.4.5.6.7.8.999999999999',
])('%j is no host', (written) => {
  expect(readHost(written)).toBeUndefined();
});

describe('a pattern', () => {
  it.each([
    ['api.example.com', { kind: 'host', host: 'api.example.com', ports: undefined, isTls: false }],
    ['*.Example.com:8443', { kind: 'below', host: 'example.com', ports: [8443], text: '*.example.com:8443' }],
    ['example.com:*', { kind: 'host', host: 'example.com', ports: 'any' }],
    ['*', { kind: 'any', host: '', ports: undefined }],
    ['https://example.com', { kind: 'host', ports: [443], isTls: true, text: 'https://example.com' }],
    ['http://example.com', { kind: 'host', ports: [80], isTls: false }],
    ['https://example.com:8443', { kind: 'host', ports: [8443], isTls: true }],
    ['10.0.0.7:5000', { kind: 'host', host: '10.0.0.7', ports: [5000] }],
    ['[fd00::1]:5000', { kind: 'host', host: 'fd00::1', ports: [5000], text: '[fd00::1]:5000' }],
    ['fd00::1', { kind: 'host', host: 'fd00::1', ports: undefined, text: '[fd00::1]' }],
  ])('%s is read', (written, pattern) => {
    expect(parsePattern(written)).toMatchObject(pattern);
  });

  it.each([
    ['https://api.example.com/v1/', 'Did you mean "api.example.com"'],
    ['api.example.com/', 'Did you mean "api.example.com"'],
    ['ftp://example.com', 'Did you mean "example.com"'],
    ['.example.com', 'Did you mean "*.example.com"'],
    ['*example.com', 'Did you mean "*.example.com"'],
    ['api.*.com', 'A "*" stands alone'],
    ['user:pw@example.com', 'no user and password'],
    ['10.0.0.0/8', 'GLOVEBOX_EGRESS_PRIVATE'],
    ['example.com:0', 'Write a host'],
    ['example.com:99999', 'Write a host'],
    ['example.com:https', 'Write a host'],
    ['*.10.0.0.1', 'Write a host'],
    ['exa mple.com', 'Write a host'],
  ])('%s is refused with advice', (written, hint) => {
    expect(() => parsePattern(written)).toThrow(GloveboxError);
    try {
      parsePattern(written);
    } catch (error) {
      expect((error as GloveboxError).hint).toContain(hint);
    }
  });

  it('is there once, and "none" stands alone', () => {
    expect(parsePatterns(['a.example', 'A.example', ' a.example '])).toHaveLength(1);
    expect(parsePatterns(['none'])).toEqual([]);
    expect(parsePatterns([' None '])).toEqual([]);
    expect(parsePatterns([])).toEqual([]);
    expect(() => parsePatterns(['none', 'a.example'])).toThrow('"none" stands beside');
  });

  it('of all below a name is neither the name itself nor one that only ends like it', () => {
    const pattern = parsePattern('*.example.com');
    expect(matchesHost(pattern, 'a.b.example.com')).toBe(true);
    expect(matchesHost(pattern, 'example.com')).toBe(false);
    expect(matchesHost(pattern, 'badexample.com')).toBe(false);
  });

  it('of all names is of no address', () => {
    expect(matchesHost(parsePattern('*'), 'anything.example')).toBe(true);
    expect(matchesHost(parsePattern('*'), '1.2.3.4')).toBe(false);
    expect(matchesHost(parsePattern('*'), '2606:4700::1111')).toBe(false);
  });

  it.each([
    ['*.example.com', 'api.example.com', true],
    ['*.example.com', '*.api.example.com', true],
    ['*.example.com', '*.example.com', true],
    ['*.example.com', 'example.com', false],
    ['*.api.example.com', '*.example.com', false],
    ['api.example.com', '*.api.example.com', false],
    ['*', '*.com', true],
    ['*', '*', true],
    ['*', '1.2.3.4', false],
    ['*.com', '*', false],
    ['a.example', 'b.example', false],
  ])('%s covers %s: %s', (outer, inner, covers) => {
    expect(coversHosts(parsePattern(outer), parsePattern(inner))).toBe(covers);
  });
});
