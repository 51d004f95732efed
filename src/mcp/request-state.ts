import { randomBytes } from 'node:crypto';
import { createRequestStateCodec, type ServerContext } from '@modelcontextprotocol/server';
import { z } from 'zod';

/** Time for which a client may come back, in seconds: longer than a question waits for its answer. */
const VALID_S = 1800;

const stateSchema = z.object({ call: z.string() });

/** Seals which call a client is to come back for. */
export interface RequestStates {
  seal(callId: string, context: ServerContext): Promise<string>;
  /** Returns the id of the call. Undefined if the state was not made for this owner by this process, or is too old. */
  open(state: string, context: ServerContext): Promise<string | undefined>;
}

/**
 * The key is the process's own, as the calls that wait are.
 * @param mark makes states tell where their calls are, where there are several servers
 */
export function openStates(mark: (state: string) => string = (state) => state): RequestStates {
  const codec = createRequestStateCodec({
    key: randomBytes(32),
    ttlSeconds: VALID_S,
    bind: ({ mcpReq, http }) => JSON.stringify([mcpReq.method, http?.authInfo?.clientId ?? '']),
  });
  return {
    seal: async (call, context) => mark(await codec.mint({ call }, context)),
    open: async (state, context) => {
      try {
        return stateSchema.parse(await codec.verify(state.replace(/~[\w-]*$/, ''), context)).call;
      } catch {
        return undefined;
      }
    },
  };
}
