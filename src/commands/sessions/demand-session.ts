import type { Client } from '../../client/client.ts';
import { GloveboxError } from '../../errors.ts';

/** Checks that there is a session, which a call would create otherwise. @throws GloveboxError `session_not_found` */
export async function demandSession(client: Client, session: string): Promise<void> {
  if ((await client.sessions()).some(({ id }) => id === session)) return;
  throw new GloveboxError('session_not_found', `There is no session ${JSON.stringify(session)} on ${client.place}.`, {
    hint: 'glovebox ps lists them. glovebox run --session NAME makes one.',
  });
}
