/** A web server of a few bytes and of many, as a process of its own. Prints its port; ends with its standard input. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';

const PIECE = Buffer.alloc(256 * 1024, 'x');

function* pieces(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= PIECE.length) yield PIECE.subarray(0, left);
}

const server = createServer((request, response) => {
  const [, kind, count] = (request.url ?? '').split('/');
  if (kind === 'take') {
    let taken = 0;
    request.on('data', (chunk: Buffer) => (taken += chunk.length)).on('end', () => response.end(String(taken)));
    return;
  }
  const bytes = kind === 'bytes' ? Number(count) : 2;
  response.setHeader('Content-Length', bytes);
  Readable.from(pieces(bytes)).pipe(response);
});
// Any address of loopback: a sandbox asks the proxy for those that are not its own.
server.listen(0, '0.0.0.0', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
process.stdin.resume().on('end', () => process.exit());
