import { type Answer, Violation } from '../calls.ts';
import type { Tenant } from '../tenant.ts';
import { quote } from './ordinary.ts';
import type { Scenario } from './scenario.ts';

/** What somebody beside the control plane does to a session's container while the session is in use. */
export const VIOLENCE: readonly Scenario[] = [
  {
    name: 'container killed',
    weight: 0.6,
    run: (tenant, { outside }) => strike(tenant, () => outside.kill(tenant.name)),
  },
  {
    name: 'container removed',
    weight: 0.4,
    run: (tenant, { outside }) => strike(tenant, () => outside.remove(tenant.name)),
  },
  {
    name: 'runner killed',
    weight: 1.2,
    run: (tenant, { outside }) => strike(tenant, () => outside.killRunner(tenant.name)),
  },
];

async function strike(tenant: Tenant, blow: () => Promise<void>): Promise<number> {
  const token = tenant.token();
  const underWay = tenant.ask(`import time; time.sleep(0.5); print(${quote(token)})`);
  if (tenant.random.next() < 0.5) await underWay;
  await blow();
  checkStruck(await underWay, token);
  await tenant.probe();
  return 2;
}

function checkStruck(answer: Answer, token: string): void {
  if (answer.kind === 'refused' && answer.code === 'sandbox_lost') return;
  if (answer.kind !== 'result') throw new Violation(`A call that met a blow was told ${JSON.stringify(answer)}`);
  const { status, stdout, session_reset: reset } = answer.result;
  if (status === 'ok' && stdout === `${token}\n`) return;
  if (status === 'crashed' && reset) return;
  throw new Violation(`A call that met a blow ended so: ${JSON.stringify(answer.result).slice(0, 500)}`);
}
