import type { Duplex } from 'node:stream';
import { keepAsIs } from '../../lib/reused-memory.ts';
import { readPieces } from '../../lib/sockets/piece-reader.ts';
import type { Refused } from '../refusal.ts';

export interface RelayOptions {
  /** Stream that the bytes of the host pass through first. */
  readonly through?: Duplex | undefined;
  /** Counts bytes from the code. Returns a refusal when they are too many. */
  readonly sent: (bytes: number) => Refused | undefined;
  /** Counts bytes to the code. */
  readonly received: (bytes: number) => Refused | undefined;
  /** Called once when both sides are closed. @param isWhole whether both had sent their ends */
  readonly onClose: (end: { readonly isWhole: boolean; readonly refused?: Refused | undefined }) => void;
}

/** Passes bytes between the code and a host, as fast as both take them. Each may end its half first. */
export function relay(code: Duplex, host: Duplex, options: RelayOptions): void {
  let refused: Refused | undefined;
  let isOver = false;
  const end = () => {
    if (isOver) return;
    isOver = true;
    const isWhole = code.readableEnded && host.readableEnded;
    code.destroy();
    host.destroy();
    options.onClose({ isWhole, refused });
  };
  const cut = (reason: Refused) => {
    refused ??= reason;
    end();
  };
  // What a side has sent before it closed is still on its way to the other one.
  const onClose = (closed: Duplex, other: Duplex) => {
    if (!closed.readableEnded || other.writableFinished || other.destroyed) end();
    else other.once('finish', end);
  };
  pass(code, host, options.sent, cut);
  const { through } = options;
  if (through) {
    through.on('error', end);
    pass(host, through, () => undefined, cut);
  }
  pass(through ?? host, code, options.received, cut);
  for (const [side, other] of [
    [code, host],
    [host, code],
  ] as const) {
    side.on('error', end);
    side.on('close', () => onClose(side, other));
    if (side.destroyed) end();
  }
}

function pass(
  from: Duplex,
  to: Duplex,
  count: (bytes: number) => Refused | undefined,
  cut: (reason: Refused) => void,
): void {
  const resume = () => from.resume();
  to.on('drain', resume);
  readPieces(from, (piece, keep) => {
    const reason = count(piece.length);
    if (reason) return cut(reason);
    if (to.destroyed) return;
    // What has to wait is copied: a piece that is kept occupies more memory than its own.
    const { bytes, release } = to.writableNeedDrain ? keepAsIs(Buffer.from(piece)) : keep(piece);
    if (!to.write(bytes, release)) from.pause();
  });
  from.on('end', () => {
    if (!to.destroyed) to.end();
  });
}
