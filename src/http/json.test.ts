import { describe, expect, test } from 'vitest';
import { parseJsonObject } from './json.ts';

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
    ['{"name": "a", "arguments": {"code": "1", "code": "2"}}', 'The field "code" is there twice.'],
    ['{"name": "a", "arguments": {"code": "1", "c\\u006fde": "2"}}', 'The field "code" is there twice.'],
    ['{"name": "a", "arguments": {"env": {"A": "1", "B": "\\"", "A" : "3"}}}', 'The field "A" is there twice.'],
    [`{"name": "a", "arguments": ${'['.repeat(50_000)}${']'.repeat(50_000)}}`, /nested more than 64 levels/],
    [`{"name": ${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}}`, /nested more than 64 levels/],
    ['{"naem": "a"}', 'There is no field "naem" here.'],
  ])('refuses %.40j', (text, message) => {
    expect(() => parse(text)).toThrow(message);
  });

  test('suggests the field that was meant', () => {
    expect(() => parse('{"naem": 1}')).toThrow(
      expect.objectContaining({ hint: 'Did you mean "name"? Fields: name, arguments.' }),
    );
  });

  test('looks for repeated fields in each object by itself, and not inside of strings', () => {
    const text = '{"name": "{\\"name\\": 1, \\"name\\": \\\\", "arguments": {"a": [{"a": 1}, {"a": 2}], "name": {}}}';
    expect(parse(text)).toMatchObject({ arguments: { name: {} } });
  });

  test('passes lone surrogates and NUL on as they are', () => {
    expect(parse('{"name": "\\ud800\\u0000"}')).toEqual({ name: '\ud800\0' });
  });
});
