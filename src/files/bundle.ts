import { z } from 'zod';
import { ByteReader } from '../tar/byte-reader.ts';
import { type ArchivedEntry, type ArchiveLimits, EntryChecker } from '../tar/entry.ts';
import { garbled } from './file-operation.ts';

/**
 * Longest line of a bundle, in bytes. A bundle is a stream of many files to or from a sandbox: for each entry a line of
 * JSON, then the bytes of the file. sandbox-image/runner/_glovebox/files/bundles.py implements the same format.
 */
const LONGEST_LINE = 64 * 1024;

const lineSchema = z.union([
  z.object({ end: z.literal(true) }),
  z.object({
    path: z.string().max(8192),
    type: z.enum(['file', 'directory', 'link']),
    size: z.number().int().nonnegative(),
    mode: z.number().int().min(0).max(0o777),
    modified_ms: z.number().int().nonnegative(),
    target: z.string().max(8192).optional(),
  }),
]);

/** Encodes the entries of an archive for a sandbox. */
export async function* encodeBundle(entries: AsyncIterable<ArchivedEntry>): AsyncGenerator<Buffer, void, undefined> {
  for await (const { entry, body } of entries) {
    const { modifiedMs, ...fields } = entry;
    yield Buffer.from(`${JSON.stringify({ ...fields, modified_ms: modifiedMs })}\n`);
    for await (const piece of body) yield piece;
  }
}

/** Decodes the entries that a sandbox sends. @throws GloveboxError when they are not valid */
export async function* decodeBundle(
  source: AsyncIterable<Uint8Array>,
  limits: ArchiveLimits,
): AsyncGenerator<ArchivedEntry, void, undefined> {
  const bytes = new ByteReader(source);
  const checker = new EntryChecker(limits);
  try {
    for (;;) {
      const line = parseLine(await bytes.line(LONGEST_LINE));
      if ('end' in line) break;
      const { modified_ms, target, ...fields } = line;
      const size = line.type === 'file' ? line.size : 0;
      const given = { ...fields, size, modifiedMs: modified_ms, ...(target === undefined ? {} : { target }) };
      const entry = checker.check(given);
      if (!entry) throw garbled();
      yield { entry, body: takeWhole(bytes, size) };
    }
    // Read on to the end of the stream, which throws if the operation failed.
    if ((await bytes.take(1)).length > 0) throw garbled();
  } finally {
    await bytes.close();
  }
}

async function* takeWhole(bytes: ByteReader, size: number): AsyncGenerator<Buffer, void, undefined> {
  let left = size;
  for await (const piece of bytes.stream(size)) {
    left -= piece.length;
    yield piece;
  }
  if (left > 0) throw garbled();
}

function parseLine(line: Buffer | undefined): z.infer<typeof lineSchema> {
  try {
    return lineSchema.parse(JSON.parse(line?.toString('utf8') ?? ''));
  } catch (cause) {
    throw garbled(cause);
  }
}
