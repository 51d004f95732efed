import { describe, expect, test } from 'vitest';
import { renderPage } from './engines/page.ts';
import type { EngineResult } from './engines/results.ts';
import { readReport } from './engines/suites.ts';

const report = (status: string, statuses: readonly string[], message = '') =>
  JSON.stringify({
    testResults: [
      {
        ...{ name: '/somewhere/limits.test.ts', status, message },
        assertionResults: statuses.map((one, at) => ({
          ...{ fullName: ` line ${at}`, status: one },
          failureMessages: one === 'failed' ? ['Error: no\n    at there'] : [],
        })),
      },
    ],
  });

describe('the lines of a report', () => {
  test('are what held, what failed with its first line, and what does not apply', () => {
    expect(readReport(report('failed', ['passed', 'failed', 'skipped']))).toEqual([
      { title: 'line 0', outcome: 'held' },
      { title: 'line 1', outcome: 'failed', why: 'Error: no' },
      { title: 'line 2', outcome: 'absent' },
    ]);
  });

  test('a set-up that failed makes all of its tests fail, although vitest skips them', () => {
    expect(readReport(report('failed', ['skipped'], 'no engine'))).toEqual([
      { title: 'line 0', outcome: 'failed', why: 'no engine' },
    ]);
  });

  test('a file without tests is a failure', () => {
    expect(readReport(report('failed', [], 'SyntaxError'))).toEqual([
      { title: 'limits.test.ts', outcome: 'failed', why: 'SyntaxError' },
    ]);
  });
});

describe('the page', () => {
  const about = { date: '2026-01-31', kernel: '6.1', cgroupVersion: '2', versions: 'podman 5.4' };
  const held: EngineResult = {
    ...{ ...about, name: 'one', title: 'One' },
    suites: {
      contract: [
        { title: 'a | b', outcome: 'held' },
        { title: 'c', outcome: 'failed', why: 'it `did` not' },
        { title: 'd', outcome: 'absent' },
      ],
    },
  };
  const refused: EngineResult = { ...about, name: 'two', title: 'Two', refused: 'too old', suites: {} };

  test('counts what held of what applies, and says what did not', () => {
    const page = renderPage([held]);
    expect(page).toContain('| One (`one`) | 1 of 2 |');
    expect(page).toContain("- c: `it 'did' not`");
    expect(page).toContain('| a \\| b | ✓ |\n| c | ✗ |\n| d | – |');
  });

  test("says in the product's words why an engine is refused, and has no lines of it", () => {
    const page = renderPage([held, refused]);
    expect(page).toContain('## Two: refused\n\n> too old');
    expect(page).toContain('| line | one |');
  });

  test('names what is missing and allowed, and does not count what did not run for that', () => {
    const found = 'the limit is max, not 64';
    const page = renderPage([{ ...held, missing: [{ name: 'pids', found }] }]);
    expect(page).toContain('| One (`one`) | 1 of 2 | allowed by name | allowed by name |');
    expect(page).toContain(
      `## One: allowed by name\n\nWith \`GLOVEBOX_ALLOW_MISSING=pids\`. Missing:\n\n- \`pids\`: ${found}\n`,
    );
  });
});
