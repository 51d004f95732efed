import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { z } from 'zod';

/** Paths from the root of the repository. */
export const ALERTS = { rules: 'charts/glovebox/monitoring/alerts.yaml', tests: 'test/monitoring/alerts.test.yaml' };
const DASHBOARD = 'charts/glovebox/monitoring/dashboard.json';

const rulesSchema = z.strictObject({
  groups: z.array(
    z.strictObject({
      name: z.string(),
      rules: z.array(
        z.strictObject({
          alert: z.string(),
          expr: z.string(),
          for: z.string().optional(),
          labels: z.strictObject({ severity: z.enum(['warning', 'critical']) }),
          annotations: z.strictObject({ summary: z.string(), runbook_url: z.string() }),
        }),
      ),
    }),
  ),
});
const dashboardSchema = z.looseObject({
  panels: z.array(
    z.looseObject({ title: z.string(), targets: z.array(z.looseObject({ expr: z.string() })).optional() }),
  ),
  templating: z.looseObject({ list: z.array(z.looseObject({ name: z.string(), definition: z.string().optional() })) }),
});

function read(path: string): string {
  return readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), 'utf8');
}

/** The alert rules of the chart. */
export function readRules() {
  return rulesSchema.parse(parse(read(ALERTS.rules))).groups.flatMap(({ rules }) => rules);
}

export function readDashboard() {
  return dashboardSchema.parse(JSON.parse(read(DASHBOARD)));
}

/** The queries of all panels. */
export function queriesOf({ panels }: ReturnType<typeof readDashboard>): string[] {
  return panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
}

/** The metrics that a query names; a histogram by its own name, and not by those of its series. */
export function metricsIn(query: string): string[] {
  const names = [...query.matchAll(/\b(?:glovebox|process)_\w+/g)].map(([name]) => name);
  return names.map((name) => name.replace(/_(?:bucket|sum|count)$/, ''));
}
