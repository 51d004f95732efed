import { expect, test } from 'vitest';
import { InstallLog } from './installation.ts';

const REQUIREMENTS = ['a', 'b>=1', 'c'].map((requirement) => ({ name: requirement.slice(0, 1), requirement }));
const reported = (requested: string, status: string) => ({
  ...{ name: requested.slice(0, 1), requested, status, version: null, error: null },
});

function openLog(...lines: object[]): InstallLog {
  const log = new InstallLog(REQUIREMENTS, () => {});
  log.take(Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join('')));
  return log;
}

test('what was said of some before time ran out stands beside the names of others', () => {
  const log = openLog({ packages: [reported('b>=1', 'installed'), reported('c', 'failed')], final: false });
  expect(log.results('No time was left.')).toEqual([
    { name: 'a', requested: 'a', status: 'not_attempted', error: 'No time was left.' },
    { name: 'b', requested: 'b>=1', status: 'installed' },
    { name: 'c', requested: 'c', status: 'failed' },
  ]);
});

test('what was said of one part is forgotten when the next is told', () => {
  const log = openLog({ packages: [reported('a', 'installed')] }, { packages: [reported('c', 'installed')] });
  expect(log.results(undefined).map(({ status }) => status)).toEqual(['installed', 'not_attempted', 'installed']);
});

test('what the index says of packages is told with what became of those that need them', () => {
  const failed = { ...reported('a', 'failed'), error: 'Because raw_thing was not found and you require a, …' };
  const log = openLog({ packages: [failed, reported('c', 'installed')] });
  log.onProblem({ subject: 'raw-thing', message: 'raw-thing has only source archives.' });
  log.onProblem({ subject: 'unrelated', message: 'unrelated is denied.' });
  log.onNotice({ subject: 'c', message: 'c is marked archived.' });
  expect(log.results(undefined)[0]?.error).toBe(`${failed.error} raw-thing has only source archives.`);
  expect(log.notices).toEqual(['c is marked archived.']);
});
