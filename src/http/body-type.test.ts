import { describe, expect, test } from 'vitest';
import { bodyHandlingFor } from './body-type.ts';
import type { Route } from './route.ts';

const route = (takes?: Route['takes']): Route => ({
  method: 'POST',
  path: '/',
  summary: '',
  handle: () => new Response(),
  ...(takes ? { takes } : {}),
});
const request = (type?: string, headers: Record<string, string> = {}) => {
  const all = { ...(type === undefined ? {} : { 'content-type': type }), 'content-length': '2', ...headers };
  return new Request('http://x/', { method: 'POST', body: new Uint8Array(2), headers: all });
};

describe('a body', () => {
  test.each([undefined, 'application/json', 'Application/JSON; charset=utf-8', 'application/vnd.x+json'])(
    'of type %j is JSON',
    (type) => {
      expect(bodyHandlingFor(request(type), route())).toBe('text');
    },
  );

  test.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=application/json'])(
    'of type %j is refused where JSON is taken',
    (type) => {
      expect(() => bodyHandlingFor(request(type), route())).toThrow(
        expect.objectContaining({ status: 415, hint: expect.stringContaining('Content-Type: application/json') }),
      );
    },
  );

  test('that is empty may have the type that clients give to any', () => {
    expect(bodyHandlingFor(request('application/x-www-form-urlencoded', { 'content-length': '0' }), route())).toBe(
      'text',
    );
  });

  test('is read by its route where that takes what it is said to be', () => {
    expect(bodyHandlingFor(request('application/x-tar'), route(['json', 'tar']))).toBe('stream');
    expect(bodyHandlingFor(request('application/x-tar', { 'content-length': '0' }), route(['json', 'tar']))).toBe(
      'stream',
    );
    expect(bodyHandlingFor(request('image/png'), route(['bytes']))).toBe('stream');
    expect(() => bodyHandlingFor(request('multipart/form-data; boundary=x'), route(['bytes']))).toThrow(
      'multipart/form-data',
    );
  });

  test('is never decoded', () => {
    expect(() => bodyHandlingFor(request('image/png', { 'content-encoding': 'gzip' }), route(['bytes']))).toThrow(
      expect.objectContaining({ status: 415, message: 'The body has the encoding "gzip".' }),
    );
  });
});
