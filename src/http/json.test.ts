import { describe, expect, test } from 'vitest';
import { parseJsonObject, requireJson } from './json.ts';

const parse = (text: string) => parseJsonObject(text, ['name', 'arguments'], '{}');

describe('parseJsonObject', () => {
  test.each([
    ['', 'The request has no body.'],
    ['{"name": abc}', 'The body is not valid JSON: unexpected "a" at position 9.'],
    ['{"name": "x"', 'The body is not valid JSON: it ends too early, at position 12.'],
    ['{"name": "x', 'The body is not valid JSON: it ends too early, at position 11.'],
    ["{'name': 1}", "The body is not valid JSON: Expected property name or '}' at position 1."],
    ['nope', 'The body is not valid JSON: unexpected "o" at position 1.'],
    [`{"name": "${'a'.repeat(70_000)}", x}`, /^The body is not valid JSON: .{1,80}$/],
    ['[1]', 'The body is an array, not an object.'],
    ['null', 'The body is null, not an object.'],
    ['"x"', 'The body is a string, not an object.'],
    ['{"name": "a", "name": "b"}', 'The field "name" is there twice.'],
    ['{"name": "a", "\\u006eame": "b"}', 'The field "name" is there twice.'],
    ['{"naem": "a"}', 'There is no field "naem" here.'],
  ])('refuses %.40j', (text, message) => {
    expect(() => parse(text)).toThrow(message);
  });

  test('suggests the field that was meant', () => {
    expect(() => parse('{"naem": 1}')).toThrow(
      expect.objectContaining({ hint: 'Did you mean "name"? Fields: name, arguments.' }),
    );
  });

  test('looks for repeated fields at the top only, and not inside of strings', () => {
    const text = '{"name": "{\\"name\\": 1, \\"name\\": \\\\", "arguments": {"a": [{"a": 1}, {"a": 2}], "name": {}}}';
    expect(parse(text)).toMatchObject({ arguments: { name: {} } });
  });

  test('passes lone surrogates and NUL on as they are', () => {
    expect(parse('{"name": "\\ud800\\u0000"}')).toEqual({ name: '\ud800\0' });
  });
});

describe('requireJson', () => {
  const request = (type?: string) =>
    new Request('http://x/', { method: 'POST', body: new Uint8Array(), headers: type ? { 'content-type': type } : {} });

  test.each([undefined, 'application/json', 'application/json; charset=utf-8', 'application/vnd.x+json'])(
    'takes %j',
    (type) => {
      expect(() => requireJson(request(type))).not.toThrow();
    },
  );

  test.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=application/json'])(
    'refuses %j, which a form can send across origins',
    (type) => {
      expect(() => requireJson(request(type))).toThrow('The body is sent as');
    },
  );
});
