import { expect, it } from 'vitest';
import { AsyncDisposables, Disposables } from './disposables.ts';

const failure = (message: string) => () => {
  throw new Error(message);
};

it('disposes of the last one first, of all even if one fails, and of none twice', () => {
  const ended: string[] = [];
  const stack = new Disposables();
  const first = { [Symbol.dispose]: () => void ended.push('first') };
  expect(stack.use(first)).toBe(first);
  stack.defer(failure('second'));
  stack.defer(() => void ended.push('third'));
  stack.defer(failure('fourth'));
  expect(() => stack[Symbol.dispose]()).toThrow('fourth');
  expect(ended).toEqual(['third', 'first']);
  stack[Symbol.dispose]();
  expect(ended).toHaveLength(2);
});

it('keeps what was handed on', () => {
  const ended: string[] = [];
  const stack = new Disposables();
  stack.defer(() => void ended.push('one'));
  const moved = stack.move();
  stack[Symbol.dispose]();
  expect(ended).toEqual([]);
  moved[Symbol.dispose]();
  expect(ended).toEqual(['one']);
});

it('ends one after the other where an end takes time', async () => {
  const ended: string[] = [];
  const stack = new AsyncDisposables();
  for (const name of ['first', 'second'])
    stack.use({
      [Symbol.asyncDispose]: async () => {
        ended.push(`${name} begins`);
        await Promise.resolve();
        ended.push(`${name} ends`);
        if (name === 'second') throw new Error('second');
      },
    });
  await expect(stack[Symbol.asyncDispose]()).rejects.toThrow('second');
  expect(ended).toEqual(['second begins', 'second ends', 'first begins', 'first ends']);
});
