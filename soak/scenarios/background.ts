import { Violation } from '../calls.ts';
import type { Tenant } from '../tenant.ts';
import { quote } from './ordinary.ts';
import type { Scenario } from './scenario.ts';

/** Executions that outlive the call that began them. */
export const BACKGROUND: readonly Scenario[] = [
  { name: 'background, waited for', weight: 3, run: waitFor },
  { name: 'background, cancelled', weight: 3, run: cancel },
  { name: 'background, abandoned', weight: 2, run: abandon },
];

async function start(tenant: Tenant, code: string): Promise<string> {
  const result = await tenant.run(code, { status: ['running'] }, { background: true, timeout_s: 60 });
  return result.execution_id;
}

async function waitFor(tenant: Tenant): Promise<number> {
  const token = tenant.token();
  const id = await start(tenant, `import time; time.sleep(${tenant.random.next()}); print(${quote(token)})`);
  tenant.check(await tenant.rest.follow('GET', id, 50), { stdout: `${token}\n` });
  return 1;
}

async function cancel(tenant: Tenant): Promise<number> {
  const token = tenant.token();
  const id = await start(tenant, `print(${quote(token)}, flush=True)\nimport time; time.sleep(600)`);
  if (tenant.random.next() < 0.5) await tenant.run('pass', { stdout: '' });
  const { stdout } = tenant.check(await tenant.rest.follow('DELETE', id), { status: ['cancelled'] });
  if (stdout !== '' && stdout !== `${token}\n`) throw new Violation(`A cancelled execution printed ${stdout}`);
  return 2;
}

async function abandon(tenant: Tenant): Promise<number> {
  const code = `import time; time.sleep(${tenant.random.whole(1, 4)}); print(${quote(tenant.token())})`;
  await start(tenant, code);
  return 1;
}
