import { expect, test } from 'vitest';
import { foldByModule, moduleOf } from './cpu-profile.ts';

test('a function belongs to a folder of ours, a library, or a part of Node', () => {
  expect(moduleOf('run', 'file:///glovebox/dist/execution/result/result.js')).toBe('src/execution');
  expect(moduleOf('main', 'file:///glovebox/dist/cli.js')).toBe('src');
  expect(moduleOf('', 'file:///glovebox/node_modules/@hono/node-server/dist/index.mjs')).toBe('@hono/node-server');
  expect(moduleOf('write', 'node:internal/streams/writable')).toBe('node:stream');
  expect(moduleOf('end', 'node:_http_outgoing')).toBe('node:http');
  expect(moduleOf('writev', '')).toBe('native code: sockets, pipes, compiler');
});

test('time when nothing runs is not work', () => {
  const nodes = [
    { id: 1, callFrame: { functionName: '(idle)', url: '' } },
    { id: 2, callFrame: { functionName: 'send', url: 'file:///glovebox/dist/http/server.js' } },
    { id: 3, callFrame: { functionName: '(garbage collector)', url: '' } },
  ];
  const folded = foldByModule({ nodes, samples: [3, 1, 2, 2], timeDeltas: [500, 9000, 1000, 2000] });
  expect([...folded]).toEqual([
    ['src/http', 3],
    ['garbage collector', 0.5],
  ]);
});
