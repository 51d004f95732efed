import type { Cancelling } from '../cancelling.ts';
import type { Outside } from '../outside.ts';
import type { Tenant } from '../tenant.ts';

/** What a scenario may use besides the session that it is about. */
export interface World {
  readonly outside: Outside;
  readonly cancelling: Cancelling;
}

/** Something that happens to a session, which checks all that it is told. */
export interface Scenario {
  readonly name: string;
  readonly weight: number;
  /** @throws Violation when an answer is not what it must be; resolves with the executions that it took */
  run(tenant: Tenant, world: World): Promise<number>;
}
