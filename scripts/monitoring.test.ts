import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { ALERTS, metricsIn, queriesOf, readDashboard, readRules } from '../test/support/monitoring.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const RUNBOOKS = 'docs/runbooks';
const HEADINGS = ['What it means', 'What to look at', 'What to do', 'How to be sure that it is over'];

const rules = readRules();
const page = readFileSync(join(ROOT, 'docs/monitoring.md'), 'utf8');
const explained = [...page.matchAll(/^\| `((?:glovebox|process)_\w+)` \|/gm)].map(([, name = '']) => name);

test('each alert has a runbook, and each runbook an alert', () => {
  const pages = readdirSync(join(ROOT, RUNBOOKS)).map((file) => file.replace(/\.md$/, ''));
  expect(pages.toSorted()).toEqual(rules.map(({ alert }) => alert).toSorted());
});

describe.each(rules)('the alert $alert', ({ alert, annotations, labels }) => {
  test('names its runbook, which says what to do and when it is over', () => {
    expect(annotations.runbook_url).toBe(`${RUNBOOKS}/${alert}.md`);
    const text = readFileSync(join(ROOT, annotations.runbook_url), 'utf8');
    expect(text.startsWith(`# ${alert}\n`)).toBe(true);
    expect([...text.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading)).toEqual(HEADINGS);
  });

  test('is in the table of the page, with its severity', () => {
    expect(page).toContain(`| [${alert}](runbooks/${alert}.md) | ${labels.severity} |`);
  });

  test('is tried with series in which it fires', () => {
    expect(readFileSync(join(ROOT, ALERTS.tests), 'utf8')).toContain(`  - name: ${alert}\n`);
  });
});

test('dashboard and alerts ask for metrics that are explained, and each of them is on one of both', () => {
  const asked = [...queriesOf(readDashboard()), ...rules.map(({ expr }) => expr)].flatMap(metricsIn);
  expect([...new Set(asked)].toSorted()).toEqual(explained.toSorted());
});
