/**
 * Large pieces of a transfer, each in memory of its own, which can be freed as soon as the piece is sent. If it is left to
 * the garbage collector, that marks the whole heap again and again while a large file passes.
 */

/** Size from which freeing pays, in bytes. Node puts several smaller buffers into the same memory. */
const LEAST_BYTES = 16 * 1024;

/**
 * Frees the memory of a piece that nothing uses any more. Leaves small pieces to the garbage collector, and pieces in the
 * memory that Node shares among buffers.
 */
export function freePiece({ buffer, byteOffset, byteLength }: Uint8Array): void {
  const isLastPart = byteOffset + byteLength === buffer.byteLength;
  if (!isLastPart || byteLength < LEAST_BYTES || !(buffer instanceof ArrayBuffer)) return;
  try {
    buffer.transfer(0);
  } catch (error) {
    // Only Node's shared memory refuses that.
    if (!(error instanceof TypeError)) throw error;
  }
}
