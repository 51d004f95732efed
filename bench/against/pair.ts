import type { Samples, Subject } from '../measure.ts';
import type { Row } from '../table.ts';

/** After the names of the baseline's subjects, which are called as those of this build otherwise. */
const MARK = ' (baseline)';

/**
 * The subjects of this build, each followed by the baseline's, if there is one. `orderOf` swaps the two in half of the
 * rounds.
 */
export async function pairSubjects<B>(
  builds: readonly B[],
  create: (build: B) => Promise<readonly Subject[]> | readonly Subject[],
): Promise<Subject[]> {
  const [own = [], baseline = []] = await Array.fromAsync(builds, create);
  return own.flatMap((subject, at) => [subject, ...baseline.slice(at, at + 1).map(toBaseline)]);
}

function toBaseline(subject: Subject): Subject {
  return { ...subject, name: subject.name + MARK, isBaseline: true };
}

/** The rows of this build, each with the baseline's samples of the same. */
export function pairRows(samples: Samples, toRows: (samples: Samples) => readonly Row[]): Row[] {
  return joinRows([toRows(samples), toRows(baselineOf(samples))]);
}

/** The first list, with the samples that the second, the baseline's, has by the same names. */
export function joinRows([rows = [], baseline = []]: readonly (readonly Row[])[]): Row[] {
  return rows.map((row) => {
    const samples = baseline.find(({ what }) => what === row.what)?.samples ?? [];
    return samples.length === 0 ? row : { ...row, baseline: samples };
  });
}

/** Runs something for each build: for this one first in even rounds, for the baseline first in odd ones. */
export async function inRound<B>(
  round: number,
  builds: readonly B[],
  work: (build: B, index: number) => Promise<unknown>,
): Promise<void> {
  const entries = [...builds.entries()];
  for (const [index, build] of round % 2 === 0 ? entries : entries.toReversed()) await work(build, index);
}

function baselineOf(samples: Samples): Samples {
  return Object.fromEntries(
    Object.entries(samples).flatMap(([name, list]) =>
      name.endsWith(MARK) ? [[name.slice(0, -MARK.length), list]] : [],
    ),
  );
}
