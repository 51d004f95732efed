import { loadConfig } from '../../src/config/load.ts';
import { Glovebox } from '../../src/glovebox.ts';
import { KeyRing } from '../../src/http/auth/key-ring.ts';
import { listen } from '../../src/http/listen.ts';
import { createLog } from '../../src/log.ts';
import { serve } from '../../src/server.ts';
import { Holders, Member } from './group-member.ts';

/** Servers of one group in this process, each with an engine of its own. A test decides who holds which session. */
export interface JoinedServers extends AsyncDisposable {
  readonly one: JoinedServer;
  readonly two: JoinedServer;
  readonly holders: Holders;
}

interface JoinedServer extends AsyncDisposable {
  readonly url: string;
  readonly member: Member;
}

/** @param environments of each, with a state directory of its own */
export async function startJoined(
  environments: readonly [NodeJS.ProcessEnv, NodeJS.ProcessEnv],
): Promise<JoinedServers> {
  const holders = new Holders();
  const one = await startOne('group-one', environments[0], holders);
  const two = await startOne('group-two', environments[1], holders);
  one.member.others = [two.member.self];
  two.member.others = [one.member.self];
  return {
    ...{ one, two, holders },
    [Symbol.asyncDispose]: async () => void (await Promise.all([one, two].map((each) => each[Symbol.asyncDispose]()))),
  };
}

async function startOne(name: string, env: NodeJS.ProcessEnv, holders: Holders): Promise<JoinedServer> {
  const config = loadConfig(env);
  const log = createLog('error');
  const member = await Member.start(name);
  const listening = await listen({ host: '127.0.0.1', port: 0 });
  const glovebox = await Glovebox.open(config, { instance: name, log, mayInstall: false });
  const keys = config.auth === 'keys' ? KeyRing.open(config.apiKeysFile, log) : undefined;
  const stopping = new AbortController();
  const started = Promise.withResolvers<void>();
  const ended = serve(glovebox, config, {
    ...{ log, listening, keys, signal: stopping.signal, examine: async () => [] },
    group: {
      ...{ listener: member.listener, keys: member.keys, patienceMs: 5000 },
      join: async () => ({ group: member, locator: holders.locatorOf(member) }),
    },
    onServing: () => started.resolve(),
  });
  await Promise.race([started.promise, ended]);
  return {
    ...{ url: listening.url, member },
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await ended;
      keys?.[Symbol.dispose]();
      await glovebox[Symbol.asyncDispose]();
      await listening[Symbol.asyncDispose]();
      await member[Symbol.asyncDispose]();
    },
  };
}
