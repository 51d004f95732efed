import { z } from 'zod';
import { parseSandboxJson } from '../lib/sandbox-json.ts';

export interface DisplayLimits {
  /** Bytes of one result as JSON. */
  readonly limit: number;
  /** Bytes of all results of an execution. */
  readonly total: number;
}

/** The program keeps to 100 and says in one more how many it left out. */
const MAX_RESULTS = 101;
/** Lines without a result, after which no more are looked at: a flood of them would cost more than it is worth. */
const MAX_IGNORED = 1000;
const MAX_DEPTH = 100;

/** Pictures begin as their format does, so that nothing else is handed on as one. */
const png = z.string().refine((value) => value.startsWith('iVBORw0KGgo') && isBase64(value));
const jpeg = z.string().refine((value) => value.startsWith('/9') && isBase64(value));

/** A file that the sandbox keeps; its path is relative to the workspace. */
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
  /** Formats that were cut, scaled down or left out to keep the budget. */
  truncated: z.array(format).max(8).optional(),
  /** The whole of what says most of the formats that were cut or are long: the unscaled picture, the html. */
  original: file.optional(),
  /** All that was kept, by format, if it is more than one. */
  originals: z.partialRecord(format, file).optional(),
  /** Mime types that no format here is for. */
  omitted: z.array(z.string().max(200)).max(8).optional(),
});

/** One object that the code displayed, in as many formats as it has; png and jpeg are base64. */
export type Display = z.infer<typeof displaySchema>;

/**
 * Makes results of the bytes of a program's display pipe, hostile like all that leaves a sandbox: what is no result
 * is counted and ignored, and no more memory is taken than the limits allow.
 */
export class DisplayCollector {
  readonly #limits: DisplayLimits;
  readonly results: Display[] = [];
  /** Lines that were no results, or beyond the limits; at 1 000 the collector has seen enough. */
  ignored = 0;
  #pieces: Buffer[] = [];
  #pieceBytes = 0;
  #bytes = 0;
  #skipping = false;

  constructor(limits: DisplayLimits) {
    this.#limits = limits;
  }

  /** The results that the chunk completes. Never throws for what is in it. */
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
    // Copied, because a small piece would keep the whole chunk that it was cut from.
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
      // Whatever is in it: parsing is what costs.
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

/** Whether a value is of so many levels at most: `JSON.stringify` fails on one of thousands. */
function isShallow(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return levels > 0 && Object.values(value).every((item) => isShallow(item, levels - 1));
}
