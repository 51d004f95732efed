import { z } from 'zod';
import { parseSandboxJson } from '../lib/sandbox-json.ts';

export interface DisplayLimits {
  /** Most bytes of one display as JSON. */
  readonly limit: number;
  /** Most bytes of all displays of an execution. */
  readonly total: number;
}

/** Most displays of an execution. The program sends up to 100, and one more that says how many it left out. */
const MAX_RESULTS = 101;
/** Number of invalid lines after which no more are read, so that a flood of them costs no processor time. */
const MAX_IGNORED = 1000;
const MAX_DEPTH = 100;

/** Images must begin with the bytes of their format, so that nothing else passes as an image. */
const png = z.string().refine((value) => value.startsWith('iVBORw0KGgo') && isBase64(value));
const jpeg = z.string().refine((value) => value.startsWith('/9') && isBase64(value));

/** File that the sandbox keeps. Its path is relative to the workspace. */
const file = z.object({
  path: z.string().regex(/^\.glovebox\/results\/[\w.-]{1,100}$/),
  size: z.number().int().nonnegative(),
});
const format = z.enum(['text', 'html', 'markdown', 'svg', 'png', 'jpeg', 'json', 'latex']);

export const displaySchema = z.object({
  text: z.string().optional(),
  html: z.string().optional(),
  markdown: z.string().optional(),
  svg: z.string().optional(),
  png: png.optional(),
  jpeg: jpeg.optional(),
  json: z
    .unknown()
    .refine((value) => isShallow(value, MAX_DEPTH))
    .optional(),
  latex: z.string().optional(),
  /** Formats that were cut, scaled down or left out to stay within the limits. */
  truncated: z.array(format).max(8).optional(),
  /** File with the most informative format in full, if it was cut or is long. Example: the unscaled image. */
  original: file.optional(),
  /** Files with the full formats, by format, if there are several. */
  originals: z.partialRecord(format, file).optional(),
  /** Media types that have no format here. */
  omitted: z.array(z.string().max(200)).max(8).optional(),
});

/** Object that the code displayed, in one or more formats. PNG and JPEG are base64. */
export type Display = z.infer<typeof displaySchema>;

/**
 * Reads displays from the bytes of a program's display pipe, which is not trusted. Invalid lines are counted and ignored.
 * Memory use stays within the limits.
 */
export class DisplayCollector {
  readonly #limits: DisplayLimits;
  readonly results: Display[] = [];
  /** Number of lines that were invalid or beyond the limits. At 1000 the collector stops reading. */
  ignored = 0;
  #pieces: Buffer[] = [];
  #pieceBytes = 0;
  #bytes = 0;
  #skipping = false;

  constructor(limits: DisplayLimits) {
    this.#limits = limits;
  }

  /** Returns the displays that the chunk completes. Never throws, whatever the chunk contains. */
  add(chunk: Buffer): Display[] {
    const complete: Display[] = [];
    let start = 0;
    for (let end = chunk.indexOf(0x0a); end >= 0 && this.ignored < MAX_IGNORED; end = chunk.indexOf(0x0a, start)) {
      this.#gather(chunk.subarray(start, end));
      start = end + 1;
      const result = this.#endLine();
      if (result) complete.push(result);
    }
    if (this.ignored < MAX_IGNORED) this.#gather(chunk.subarray(start));
    return complete;
  }

  #gather(piece: Buffer): void {
    if (this.#skipping || piece.length === 0) return;
    if (this.#pieceBytes + piece.length > this.#limits.limit) {
      this.#pieces = [];
      this.#skipping = true;
      return;
    }
    // A copy, because a small piece would keep its whole chunk in memory.
    this.#pieces.push(Buffer.from(piece));
    this.#pieceBytes += piece.length;
  }

  #endLine(): Display | undefined {
    const line = Buffer.concat(this.#pieces);
    const wasTooLong = this.#skipping;
    this.#pieces = [];
    this.#pieceBytes = 0;
    this.#skipping = false;
    const hasRoom = this.results.length < MAX_RESULTS && this.#bytes + line.length <= this.#limits.total;
    if (!wasTooLong && hasRoom) {
      // Counted before parsing, because parsing is the expensive part.
      this.#bytes += line.length;
      const result = parseResult(line);
      if (result) {
        this.results.push(result);
        return result;
      }
    }
    this.ignored += 1;
    return undefined;
  }
}

function parseResult(line: Buffer): Display | undefined {
  try {
    const { data } = displaySchema.safeParse(parseSandboxJson(line));
    return data && Object.keys(data).length > 0 ? data : undefined;
  } catch {
    return undefined;
  }
}

function isBase64(value: string): boolean {
  return value.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(value);
}

/** Whether a value has at most `levels` levels. `JSON.stringify` fails on a value with thousands of levels. */
function isShallow(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return levels > 0 && Object.values(value).every((item) => isShallow(item, levels - 1));
}
