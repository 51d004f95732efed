/** Something to time. What has to happen around it is not timed. */
export interface Subject {
  readonly name: string;
  /** Whether it is that of the baseline; it stands right after the same of this build. */
  readonly isBaseline?: boolean;
  before?(): Promise<unknown>;
  run(): Promise<unknown>;
  after?(): Promise<unknown>;
}

export interface Plan {
  readonly rounds: number;
  /** Rounds before those that count. */
  readonly warmUp: number;
  readonly signal: AbortSignal;
}

/** Samples by the subject's name. */
export type Samples = Record<string, number[]>;

/**
 * Milliseconds of each subject in turn, A B C A B C …: whatever else the machine does in the meantime
 * meets all of them alike. The order changes from round to round, so that none always follows the same one.
 */
export async function interleave(subjects: readonly Subject[], { rounds, warmUp, signal }: Plan): Promise<Samples> {
  const samples: Samples = Object.fromEntries(subjects.map(({ name }) => [name, []]));
  for (let round = -warmUp; round < rounds; round += 1) {
    for (const subject of orderOf(subjects, round)) {
      signal.throwIfAborted();
      await subject.before?.();
      const ms = await time(() => subject.run());
      await subject.after?.();
      if (round >= 0) samples[subject.name]?.push(ms);
    }
  }
  return samples;
}

/**
 * The order of a round: forwards in even ones and backwards in odd ones. In two of four rounds each baseline comes before
 * the same of this build: what follows a subject is slowed down by what that leaves to be done, and both are to be alike.
 */
function orderOf(subjects: readonly Subject[], round: number): Subject[] {
  const isSwapped = ((round % 4) + 4) % 4 >= 2;
  const order = [...subjects];
  for (const [at, { isBaseline }] of subjects.entries()) {
    const [own, baseline] = order.slice(at - 1, at + 1);
    if (isSwapped && isBaseline && own && baseline) order.splice(at - 1, 2, baseline, own);
  }
  return round % 2 === 0 ? order : order.reverse();
}

/** As `interleave`, but of so many samples of one subject at a time, each time after a warm-up of its own. */
export async function interleaveBlocks(
  subjects: readonly Subject[],
  { rounds, warmUp, signal }: Plan,
  size: number,
): Promise<Samples> {
  const samples: Samples = {};
  for (let block = 0; block < rounds / size; block += 1) {
    for (const subject of block % 2 === 0 ? subjects : subjects.toReversed()) {
      const { [subject.name]: more = [] } = await interleave([subject], { rounds: size, warmUp, signal });
      samples[subject.name] = [...(samples[subject.name] ?? []), ...more];
    }
  }
  return samples;
}

/**
 * Does something for each number below `count`, so many at once; how many a second.
 * @throws what the first that fails throws, when the others under way have ended
 */
export async function rate(count: number, atOnce: number, work: (index: number) => Promise<unknown>): Promise<number> {
  let next = 0;
  const keepWorking = async () => {
    while (next < count) {
      const index = next;
      next += 1;
      await work(index).catch((error: unknown) => {
        next = count;
        throw error;
      });
    }
  };
  const ms = await time(async () => {
    const ends = await Promise.allSettled(Array.from({ length: Math.min(count, atOnce) }, keepWorking));
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  });
  return count / (ms / 1000);
}

export async function time(run: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await run();
  return performance.now() - started;
}

/** The value that so much of the samples lies at or below; interpolated. */
export function quantile(samples: readonly number[], part: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * part;
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at % 1);
}

export const median = (samples: readonly number[]) => quantile(samples, 0.5);
