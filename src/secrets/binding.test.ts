import { describe, expect, it } from 'vitest';
import { type AskedBindings, bareHost, hostOf, readBindings } from './binding.ts';

const NOTHING: AskedBindings = { hosts: [], headers: [], queries: [], users: [] };
const read = (asked: Partial<AskedBindings>) => readBindings({ ...NOTHING, ...asked });

describe('hosts of a secret', () => {
  it.each([
    [
      'api.example.com',
      { host: 'api.example.com', ports: [80, 443], isPlain: false, port: 443, address: 'http://api.example.com' },
    ],
    ['https://API.example.com/', { host: 'api.example.com', ports: [80, 443], isPlain: false, port: 443 }],
    ['api.example.com.', { host: 'api.example.com' }],
    ['api.example.com:8443', { ports: [8443], isPlain: false, port: 8443, address: 'http://api.example.com:8443' }],
    ['http://api.example.com', { ports: [80, 80], isPlain: true, port: 80 }],
    ['http://api.example.com:8080', { ports: [8080], isPlain: true, port: 8080 }],
    ['[2001:DB8::1]:8443', { host: '2001:db8::1', ports: [8443], address: 'http://[2001:db8::1]:8443' }],
    ['2130706433', { host: '127.0.0.1' }],
    ['bücher.example', { host: 'xn--bcher-kva.example' }],
  ])('%s', (text, expected) => {
    const [binding] = read({ hosts: [text] });
    expect(binding && hostOf(binding)).toMatchObject(expected);
  });

  it.each([
    '',
    '*.example.com',
    '*',
    'a.example/path',
    'a.example?x',
    'u:p@a.example',
    'ftp://a.example',
    'a b',
    'a.example:99999',
    'a.example:80',
  ])('%j is refused', (text) => expect(() => read({ hosts: [text] })).toThrow(/^--for is "/));

  it('are compared without brackets, the last dot and case', () => {
    expect(['[::1]', 'A.Example.', 'a.example'].map(bareHost)).toEqual(['::1', 'a.example', 'a.example']);
  });
});

describe('places of a secret', () => {
  const places = (asked: Partial<AskedBindings>) =>
    read({ hosts: ['a.example'], ...asked }).map(({ to: _to, ...place }) => place);

  it.each<readonly [Partial<AskedBindings>, object[]]>([
    [{}, [{ header: 'Authorization', as: 'Bearer {}' }]],
    [{ headers: ['Authorization: token {}'] }, [{ header: 'Authorization', as: 'token {}' }]],
    [{ headers: ['X-Api-Key'] }, [{ header: 'X-Api-Key', as: '{}' }]],
    [
      { headers: ['X-Api-Key:{}', 'X-Two: {}'] },
      [
        { header: 'X-Api-Key', as: '{}' },
        { header: 'X-Two', as: '{}' },
      ],
    ],
    [{ queries: ['api_key'] }, [{ query: 'api_key' }]],
    [{ users: ['git'] }, [{ basic: 'git' }]],
  ])('%j', (asked, expected) => expect(places(asked)).toEqual(expected));

  it.each<readonly [Partial<AskedBindings>, string]>([
    [{ headers: ['Authorization: Bearer'] }, '{} must be in it once'],
    [{ headers: ['A: {} {}'] }, '{} must be in it once'],
    [{ headers: ['A: {}\r\nB: c'] }, 'not the name of a header'],
    [{ headers: ['A b: {}'] }, 'not the name of a header'],
    [{ headers: ['Host: {}'] }, 'Host cannot have a secret'],
    [{ headers: ['Proxy-Authorization: {}'] }, 'cannot have a secret'],
    [{ queries: ['a=b'] }, 'not the name of a parameter'],
    [{ users: ['a:b'] }, 'not the name of a user'],
    [{ headers: ['A: {}', 'a: b{}'] }, 'named twice'],
    [{ hosts: ['a.example', 'A.example'] }, 'named twice'],
    [{ hosts: [], queries: ['key'] }, 'say how a host gets the secret'],
  ])('%j is refused', (asked, said) => expect(() => places(asked)).toThrow(said));
});
