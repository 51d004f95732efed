import { Session } from 'node:inspector';

interface Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}
interface ScriptCoverage {
  readonly url: string;
  readonly functions: readonly { readonly ranges: readonly Range[] }[];
}

const SOURCES = new URL('../../src/', import.meta.url).href;

/**
 * What inputs have reached in `src`, block by block, as V8 counts it. Nothing is instrumented: the code that is fuzzed is
 * the code that runs.
 */
export class Coverage {
  readonly #session = new Session();
  /** Every block that was seen, by place, and whether anything has reached it. */
  readonly #blocks = new Map<string, Map<string, { readonly range: Range; reached: boolean }>>();
  /** Features: a block, and how often one input ran it. */
  readonly #features = new Set<string>();

  constructor() {
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** Number of blocks that some input has reached. */
  get reached(): number {
    let count = 0;
    for (const blocks of this.#blocks.values()) for (const { reached } of blocks.values()) count += Number(reached);
    return count;
  }

  /** The features of what ran since the last look that no input had before. */
  look(): string[] {
    const fresh: string[] = [];
    const add = (feature: string) => {
      if (this.#features.has(feature)) return;
      this.#features.add(feature);
      fresh.push(feature);
    };
    for (const { url, functions } of this.#take()) {
      if (!url.startsWith(SOURCES)) continue;
      for (const { ranges } of functions) this.#lookAt(url, ranges, add);
    }
    return fresh;
  }

  #lookAt(url: string, ranges: readonly Range[], add: (feature: string) => void): void {
    const [whole] = ranges;
    if (!whole) return;
    const place = `${url.slice(SOURCES.length)}:${whole.startOffset}`;
    const blocks = this.#blocks.get(place) ?? new Map();
    this.#blocks.set(place, blocks);
    for (const range of ranges) {
      const name = `${range.startOffset}-${range.endOffset}`;
      if (!blocks.has(name)) blocks.set(name, { range, reached: false });
      if (range.count > 0) add(`${place} ${name} x${magnitude(range.count)}`);
    }
    // V8 merges a block with the one around it when both ran equally often, so a reached block may have no range.
    for (const [name, block] of blocks) {
      if (block.reached || countAt(block.range, ranges) === 0) continue;
      block.reached = true;
      add(`${place} ${name} reached`);
    }
  }

  #take(): readonly ScriptCoverage[] {
    let found: readonly ScriptCoverage[] = [];
    // An answer of a session in the same thread is given before `post` returns.
    this.#session.post('Profiler.takePreciseCoverage', (error, { result }) => {
      if (error) throw error;
      found = result;
    });
    return found;
  }
}

/** Size of a count: 1, 2, 3, 4 to 7, 8 to 15, and so on to 128. */
function magnitude(count: number): number {
  return count < 4 ? count : Math.min(7, Math.floor(Math.log2(count))) + 2;
}

/** How often a block ran: the count of the smallest range that holds it. */
function countAt(block: Range, ranges: readonly Range[]): number {
  let smallest: Range | undefined;
  for (const range of ranges) {
    if (range.startOffset > block.startOffset || range.endOffset < block.endOffset) continue;
    if (!smallest || range.endOffset - range.startOffset <= smallest.endOffset - smallest.startOffset) smallest = range;
  }
  return smallest?.count ?? 0;
}
