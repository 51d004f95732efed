import { expect, test } from 'vitest';
import { interleave, interleaveBlocks, type Samples } from '../measure.ts';
import { toRow } from '../table.ts';
import { inRound, joinRows, pairRows, pairSubjects } from './pair.ts';

const { signal } = new AbortController();

/** Subjects of two builds, and the order in which they ran. */
async function pair() {
  const ran: string[] = [];
  const subjects = await pairSubjects(['own', 'old'], (build) =>
    ['print', 'cell'].map((name) => ({ name, run: async () => ran.push(`${build} ${name}`) })),
  );
  return { ran, subjects };
}

test('the samples of two builds alternate A B B A', async () => {
  const { ran, subjects } = await pair();
  await interleave(subjects, { rounds: 2, warmUp: 0, signal });
  expect(ran).toEqual([
    ...['own print', 'old print', 'own cell', 'old cell'],
    ...['old cell', 'own cell', 'old print', 'own print'],
  ]);
});

test('neither build always follows another subject: four rounds have each build after each', async () => {
  const { ran, subjects } = await pair();
  await interleave(subjects, { rounds: 4, warmUp: 0, signal });
  const before = (name: string) =>
    ran.flatMap((at, i) => (at === name && i % 4 > 0 ? [ran[i - 1]?.slice(4)] : [])).sort();
  expect(before('own cell')).toEqual(before('old cell'));
  expect(before('own print')).toEqual(before('old print'));
});

test('blocks of samples alternate A B B A, and their warm-up is not counted', async () => {
  const ran: string[] = [];
  const subjects = ['A', 'B'].map((name) => ({ name, run: async () => ran.push(name) }));
  const samples = await interleaveBlocks(subjects, { rounds: 4, warmUp: 1, signal }, 2);
  expect(ran.join('')).toBe('AAABBBBBBAAA');
  expect(samples['A']).toHaveLength(4);
  expect(samples['B']).toHaveLength(4);
});

test('every round that is odd begins with the baseline', async () => {
  const ran: string[] = [];
  for (const round of [0, 1]) await inRound(round, ['A', 'B'], async (build) => ran.push(build));
  expect(ran.join('')).toBe('ABBA');
});

test('each row has the samples of its baseline, and floors have none', async () => {
  const { subjects } = await pair();
  const samples: Samples = await interleave(subjects, { rounds: 1, warmUp: 0, signal });
  const own = { ...samples, floor: [5] };
  const [floor, print] = pairRows(own, (of) => [
    toRow('the floor', 'ms', of['floor'] ?? []),
    toRow('print(1)', 'ms', of['print'] ?? []),
  ]);
  expect(floor).not.toHaveProperty('baseline');
  expect(print?.samples).toEqual(samples['print']);
  expect(print?.baseline).toEqual(samples['print (baseline)']);
});

test('rows of one build alone stay as they are', () => {
  const rows = [toRow('print(1)', 'ms', [1])];
  expect(joinRows([rows])).toEqual(rows);
});
